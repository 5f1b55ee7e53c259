#!/usr/bin/env bash
# label-studio-sdk 2.1.2: one turned rectangle leaves its COCO and its YOLO-OBB export as two different boxes.
# One guesses: COCO's bbox is the upright hull of the OBB corners, and image_rotation moves both.
# Seen 2026-11-29, picture 200x100, x=50 y=20 w=20 h=20 rotation=90: the OBB corners turn in pixels about the
#   stored corner (hull 80,20 20x40); COCO turns the percents and scales after (60,20 40x20, as wide as before
#   the turn). On a square picture both agree. image_rotation 90 changes no number of either box.
# What follows: `rotation` is degrees about (x, y), which stays put, to be applied in pixels, never in percents;
#   a COCO file exported from turned boxes on a picture that is not square cannot be trusted and is no oracle;
#   to agree with these exports x, y, width, height are taken as percents of original_width and
#   original_height with image_rotation left alone.
set -euo pipefail

dir=$(mktemp -d) || exit 2
trap 'rm -rf "$dir"' EXIT
unsure() { echo "could not tell: $*"; exit 2; }
export PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONDONTWRITEBYTECODE=1
cd "$dir"

# Only what the converter imports: the release's full list brings opencv and pandas along.
python3 -m venv v || unsure "no venv"
v/bin/pip install -q --no-compile --only-binary :all: --no-deps \
    label-studio-sdk==2.1.2 pillow==13.0.0 numpy==2.2.6 lxml==6.1.3 nltk==3.10.4 regex==2026.11.19 \
    defusedxml==0.7.1 appdirs==1.4.4 ijson==3.6.0 PyJWT==2.13.0 ujson==6.1.0 requests==2.34.2 urllib3==2.8.0 \
    idna==3.20 certifi==2026.10.19.post1 charset-normalizer==3.5.3 \
    || unsure "pip failed"

cat >look.py <<'PY'
import json, os, sys
from importlib.metadata import version

try:
    from PIL import Image
    from label_studio_sdk.converter import Converter
except Exception as e:
    print("could not tell:", e)
    sys.exit(2)

VIEW = ('<View><Image name="image" value="$image"/><RectangleLabels name="label" toName="image">'
        '<Label value="ship"/></RectangleLabels></View>')

def export(size, rotation, image_rotation):
    """The COCO bbox in pixels and the OBB corners in pixels of one result."""
    here = os.path.abspath("%dx%d-%d-%d" % (*size, rotation, image_rotation))
    os.makedirs(here)
    picture = os.path.join(here, "p.png")
    Image.new("RGB", size).save(picture)
    result = {"id": "r1", "type": "rectanglelabels", "from_name": "label", "to_name": "image",
              "original_width": size[0], "original_height": size[1], "image_rotation": image_rotation,
              "value": {"x": 50, "y": 20, "width": 20, "height": 20, "rotation": rotation,
                        "rectanglelabels": ["ship"]}}
    tasks = os.path.join(here, "tasks.json")
    with open(tasks, "w") as f:
        json.dump([{"id": 1, "data": {"image": picture},
                    "annotations": [{"id": 1, "completed_by": 1, "result": [result]}]}], f)
    converter = Converter(VIEW, project_dir=here, download_resources=False)
    converter.convert_to_coco(tasks, os.path.join(here, "coco"), is_dir=False)
    converter.convert_to_yolo(tasks, os.path.join(here, "obb"), is_dir=False, is_obb=True)
    with open(os.path.join(here, "coco", "result.json")) as f:
        (annotation,) = json.load(f)["annotations"]
    labels = os.path.join(here, "obb", "labels")
    (name,) = os.listdir(labels)
    with open(os.path.join(labels, name)) as f:
        numbers = [float(n) for n in f.read().split()[1:]]
    corners = [(round(x * size[0], 3), round(y * size[1], 3)) for x, y in zip(numbers[::2], numbers[1::2])]
    return [round(n, 3) for n in annotation["bbox"]], corners

def hull(corners):
    xs, ys = zip(*corners)
    return [min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)]

try:
    seen = {(size, r, i): export(size, r, i)
            for size in ((200, 100), (100, 100)) for r in (0, 90) for i in (0, 90)}
except Exception as e:
    print("could not tell:", e)
    sys.exit(2)

print("versions   label-studio-sdk", version("label-studio-sdk"), "| pillow", version("pillow"))
print("expected   the COCO bbox is the hull of the OBB corners; image_rotation moves both")
for (size, r, i), (bbox, corners) in seen.items():
    print("picture %dx%d rotation %2d image_rotation %2d  COCO %s  OBB %s  hull %s"
          % (*size, r, i, bbox, corners, hull(corners)))

wide, square = (200, 100), (100, 100)
checks = {
    "image_rotation changes neither export": all(seen[s, r, 0] == seen[s, r, 90]
                                                 for s in (wide, square) for r in (0, 90)),
    "the stored corner stays under rotation": seen[wide, 0, 0][1][0] == seen[wide, 90, 0][1][0] == (100, 20),
    "OBB turns in pixels": hull(seen[wide, 90, 0][1]) == [80, 20, 20, 40],
    "COCO turns in percents": seen[wide, 90, 0][0] == [60, 20, 40, 20],
    "without a turn both agree": seen[wide, 0, 0][0] == hull(seen[wide, 0, 0][1]) == [100, 20, 40, 20],
    "on a square picture both agree": seen[square, 90, 0][0] == hull(seen[square, 90, 0][1]) == [30, 20, 20, 20],
}
for name, held in checks.items():
    print("  yes" if held else "  NO ", name)
sys.exit(0 if all(checks.values()) else 1)
PY
v/bin/python look.py 2>look.log || { rc=$?; cat look.log; exit "$rc"; }
