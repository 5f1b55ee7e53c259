"""Packs the world's rows into token trees and writes them as binary shards.

One packed row is: <|im_start|> user <|vision_start|>, 20 image slots, <|vision_end|>, then contexts, each followed by its
question-answer branches. Node numbers give the ancestor-only mask, offsets restart at the parent's end for every branch, so that each branch
equals its own single turn. Shards are numpy structured arrays of shape (views, rows a view).
"""

import argparse
import json
import os
import random
import re
from pathlib import Path

import numpy as np
from episodes import Episodes
from model import TEXT_START
from textcodec import WordEncoder

IM_START, IM_END, VISION_START, VISION_END, IMAGE_PAD = 1, 2, 3, 4, 5
WEIGHT_UNIT = 200  # stored weights are u8 in 1/200
END_WEIGHT = 0.2  # the end token is easy; a small share keeps it learned
DESCRIBE_WEIGHT = 0.25
COPIED = ("svc.same", "svc.related", "direct", "name.", "prop.1hop", "prop.assert", "rule.name", "rule.fact", "rule.property")


def row_type(length):
    """Structured type of one packed row of ``length`` slots.

    view: picture; whole: 1 for a whole picture, 0 for a crop; ids: tokens; target: token to be predicted from this slot (0 none); offset:
    text position; context, branch: tree node numbers (context 255 is padding); weight: loss weight in 1/200;
    tag: number of the branch's tag.
    """
    small = [(name, "u1", (length,)) for name in ("offset", "context", "branch", "weight", "tag")]
    return np.dtype([("view", "<i4"), ("whole", "u1"), ("ids", "<u2", (length,)), ("target", "<u2", (length,)), *small])


class Packer:
    """Turns trees of text into packed rows."""

    def __init__(self, tokenizer, length):
        """``length`` slots a row (at most 255), ``tokenizer`` a path or a `tokenizers.Tokenizer`."""
        self.encode = WordEncoder(tokenizer)
        self.length = length
        self.type = row_type(length)
        self.tags = {}
        self.user = self.encode("user")
        self.reply = [IM_END, IM_START, *self.encode("assistant")]
        self.dropped = self.kept = 0

    def pack(self, view, trees, out):
        """Fill the record ``out`` with ``trees``; what does not fit is left out. Returns the number of branches kept."""
        length = self.length
        ids = [IM_START, *self.user, VISION_START, *[IMAGE_PAD] * (TEXT_START - 4), VISION_END]
        offset, context, branch = [0] * TEXT_START, [0] * TEXT_START, [0] * TEXT_START
        targets = []
        contexts = branches = 0
        for text, questions in trees:
            head = self.encode(text) if text else []
            room = length - len(ids) - len(head)
            placed = False
            for question, answer, tag in questions:
                prompt = self.encode(question) + self.reply
                reply = [*self.encode(answer), IM_END]
                size = len(prompt) + len(reply) - 1
                if size > room:
                    self.dropped += 1
                    continue
                if not placed:
                    placed = True
                    contexts += 1
                    ids += head
                    offset += range(len(head))
                    context += [contexts] * len(head)
                    branch += [0] * len(head)
                branches += 1
                start = len(ids) + len(prompt) - 1
                share = DESCRIBE_WEIGHT if tag.startswith("desc") else 1.0
                number = self.tags.setdefault(tag, len(self.tags))
                for k, token in enumerate(reply):
                    weight = share * (END_WEIGHT if k == len(reply) - 1 else 1.0)
                    targets.append((start + k, token, round(weight * WEIGHT_UNIT), number))
                ids += (prompt + reply)[:-1]
                offset += range(len(head), len(head) + size)
                context += [contexts] * size
                branch += [branches] * size
                room -= size
                self.kept += 1
        used = len(ids)
        out["view"] = view
        out["whole"] = not any("crop" in tag for _, questions in trees for _, _, tag in questions)
        out["ids"][:used] = ids
        out["offset"][:used] = offset
        out["context"][:] = 255
        out["context"][:used] = context
        out["branch"][:used] = branch
        for slot, token, weight, number in targets:
            out["target"][slot] = token
            out["weight"][slot] = weight
            out["tag"][slot] = number
        return branches


