"""Trains the demo model by stages: vision and language apart, then joined.

vision: the vision tower alone; throw-away heads name the attributes of whatever covers each merged cell, and the cell vectors are
drawn to fixed random codes. language: the language model alone on those codes plus noise. joint: both, the vision tower frozen for the
first part. Every stage runs for ``--minutes`` of wall clock, writes a checkpoint often and resumes from it; a resumed run may be given more minutes.
"""

import argparse
import json
import os
import shutil
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from batches import Batches
from exchange import Exchange
from export import write_vlm
from model import (
    ATTRIBUTE_SIZES,
    HIDDEN,
    NOT_JUDGED,
    FastForward,
    attribute_codes,
    build_model,
    code_cells,
    patches_to_pixels,
    prepare_start,
    tree_mask,
)
from optimiser import MuonAdam
from primer import PrimerBatches
from tokenizers import Tokenizer
from truth import TruthLabels

ATTRIBUTE_NAMES = ("shape", "color", "size", "texture", "edge", "rim")
CODE_NOISE = 0.1
PAUSE = 90.0  # seconds; a longer step was a stopped process or a compilation and does not count


def arguments():
    """Command line."""
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--stage", choices=["vision", "language", "joint"], required=True)
    p.add_argument("--episodes", required=True)
    p.add_argument("--shards", help="packed rows; not needed for the vision stage")
    p.add_argument("--held-episodes", required=True, help="episodes never trained on")
    p.add_argument("--held-shards")
    p.add_argument("--tokenizer", required=True)
    p.add_argument("--out", required=True, help="checkpoint; resumed from when it is there")
    p.add_argument("--vision", help="checkpoint of the vision stage, for joint")
    p.add_argument("--language", help="checkpoint of the language stage, for joint")
    p.add_argument("--minutes", type=float, required=True)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--views", type=int, default=32, help="pictures a step")
    p.add_argument("--rows", type=int, default=2, help="packed rows a picture")
    p.add_argument("--crops", type=float, default=0.4, help="share of the crops used with the whole pictures")
    p.add_argument("--rate", type=float, default=0.02, help="greatest Muon learning rate")
    p.add_argument("--adam-rate", type=float, default=2e-3)
    p.add_argument("--frozen", type=float, default=0.25, help="share of the joint stage with the vision tower frozen")
    p.add_argument("--attribute-weight", type=float, default=0.3, help="weight of the attribute heads' loss at the start of joint")
    p.add_argument("--truth-weight", type=float, default=0.4, help="weight of the loss on attribute words (see truth.py)")
    p.add_argument("--evaluate-minutes", type=float, default=4.0)
    p.add_argument("--evaluate-batches", type=int, default=16)
    p.add_argument("--publish", help="file for this trainer's weights, when two run side by side (see exchange.py)")
    p.add_argument("--peer", help="file of the other trainer's weights")
    p.add_argument("--exchange-steps", type=int, default=20)
    p.add_argument("--export", help="folder that gets the model now and then (joint)")
    p.add_argument("--export-minutes", type=float, default=10.0)
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--steps", type=int, default=0, help="stop after so many steps of this run (0: no limit)")
    p.add_argument("--report", type=int, default=25, help="steps between progress lines")
    p.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32", help="type in which matrices multiply")
    p.add_argument("--primer", action="store_true", help="language stage on random tokens that repeat (see primer.py)")
    p.add_argument("--eager", action="store_true", help="without torch.compile")
    return p.parse_args()


