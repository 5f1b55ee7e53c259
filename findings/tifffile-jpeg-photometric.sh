#!/usr/bin/env bash
# tifffile 2026.3.3 (imagecodecs 2026.3.6): imwrite(rgb, compression="jpeg", photometric="ycbcr") spoils colours.
# One guesses: a JPEG-in-TIFF file of a colour picture is tagged YCbCr, so "ycbcr" is what to ask for.
# Seen 2026-11-29: photometric says what the ARRAY holds. "rgb" converts, and the file is tagged YCbCr (6) and
#   subsampled 2x2; "ycbcr" takes R, G, B for Y, Cb, Cr as they are, with the same tags in the file.
#   (200, 30, 30) comes back as (63, 255, 26) from tifffile and from Pillow 13.0.0 alike, with no warning.
# What follows: two files with equal tags, one right and one wrong, cannot be told apart from their tags, so
#   wrong colours there are the writer's and a reader should not guess them right; a test file made with
#   "ycbcr" from RGB proves nothing about a reader: make it with "rgb" and compare with the source array.
set -euo pipefail

dir=$(mktemp -d) || exit 2
trap 'rm -rf "$dir"' EXIT
unsure() { echo "could not tell: $*"; exit 2; }
export PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONDONTWRITEBYTECODE=1
cd "$dir"

python3 -m venv v || unsure "no venv"
v/bin/pip install -q --no-compile --only-binary :all: tifffile==2026.3.3 imagecodecs==2026.3.6 numpy==2.4.6 pillow==13.0.0 \
    || unsure "pip failed"

cat >look.py <<'PY'
import sys, warnings
from importlib.metadata import version

try:
    import numpy, tifffile
    from PIL import Image
except Exception as e:
    print("could not tell:", e)
    sys.exit(2)

COLOUR = (200, 30, 30)
rgb = numpy.full((64, 64, 3), COLOUR, numpy.uint8)
ycc = numpy.asarray(Image.fromarray(rgb).convert("YCbCr"))

def trip(array, photometric):
    """The tags written, and the middle pixel as tifffile and as Pillow read it."""
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        tifffile.imwrite("t.tif", array, photometric=photometric, compression="jpeg")
    with tifffile.TiffFile("t.tif") as file:
        page = file.pages[0]
        tags = (int(page.photometric), int(page.compression), tuple(page.subsampling or ()))
        own = tuple(int(n) for n in page.asarray()[32, 32])
    with Image.open("t.tif") as picture:
        other = picture.convert("RGB").getpixel((32, 32))
    return tags, own, other, len(warned)

def near(a, b):
    return max(abs(x - y) for x, y in zip(a, b)) <= 6

try:
    as_rgb, as_ycc, converted = trip(rgb, "rgb"), trip(rgb, "ycbcr"), trip(ycc, "ycbcr")
except Exception as e:
    print("could not tell:", e)
    sys.exit(2)

print("versions  ", *(n + " " + version(n) for n in ("tifffile", "imagecodecs", "numpy", "pillow")))
print("expected   both ways of writing", COLOUR, "give it back, or the second is refused")
for name, (tags, own, other, warned) in (("RGB as 'rgb'", as_rgb), ("RGB as 'ycbcr'", as_ycc),
                                         ("YCbCr as 'ycbcr'", converted)):
    print("%-17s photometric, compression, subsampling %s  tifffile %s  Pillow %s  warnings %d"
          % (name, tags, own, other, warned))
checks = {
    "'rgb' keeps the colour": near(as_rgb[1], COLOUR) and near(as_rgb[2], COLOUR),
    "'rgb' is tagged YCbCr": as_rgb[0][0] == 6,
    "'ycbcr' has the same tags": as_ycc[0] == as_rgb[0],
    "'ycbcr' spoils it for both readers": near(as_ycc[1], (63, 255, 26)) and near(as_ycc[2], (63, 255, 26)),
    "an array turned to YCbCr before comes back right": near(converted[1], COLOUR) and near(converted[2], COLOUR),
    "no warning": as_ycc[3] == 0,
}
for name, held in checks.items():
    print("  yes" if held else "  NO ", name)
sys.exit(0 if all(checks.values()) else 1)
PY
v/bin/python -W always look.py
