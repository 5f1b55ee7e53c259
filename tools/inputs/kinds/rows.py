"""What the table has a row for."""

ROWS = []


class Row:
    def __init__(self, kind, name, maker, data, seen, tolerance=0, refused=None):
        self.kind, self.name, self.maker, self.data = kind, name, maker, data
        self.seen, self.tolerance, self.refused = seen, tolerance, refused


def add(kind, name, maker, data, seen=None, tolerance=0, refused=None):
    """`seen` is the array that has to come out, `tolerance` how far each channel may be off; `refused` is in the refusal."""
    ROWS.append(Row(kind, name, maker, data, seen, tolerance, refused))