class Trainer:
    """One stage of training."""

    def __init__(self, args):
        """Build the model, load what is there, open the data."""
        self.args = args
        torch.manual_seed(args.seed)
        torch.set_num_threads(args.threads)
        tokenizer = Tokenizer.from_file(args.tokenizer)
        self.tokenizer = tokenizer
        self.model = build_model(tokenizer.get_vocab_size())
        prepare_start(self.model)
        self.heads = torch.nn.Linear(HIDDEN, sum(n + 1 for n in ATTRIBUTE_SIZES))
        self.truth_head = torch.nn.Linear(HIDDEN, 2)
        self.codes = attribute_codes()
        self.step = 0
        self.spent = 0.0
        self._load_parts()
        self.dtype = getattr(torch, args.dtype)
        self.fast = FastForward(self.model, self.dtype)
        heads = [*self.heads.parameters(), *self.truth_head.parameters()]
        self.optimiser = MuonAdam(self.model, heads, args.stage, args.rate, args.adam_rate, self.dtype)
        seed = args.seed
        if os.path.exists(args.out):
            state = torch.load(args.out, map_location="cpu")
            self.model.load_state_dict(state["model"])
            self.heads.load_state_dict(state["heads"])
            self.truth_head.load_state_dict(state["truth_head"])
            self.optimiser.load(state["optimiser"])
            self.step, self.spent = state["step"], state["spent"]
            seed += self.step
        rows = 0 if args.stage == "vision" else args.rows
        truth = TruthLabels(tokenizer)
        self.held = Batches(args.held_episodes, args.held_shards, args.views, rows, 5, truth=truth)
        if args.primer:
            length = self.held.shards.parts[0]["ids"].shape[-1]
            self.train = PrimerBatches(tokenizer.get_vocab_size(), args.views, rows, length, seed)
        else:
            self.train = Batches(args.episodes, args.shards, args.views, rows, seed, args.crops, truth)
        self.held_batches = None
        compiled = (lambda f: f) if args.eager else (lambda f: torch.compile(f, dynamic=False))
        self.exchange = Exchange(args.publish, args.peer) if args.peer else None
        self.vision = compiled(lambda *inputs: self.fast.vision(*inputs))
        self.language = compiled(self._language)
        self.whole = compiled(self._whole)

    def _load_parts(self):
        """Towers trained apart (joint stage)."""
        for path, prefix, wanted in ((self.args.vision, "visual", True), (self.args.language, "visual", False)):
            if path:
                state = torch.load(path, map_location="cpu")
                part = {k: v for k, v in state["model"].items() if (prefix in k) == wanted}
                self.model.load_state_dict(part, strict=False)
                if wanted:
                    self.heads.load_state_dict(state["heads"])
                elif "truth_head" in state:
                    self.truth_head.load_state_dict(state["truth_head"])

    def _language(self, ids, cells, deep, cos, sin, context, branch, valid, slots, middle):
        rows = self.args.rows
        cells = cells.repeat_interleave(rows, 0)
        deep = [d.repeat_interleave(rows, 0) for d in deep]
        return self.fast.language(ids, cells, deep, cos, sin, tree_mask(context, branch, valid), slots, middle)

    def _whole(self, pixels, weights, pcos, psin, pmask, *rest):
        cells, deep = self.fast.vision(pixels, weights, pcos, psin, pmask)
        return self._language(rest[0], cells, deep, *rest[1:]), cells

    def forward(self, batch, frozen=False, noise=0.0):
        """Hidden states of the rows, last and middle (None in the vision stage), and cell vectors (None in the language stage)."""
        grid = self.fast.indices(batch["grids"])
        stage = self.args.stage
        if stage != "language":
            pixels = patches_to_pixels(batch["views"], self.dtype)
            tables = self.fast.vision_tables(grid)
        if stage == "vision":
            return None, self.vision(pixels, *tables)[0]
        row_grid = grid.repeat_interleave(self.args.rows)
        cos, sin = self.fast.rotary(batch["offset"], row_grid)
        valid = self.fast.row_valid(row_grid, batch["ids"].shape[1])
        text = (cos, sin, batch["context"], batch["branch"], valid, batch["slots"], batch["truth_slots"])
        if stage == "language":
            cells = code_cells(self.codes, batch["cells"])
            cells = cells + torch.randn_like(cells) * noise
            return self.language(batch["ids"], cells, [], *text), None
        if frozen:
            with torch.no_grad():
                cells, _ = self.vision(pixels, *tables)
            return self.language(batch["ids"], cells, [], *text), cells
        return self.whole(pixels, *tables, batch["ids"], *text)

    def attribute_loss(self, cells, labels):
        """Cross-entropy of the throw-away heads, mean over the attributes; cells not judged are left out."""
        scores = self.heads(cells).view(-1, self.heads.out_features)
        labels = labels.view(-1, len(ATTRIBUTE_SIZES))
        loss = start = 0
        for j, n in enumerate(ATTRIBUTE_SIZES):
            loss = loss + F.cross_entropy(scores[:, start : start + n + 1], labels[:, j], ignore_index=NOT_JUDGED)
            start += n + 1
        return loss / len(ATTRIBUTE_SIZES)

    def code_loss(self, cells, labels):
        """Mean squared distance to the codes over judged cells, in units of the codes' variance."""
        judged = (labels != NOT_JUDGED).any(-1)
        error = (cells - code_cells(self.codes, labels)).pow(2).mean(-1)
        return (error * judged).sum() / judged.sum() / (0.15**2 * len(ATTRIBUTE_SIZES))

    def truth_loss(self, middle, batch):
        """Cross-entropy of the throw-away head that says whether words hold for the picture; words that don't count double, being half as many."""
        target = batch["truth_target"].flatten()
        if not (target >= 0).any():
            return torch.zeros(())
        scores = self.truth_head(middle.flatten(0, 1))
        return F.cross_entropy(scores, target, weight=torch.tensor([2.0, 1.0]), ignore_index=NOT_JUDGED)

    def text_loss(self, hidden, batch):
        """Weighted cross-entropy of the reply tokens."""
        weight = batch["reply_weight"].flatten().float()
        scores = self.fast.logits(hidden.flatten(0, 1))
        loss = F.cross_entropy(scores, batch["reply_target"].flatten(), reduction="none")
        return (loss * weight).sum() / weight.sum()

    def losses(self, batch, fraction):
        """Total loss and what is reported: (total, text or code loss, loss on attribute words or attributes of cells)."""
        stage = self.args.stage
        frozen = stage == "joint" and fraction < self.args.frozen
        hidden, cells = self.forward(batch, frozen, CODE_NOISE)
        if stage == "vision":
            attribute, code = self.attribute_loss(cells, batch["cells"]), self.code_loss(cells, batch["cells"])
            return attribute + 0.5 * code, code, attribute
        hidden, middle = hidden
        text, truth = self.text_loss(hidden, batch), self.truth_loss(middle, batch)
        total = text + self.args.truth_weight * (1 - 0.8 * fraction) * truth
        if stage == "language" or frozen:
            return total, text, truth
        attribute = self.attribute_loss(cells, batch["cells"])
        return total + self.args.attribute_weight * (1 - 0.8 * min(1.0, fraction / 0.5)) * attribute, text, truth

    @torch.no_grad()
    def evaluate(self):
        """Share of right attribute heads, or of branches whose every reply token is the most likely one, by tag, on held-out scenes."""
        if self.held_batches is None:
            self.held_batches = [self.held.make() for _ in range(self.args.evaluate_batches)]
        right, seen = {}, {}
        for batch in self.held_batches:
            hidden, cells = self.forward(batch)
            if self.args.stage == "vision":
                self._score_heads(cells, batch["cells"], right, seen)
            else:
                self._score_rows(hidden[0], batch, right, seen)
                self._score_words(hidden[1], batch, right, seen)
        return {k: [round(right[k] / seen[k], 3), seen[k]] for k in sorted(seen)}

    def _score_heads(self, cells, labels, right, seen):
        scores, start = self.heads(cells), 0
        for j, (name, n) in enumerate(zip(ATTRIBUTE_NAMES, ATTRIBUTE_SIZES)):
            guess = scores[..., start : start + n + 1].argmax(-1)
            start += n + 1
            judged = labels[..., j] > 0
            right[name] = right.get(name, 0) + int((guess == labels[..., j])[judged].sum())
            seen[name] = seen.get(name, 0) + int(judged.sum())

    def _score_rows(self, hidden, batch, right, seen):
        names = self.held.shards.tags
        place = (batch["reply_target"] > 0) & (batch["reply_branch"] > 0)
        good = (self.fast.logits(hidden[place]).argmax(-1) == batch["reply_target"][place]).long()
        row = place.nonzero()[:, 0]
        branch = row * 256 + batch["reply_branch"][place]
        keys, inverse = branch.unique(return_inverse=True)
        whole = torch.ones(len(keys), dtype=torch.long).scatter_reduce_(0, inverse, good, "amin")
        tag = torch.zeros(len(keys), dtype=torch.long).scatter_(0, inverse, batch["reply_tag"][place].long())
        for number, ok in zip(tag.tolist(), whole.tolist()):
            name = names[number]
            right[name] = right.get(name, 0) + ok
            seen[name] = seen.get(name, 0) + 1

    def _score_words(self, middle, batch, right, seen):
        guess = self.truth_head(middle).argmax(-1)
        for label, name in enumerate(("word.absent", "word.present")):
            place = batch["truth_target"] == label
            right[name] = right.get(name, 0) + int((guess[place] == label).sum())
            seen[name] = seen.get(name, 0) + int(place.sum())

    def trained(self):
        """All trained tensors by name, without copying them."""
        tensors = {k: v for k, v in self.model.state_dict().items() if k != "lm_head.weight"}
        heads = {f"heads.{k}": v for k, v in self.heads.state_dict().items()}
        return tensors | heads | {f"truth.{k}": v for k, v in self.truth_head.state_dict().items()}

    def save(self):
        """Write the checkpoint; the old one stays until the new one is complete."""
        state = {
            "model": self.model.state_dict(),
            "heads": self.heads.state_dict(),
            "truth_head": self.truth_head.state_dict(),
            "optimiser": self.optimiser.state(),
            "step": self.step,
            "spent": self.spent,
        }
        torch.save(state, self.args.out + ".partial")
        os.replace(self.args.out + ".partial", self.args.out)

    def export(self):
        """Write the model as a Hugging Face folder, replacing the one there."""
        final = Path(self.args.export)
        partial = final.with_name(final.name + ".partial")
        shutil.rmtree(partial, ignore_errors=True)
        write_vlm(self.model, self.tokenizer, partial)
        shutil.rmtree(final, ignore_errors=True)
        os.replace(partial, final)

    def run(self):
        """Train until the minutes are spent."""
        args = self.args
        limit = args.minutes * 60
        log = {"parameters": sum(p.numel() for p in self.model.parameters()), "stage": args.stage, "step": self.step}
        print(json.dumps(log), flush=True)
        evaluated = exported = self.spent
        mean = mean_attribute = None
        first, before = self.step, time.time()
        window, waited = (self.step, self.spent), 0.0
        while self.spent < limit and not (args.steps and self.step - first >= args.steps):
            fraction = self.spent / limit
            start = time.time()
            batch = self.train.next()
            waited += time.time() - start
            total, loss, attribute = self.losses(batch, fraction)
            total.backward()
            decay = 1.0 if fraction < 0.5 else max(0.02, (1 - fraction) / 0.5)
            self.optimiser.step(min(1.0, (self.step + 1) / 40) * decay)
            self.step += 1
            now = time.time()
            self.spent += min(now - before, PAUSE)
            before = now
            mean = loss.item() if mean is None else 0.97 * mean + 0.03 * loss.item()
            mean_attribute = attribute.item() if mean_attribute is None else 0.97 * mean_attribute + 0.03 * attribute.item()
            if self.exchange and self.step % args.exchange_steps == 0:
                self.exchange(self.trained())
            if self.step % args.report == 0:
                done = max(1, self.step - window[0])
                report = {
                    "minute": round(self.spent / 60, 2),
                    "step": self.step,
                    "loss": round(mean, 4),
                    "word_loss" if args.stage != "vision" else "attribute_loss": round(mean_attribute, 4),
                    "step_seconds": round((self.spent - window[1]) / done, 3),
                    "wait_seconds": round(waited / done, 4),
                }
                print(json.dumps(report), flush=True)
                window, waited = (self.step, self.spent), 0.0
            if self.spent - evaluated > args.evaluate_minutes * 60:
                self._report()
                evaluated = self.spent
            if args.export and self.spent - exported > args.export_minutes * 60:
                self.export()
                exported = self.spent
        self._report()
        if args.export:
            self.export()

    def _report(self):
        """Evaluate, print and save."""
        print(json.dumps({"evaluation": self.evaluate(), "minute": round(self.spent / 60, 2), "step": self.step}), flush=True)
        self.save()


if __name__ == "__main__":
    Trainer(arguments()).run()
