"""Reading the episode folders that ``reasonedit world episodes`` writes, and the packed-row shards made of them."""

import json
from pathlib import Path

import numpy as np

VIEW_BYTES = 47_040
CELLS = 20
ATTRIBUTES = 6


class Episodes:
    """Memory-mapped pictures and labels of one episodes folder; rows are read as a stream."""

    def __init__(self, folder):
        """Open ``folder``; views.u8, views.grid and views.cells must agree on the number of views."""
        self.folder = Path(folder)
        self.views = np.memmap(self.folder / "views.u8", np.uint8, "r").reshape(-1, VIEW_BYTES)
        self.grids = np.fromfile(self.folder / "views.grid", np.uint8).reshape(-1, 2)
        self.cells = np.fromfile(self.folder / "views.cells", np.int8).reshape(-1, CELLS, ATTRIBUTES)
        if not len(self.views) == len(self.grids) == len(self.cells):
            raise ValueError(f"views disagree: {len(self.views)}, {len(self.grids)}, {len(self.cells)}")

    def __len__(self):
        """Number of views."""
        return len(self.views)

    def rows(self):
        """Yield (view, trees) with trees = [(context, [(question, answer, tag), …]), …]."""
        with open(self.folder / "rows.jsonl", encoding="utf-8") as file:
            for line in file:
                row = json.loads(line)
                yield row["v"], [(t["c"], t["q"]) for t in row["t"]]

    def turns(self, count):
        """Yield ``count`` single turns (view, context, question, answer, tag), one of each row, rotating over its branches."""
        for i, (view, trees) in enumerate(self.rows()):
            if count <= 0:
                return
            turns = [(view, c, *q) for c, qs in trees for q in qs]
            if turns:
                count -= 1
                yield turns[(i * 7) % len(turns)]


class Shards:
    """Packed rows of one cache folder, grouped by view; new shards are picked up by `refresh`."""

    def __init__(self, folder):
        """Open the shards that are there (see packing.py); at least one must be."""
        self.folder = Path(folder)
        self.parts = []
        self.refresh()
        if not self.parts:
            raise FileNotFoundError(f"no shards in {folder}")

    def refresh(self):
        """Open shards written since; returns the number of views that have rows."""
        for path in sorted(self.folder.glob("shard-*.npy"))[len(self.parts) :]:
            self.parts.append(np.load(path, mmap_mode="r"))
        return sum(len(p) for p in self.parts)

    @property
    def tags(self):
        """Names of the row tags by number."""
        return json.loads((self.folder / "tags.json").read_text())
