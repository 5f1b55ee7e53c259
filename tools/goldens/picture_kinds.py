"""Makes the small files of crates/imaging/tests/kinds: one of every kind of picture in docs/inputs.md, and what it shows.

    python tools/goldens/picture_kinds.py [crates/imaging/tests/kinds]

The files are those of tools/inputs/pictures.py, smaller; what that needs this needs. What a file shows are the arrays that
went into it, scaled as the documentation says.
"""

import json
import sys
from pathlib import Path

from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "inputs"))
import pictures  # noqa: E402

OUT = Path(sys.argv[1] if len(sys.argv) > 1 else "crates/imaging/tests/kinds")
# Of these there are goldens elsewhere, or the file is as large as a picture.
LEFT_OUT = ("WebP", "GIF")


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    for old in OUT.iterdir():
        old.unlink()
    pictures.make_rows(18, 24)
    shown, table = {}, []
    for row in pictures.ROWS:
        if row.kind in LEFT_OUT or len(row.data) > 12_000:
            continue
        name = "".join(letter if letter.isalnum() else "_" for letter in f"{row.kind} {row.name}".lower())
        (OUT / name).write_bytes(row.data)
        expected = None
        if row.refused is None:
            # Many files show the same.
            expected = shown.setdefault(row.seen.tobytes(), f"{name}.png")
            if expected == f"{name}.png":
                Image.fromarray(row.seen).save(OUT / expected, optimize=True)
        table.append({"file": name, "expected": expected, "tolerance": row.tolerance, "refused": row.refused})
    rows = ",\n".join(json.dumps(row) for row in table)
    (OUT / "kinds.json").write_text(f"[\n{rows}\n]\n")
    print(len(table), "files")


if __name__ == "__main__":
    main()