def sentences(text):
    """Sentences of a context (the world ends each with a full stop or a question mark in quotes)."""
    return re.split(r"(?<=\.) (?=[A-Z])", text)


def copy_trees(rows, random):
    """First lessons for reading: from all rows of one picture, each context cut to the sentences that hold a branch's answer.

    At most one other sentence stays beside them. Only branches whose answer stands in their context are kept; then come the first questions
    without a context. Returns rows of trees, or none when there is nothing to copy.
    """
    lessons, plain = [], []
    for text, questions in (tree for trees in rows for tree in trees):
        if not text:
            plain += questions
            continue
        parts = sentences(text)
        for question in questions:
            if not question[2].startswith(COPIED) or question[1] in ("yes", "no"):
                continue
            holding = [p for p in parts if question[1] in p.lower()]
            others = [p for p in parts if p not in holding]
            if not holding or len(holding) > 3:
                continue
            if others and random.random() < 0.5:
                holding.insert(random.randrange(len(holding) + 1), random.choice(others))
            lessons.append((" ".join(holding), [question]))
    if len(lessons) < 3:
        return []
    out = []
    for _ in range(2):
        random.shuffle(lessons)
        out.append([*lessons[:4], ("", random.sample(plain, min(2, len(plain)))), *lessons[4:]])
    return out


def write_shard(folder, number, groups, packer):
    """Pack ``groups`` [(view, [trees, …]), …] and write them as shard ``number``; appears under its name only when complete."""
    rows = max(len(g) for _, g in groups)
    records = np.zeros((len(groups), rows), packer.type)
    for i, (view, rows_of_view) in enumerate(groups):
        for j in range(rows):
            packer.pack(view, rows_of_view[j % len(rows_of_view)], records[i][j])
        records[i]["whole"] = records[i]["whole"].min()
    partial = folder / f"partial-{number:04}.npy"
    np.save(partial, records)
    (folder / "tags.json").write_text(json.dumps(list(packer.tags)))
    os.replace(partial, folder / f"shard-{number:04}.npy")
    fill = (records["context"] != 255).mean()
    targets = (records["target"] > 0).sum() / records.size
    print(
        json.dumps(
            {
                "shard": number,
                "views": len(groups),
                "rows": int(records.size),
                "fill": round(float(fill), 3),
                "targets_per_row": round(float(targets), 1),
                "branches_kept": packer.kept,
                "branches_dropped": packer.dropped,
            }
        ),
        flush=True,
    )


def main():
    """Pack a whole episodes folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--episodes", required=True)
    parser.add_argument("--tokenizer", required=True)
    parser.add_argument("--out", required=True, help="folder of the shards")
    parser.add_argument("--length", type=int, default=192)
    parser.add_argument("--shard-views", type=int, default=6000)
    parser.add_argument("--first", type=int, default=0, help="first view to pack")
    parser.add_argument("--views", type=int, default=0, help="number of views to pack (0: all)")
    parser.add_argument("--lessons", action="store_true", help="pack the first lessons for reading instead (see copy_trees)")
    args = parser.parse_args()
    folder = Path(args.out)
    folder.mkdir(parents=True, exist_ok=True)
    packer = Packer(args.tokenizer, args.length)
    groups = []
    chance = random.Random(1)
    number = len(list(folder.glob("shard-*.npy")))
    if number:
        packer.tags = {tag: i for i, tag in enumerate(json.loads((folder / "tags.json").read_text()))}
    for view, trees in Episodes(args.episodes).rows():
        if view < args.first:
            continue
        if args.views and view >= args.first + args.views:
            break
        if not groups or groups[-1][0] != view:
            if args.lessons and groups:
                groups[-1] = (groups[-1][0], copy_trees(groups[-1][1], chance))
                if not groups[-1][1]:
                    groups.pop()
            if len(groups) >= args.shard_views:
                write_shard(folder, number, groups, packer)
                number += 1
                groups = []
            groups.append((view, []))
        groups[-1][1].append(trees)
    if args.lessons and groups:
        groups[-1] = (groups[-1][0], copy_trees(groups[-1][1], chance))
        groups = [g for g in groups if g[1]]
    if groups:
        write_shard(folder, number, groups, packer)


if __name__ == "__main__":
    main()
