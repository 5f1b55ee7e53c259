"""Batches of random tokens that repeat: the primer of the language stage.

Copying from the context is the one skill that all others stand on here, and the slowest to appear from ordinary rows: few of their tokens can be learned from it. In a
primer row nearly every token can: a segment of random tokens, then pieces of that segment in another order, each to be continued.
"""

import numpy as np
import torch
from batches import MAX_COPIES, MAX_TARGETS
from model import ATTRIBUTE_SIZES, MAX_CELLS, NOT_JUDGED, TEXT_START
from truth import SLOTS

FIRST = 10  # token numbers below are special
WEIGHT = 200
SEGMENT = (24, 72)  # tokens of the segment that is repeated from
PIECE = (3, 9)  # tokens of a repeated piece


class PrimerBatches:
    """Endless source of primer rows in the shape that `Batches` gives for the language stage."""

    def __init__(self, vocabulary, views, rows, length, seed):
        """``views * rows`` rows of ``length`` slots, tokens from ``FIRST`` up to ``vocabulary``."""
        self.vocabulary, self.views, self.count, self.length = vocabulary, views, views * rows, length
        self.random = np.random.default_rng(seed)

    def _row(self):
        """Tokens of one row's text and the slots (counted from its start) whose next token can be copied."""
        random, size = self.random, self.length - TEXT_START
        segment = random.choice(np.arange(FIRST, self.vocabulary), random.integers(*SEGMENT), replace=False)
        tokens, known = [*segment], []
        while len(tokens) < size:
            piece = random.integers(*PIECE)
            start = random.integers(0, len(segment) - piece)
            known += range(len(tokens), len(tokens) + piece - 1)
            tokens += [*segment[start : start + piece]]
        known = np.array([k for k in known if k + 1 < size])
        return np.array(tokens[:size]), known

    def next(self):
        """One batch as a dict of tensors."""
        rows, length, most = self.count, self.length, MAX_TARGETS + MAX_COPIES
        ids = np.zeros((rows, length), np.int64)
        slots, target = np.zeros((2, rows, most), np.int64)
        for r in range(rows):
            tokens, known = self._row()
            ids[r, TEXT_START:] = tokens
            chosen = self.random.permutation(known)[:most]
            slots[r, : len(chosen)] = TEXT_START + chosen
            target[r, : len(chosen)] = tokens[chosen + 1]
        place = np.arange(length)
        context = np.where(place < TEXT_START, 0, 1)
        batch = {
            "ids": ids,
            "offset": np.maximum(place - TEXT_START, 0)[None].repeat(rows, 0),
            "context": context[None].repeat(rows, 0),
            "branch": np.zeros((rows, length)),
            "slots": slots,
            "reply_target": target,
            "reply_weight": (target > 0) * WEIGHT,
            "truth_slots": np.full((rows, SLOTS), TEXT_START),
            "truth_target": np.full((rows, SLOTS), NOT_JUDGED),
        }
        batch = {k: torch.from_numpy(np.ascontiguousarray(v)).to(torch.int64) for k, v in batch.items()}
        side = self.random.integers(1, 5, (self.views, 2))
        batch["grids"] = side.astype(np.uint8)
        batch["cells"] = torch.from_numpy(
            np.stack([self.random.integers(0, n + 1, (self.views, MAX_CELLS)) for n in ATTRIBUTE_SIZES], -1)
        )
        return batch
