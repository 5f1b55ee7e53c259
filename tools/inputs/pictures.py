"""Pictures as other programs write them, and what the service sees in each: makes the table in docs/inputs.md.

    python tools/inputs/pictures.py           writes the table
    python tools/inputs/pictures.py --check   fails if the table, or a picture, is not as it should be

Every row makes a file with Pillow, tifffile (with imagecodecs), ImageMagick or libjpeg-turbo, decodes it with the imaging
crate (its example `decode_folder`) and compares the pixels with those that went in, and with what Pillow makes of the file.
What went in are arrays: Pillow is no measure for samples of more than 8 bits, which it cuts at 255.

Needs pillow, numpy, tifffile, imagecodecs, and the programs convert (ImageMagick) and cjpeg (libjpeg-turbo).
"""

import argparse
import difflib
import io
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from kinds import ROWS, make_rows
from kinds.sources import on

ROOT = Path(__file__).resolve().parents[2]
TABLE = ROOT / "docs/inputs.md"
BEGIN, END = "<!-- pictures: begin (tools/inputs/pictures.py) -->", "<!-- pictures: end -->"


def decode(folder, decoder):
    pixels = Path(folder, "pixels")
    cargo = ["cargo", "run", "--release", "--locked", "--quiet", "-p", "reasonedit-imaging", "--example", "decode_folder", "--"]
    command = ([decoder] if decoder else cargo) + [str(Path(folder, "files")), str(pixels)]
    output = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if output.returncode:
        sys.exit(output.stderr)
    answers = {}
    for line in output.stdout.splitlines():
        answer = json.loads(line)
        answer["pixels"] = None if "error" in answer else np.asarray(Image.open(pixels / f"{answer['file']}.png"))
        answers[answer["file"]] = answer
    return answers


def beside_pillow(row, ours):
    """How Pillow's reading of the same bytes compares."""
    try:
        picture = ImageOps.exif_transpose(Image.open(io.BytesIO(row.data)))
        mode = picture.mode
        if picture.has_transparency_data:
            values = np.asarray(picture.convert("RGBA"))
            theirs = on(values[..., :3], values[..., 3])
        else:
            theirs = np.asarray(picture.convert("RGB"))
    except Exception:
        return "can't read it"
    if ours is None:
        return "reads it"
    if theirs.shape != ours.shape:
        return "another size"
    off = int(np.abs(theirs.astype(int) - ours.astype(int)).max())
    if off <= 8:
        return "the same" if off == 0 else "off by 2 at most" if off <= 2 else "off by 8 at most"
    if mode.startswith("I") or mode == "F":
        return "cuts at 255"
    return "another ground" if picture.has_transparency_data else "other colours"


def table(decoder):
    """The lines of the table, and what is wrong."""
    lines, wrong = [], []
    with tempfile.TemporaryDirectory() as folder:
        files = Path(folder, "files")
        files.mkdir()
        for number, row in enumerate(ROWS):
            (files / f"{number:03}").write_bytes(row.data)
        answers = decode(folder, decoder)
    for number, row in enumerate(ROWS):
        answer = answers[f"{number:03}"]
        ours = answer["pixels"]
        if "error" in answer:
            seen = "refused: " + answer["error"].removeprefix("the content is ").removeprefix("the image is ").split(":")[0].split(", which")[0]
            if "damaged" in answer["error"]:
                seen = "refused: " + answer["error"].removeprefix("the image is ")
            if row.refused is None or row.refused not in answer["error"]:
                wrong.append(f"{row.kind}, {row.name}: {answer['error']}")
        else:
            off = int(np.abs(ours.astype(int) - row.seen.astype(int)).max()) if row.seen is not None and ours.shape == row.seen.shape else 999
            seen = "as written" if off == 0 else f"within {row.tolerance} of what was written"
            if row.refused is not None or off > row.tolerance:
                wrong.append(f"{row.kind}, {row.name}: off by {off}")
        notes = ", ".join(f"`{code}`" for code, _ in answer.get("notes", []))
        lines.append(f"| {row.kind} | {row.name} | {row.maker} | {seen} | {notes} | {beside_pillow(row, ours)} |")
    return lines, wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare with the table in docs/inputs.md instead of writing it")
    parser.add_argument("--decoder", help="the example decode_folder, where it is built already")
    arguments = parser.parse_args()
    make_rows(48, 64)
    lines, wrong = table(arguments.decoder)
    head = ["| format | kind | written by | what is seen | warnings | Pillow |", "| --- | --- | --- | --- | --- | --- |"]
    text = TABLE.read_text()
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    made = before + BEGIN + "\n" + "\n".join(head + lines) + "\n" + END + after
    for line in wrong:
        print("WRONG", line)
    if arguments.check:
        if made != text:
            sys.stdout.writelines(difflib.unified_diff(text.splitlines(True), made.splitlines(True), str(TABLE), "made now"))
            wrong.append("the table")
    else:
        TABLE.write_text(made)
    print(f"{len(lines)} kinds of pictures, {len(wrong)} wrong")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
