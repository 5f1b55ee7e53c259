"""Batches for the trainer: pictures, labels and packed rows, fetched ahead by a thread."""

import queue
import threading

import numpy as np
import torch
from episodes import Episodes, Shards
from model import TEXT_START

MAX_TARGETS = 40  # reply tokens a row that are learned from; what is above is left out of a batch
MAX_COPIES = 24
COPY_WEIGHT = 100  # in 1/200
PADDING = 255  # context number of padding
TABLE = 2048  # above every token number
UNPREDICTABLE = 0.1
ROW_FIELDS = ("ids", "target", "offset", "context", "branch", "weight", "tag")


def bigram_table(records):
    """Conditional probability (2048, 2048) of each token given the one before, over the texts of packed ``records``."""
    ids = records["ids"][..., TEXT_START:].reshape(-1, records["ids"].shape[-1] - TEXT_START).astype(np.int64)
    known = records["context"][..., TEXT_START:].reshape(ids.shape) != PADDING
    keys = (ids[:, :-1] * TABLE + ids[:, 1:])[known[:, :-1] & known[:, 1:]]
    counts = np.bincount(keys, minlength=TABLE * TABLE).reshape(TABLE, TABLE).astype(np.float32)
    return counts / np.maximum(counts.sum(1, keepdims=True), 1)


def copy_slots(batch, table):
    """Slots whose next token repeats an earlier pair of tokens of the same branch that is not predictable from the pair's first token.

    Mostly the later occurrences of invented names: a small loss on them teaches copying from the context much sooner. (rows, length) bool.
    """
    ids, context, branch = (batch[k].numpy() for k in ("ids", "context", "branch"))
    pair = ids[:, :-1] * TABLE + ids[:, 1:]
    joined = (context[:, :-1] == context[:, 1:]) & (context[:, 1:] != PADDING)
    joined &= (branch[:, :-1] == branch[:, 1:]) | (branch[:, :-1] == 0)
    joined[:, :TEXT_START] = False
    earlier = np.tril(np.ones((pair.shape[1], pair.shape[1]), bool), -1)
    seen = (pair[:, :, None] == pair[:, None, :]) & earlier & joined[:, None, :]
    seen &= context[:, :-1][:, :, None] == context[:, :-1][:, None, :]
    above = branch[:, 1:]
    seen &= (above[:, None, :] == 0) | (above[:, :, None] == above[:, None, :])
    found = seen.any(2) & joined & (table[ids[:, :-1], ids[:, 1:]] < UNPREDICTABLE)
    # a branch's first token follows its context's last token only in the first branch of the packed row
    found &= branch[:, :-1] == branch[:, 1:]
    return np.pad(found, ((0, 0), (0, 1))) & (batch["target"].numpy() == 0)


def reply_slots(batch, table, random):
    """The slots of each row from which a token is learned, padded to a fixed number, and the row fields there.

    ``slots`` (rows, MAX_TARGETS + MAX_COPIES); ``reply_target`` (0: padding), ``reply_weight``, ``reply_tag`` alike and
    ``reply_branch``, which is 0 for the slots that teach copying.
    """
    present = batch["target"] > 0
    replies = present.int().argsort(dim=1, descending=True, stable=True)[:, :MAX_TARGETS]
    fields = {name: batch[name].gather(1, replies) for name in ("target", "weight", "branch", "tag")}
    found = copy_slots(batch, table)
    order = np.argsort(found * random.random(found.shape), axis=1)[:, ::-1][:, :MAX_COPIES].copy()
    copies = torch.from_numpy(order)
    hit = torch.from_numpy(np.take_along_axis(found, order, 1))
    following = batch["ids"].roll(-1, 1).gather(1, copies)
    nothing = torch.zeros_like(copies, dtype=torch.int16)
    extra = {"target": following * hit, "weight": (hit * COPY_WEIGHT).to(torch.int16), "branch": nothing, "tag": nothing}
    joined = {f"reply_{name}": torch.cat([fields[name], extra[name]], 1) for name in fields}
    return {"slots": torch.cat([replies, copies], 1)} | joined


class Batches:
    """Endless source of random batches of ``views`` pictures with ``rows`` packed rows each (0: pictures only)."""

    def __init__(self, episodes, shards, views, rows, seed, crops=1.0, truth=None):
        """``episodes`` and ``shards`` are folders; ``shards`` may be None when ``rows`` is 0; ``truth`` are the `TruthLabels` of rows.

        ``crops`` is the share of the crops used, drawn anew for every pass: whole pictures carry the harder questions.
        """
        self.data = Episodes(episodes)
        self.shards = Shards(shards) if rows else None
        self.count, self.rows = views, rows
        self.crops, self.truth = crops, truth
        self.random = np.random.default_rng(seed)
        self.order = np.empty(0, np.int64)
        self.table = bigram_table(self.shards.parts[0]) if rows else None
        self.queue = queue.Queue(maxsize=3)
        self.thread = None

    def _places(self):
        """The next views: pairs (shard, place in it), or view numbers when there are no rows; a new permutation when used up."""
        if len(self.order) < self.count:
            if self.rows:
                self.shards.refresh()
                places = []
                for i, part in enumerate(self.shards.parts):
                    kept = (part["whole"][:, 0] == 1) | (self.random.random(len(part)) < self.crops)
                    place = kept.nonzero()[0]
                    places.append(np.stack([np.full(len(place), i), place], 1))
                self.order = self.random.permutation(np.concatenate(places))
            else:
                self.order = self.random.permutation(len(self.data))
        taken, self.order = self.order[: self.count], self.order[self.count :]
        return taken

    def make(self):
        """One batch as a dict of tensors; rows of one view are neighbours."""
        places = self._places()
        batch = {}
        if self.rows:
            groups = [self.shards.parts[s][v] for s, v in places]
            views = np.array([g["view"][0] for g in groups])
            chosen = [g[self.random.permutation(len(g))[: self.rows]] for g in groups]
            if min(len(c) for c in chosen) < self.rows:
                raise ValueError(f"the shards hold fewer than {self.rows} rows a view")
            records = np.concatenate(chosen)
            for name in ROW_FIELDS:
                kind = np.int64 if name in ("ids", "target") else np.int16
                batch[name] = torch.from_numpy(records[name].astype(kind))
            batch |= reply_slots(batch, self.table, self.random)
        else:
            views = np.sort(places)
        batch["views"] = torch.from_numpy(np.ascontiguousarray(self.data.views[views]))
        batch["grids"] = self.data.grids[views]
        batch["cells"] = torch.from_numpy(self.data.cells[views].astype(np.int64))
        if self.rows and self.truth:
            batch |= self.truth(batch, self.rows, self.random)
        return batch

    def _work(self):
        while True:
            self.queue.put(self.make())

    def next(self):
        """The next batch; starts the fetching thread at the first call."""
        if self.thread is None:
            self.thread = threading.Thread(target=self._work, daemon=True)
            self.thread.start()
        return self.queue.get()
