"""Whether the words of a text hold for its picture: labels for a throw-away head in the middle of the language model.

A yes-or-no question is one bit for a whole sentence, and a rule is applied by finding which of several sentences holds: learned from the replies alone, comparing
words with the picture appears late or never. So every word for an attribute is labelled: is there something in the picture that has this and all attributes
named before it in the same sentence?
"""

import numpy as np
import torch
from model import NOT_JUDGED, TEXT_START

SHAPE, COLOR, SIZE, TEXTURE, EDGE, RIM = range(6)
WORDS = {
    SHAPE: [["circle", "circles", "round"], ["square", "squares"], ["triangle", "triangles"], ["star", "stars"], ["cross", "crosses"], ["ring", "rings"]],
    COLOR: [[c] for c in ("red", "orange", "yellow", "green", "blue", "purple", "brown", "pink")],
    SIZE: [["small"], ["large", "big"]],
    TEXTURE: [["plain"], ["striped", "stripes"], ["dotted", "dots"]],
    EDGE: [["smooth", "regular"], ["jagged", "irregular"]],
}
RIM_WORDS = ("rim", "rims")
RIM_BEFORE = {"no": 0, "dark": 1}
ENDS = (".", "?")
SLOTS = 24  # labelled words a row; what is above is left out of a batch


class TruthLabels:
    """Finds attribute words in packed rows and labels them by the picture's cells."""

    def __init__(self, tokenizer, size=2048):
        """``tokenizer`` is a `tokenizers.Tokenizer` in which every attribute word is one token."""
        self.attribute = np.full(size, -1)
        self.value = np.zeros(size, int)
        for attribute, values in WORDS.items():
            for value, words in enumerate(values):
                for word in words:
                    self.attribute[self._one(tokenizer, word)] = attribute
                    self.value[self._one(tokenizer, word)] = value
        self.rims = {self._one(tokenizer, word) for word in RIM_WORDS}
        self.before_rim = {self._one(tokenizer, word): value for word, value in RIM_BEFORE.items()}
        self.ends = {self._one(tokenizer, mark) for mark in ENDS}
        for rim in self.rims:
            self.attribute[rim] = RIM

    @staticmethod
    def _one(tokenizer, word):
        ids = tokenizer.encode(f"a {word}" if word not in ENDS else f"a{word}", add_special_tokens=False).ids
        if len(ids) != 2:
            raise ValueError(f"{word!r} is not one token")
        return ids[1]

    def row(self, ids, context, branch, cells):
        """Yield (slot, label) for the attribute words of one row; ``cells`` (cells of the grid, 6) are its picture's labels."""
        here = None
        interesting = np.flatnonzero((self.attribute[ids] >= 0) | np.isin(ids, list(self.ends)))
        for slot in interesting[interesting >= TEXT_START]:
            place = (context[slot], branch[slot])
            if ids[slot] in self.ends or place != here:
                sure = possible = np.ones(len(cells), bool)
                here = place
                if ids[slot] in self.ends:
                    continue
            attribute = self.attribute[ids[slot]]
            value = self.before_rim.get(int(ids[slot - 1])) if attribute == RIM else self.value[ids[slot]]
            if value is None:
                continue
            column = cells[:, attribute]
            sure = sure & (column == value + 1)
            possible = possible & ((column == value + 1) | (column == NOT_JUDGED))
            if sure.any():
                yield slot, 1
            elif not possible.any():
                yield slot, 0

    def __call__(self, batch, rows, random):
        """``truth_slots`` and ``truth_target`` (rows, SLOTS) of a batch; target `NOT_JUDGED` is padding."""
        ids, context, branch = (batch[k].numpy() for k in ("ids", "context", "branch"))
        slots = np.full((len(ids), SLOTS), TEXT_START, np.int64)
        target = np.full((len(ids), SLOTS), NOT_JUDGED, np.int64)
        for r in range(len(ids)):
            high, wide = batch["grids"][r // rows]
            cells = batch["cells"][r // rows].numpy()[: int(high) * int(wide)]
            found = list(self.row(ids[r], context[r], branch[r], cells))
            for i, at in enumerate(random.permutation(len(found))[:SLOTS]):
                slots[r, i], target[r, i] = found[at]
        return {"truth_slots": torch.from_numpy(slots), "truth_target": torch.from_numpy(target)}
