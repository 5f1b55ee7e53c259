"""Training data of a real service on the demo model, for tests in which the trainers' own libraries read it.

Each trainer wants an environment of its own; `.ci/run training` makes them. Every environment has pytest and Pillow.
"""

import base64
import io
import json
import re
import tarfile
import urllib.request

import pytest
from PIL import Image, ImageDraw
from service import ROOT, Service, start, stop

MODEL = ROOT / "models" / "demo" / "vlm"
# A question that is full of marks, and as what it is trained on.
MARKS = "Does <image> or <|im_end|> or {{idx}} or </think> show here?"
PLAIN = "Does < image> or < |im_end|> or { {idx}} or < /think> show here?"
STATEMENTS = ["The shape is drawn with one colour.", "Nothing <think> is written on it."]
PLAIN_STATEMENTS = ["The shape is drawn with one colour.", "Nothing < think> is written on it."]


def drawing(n):
    """A picture whose upper left and lower right can be told apart."""
    image = Image.new("RGB", (120 + 8 * n, 96), (240, 240, 230))
    draw = ImageDraw.Draw(image)
    draw.rectangle((6, 6, 40, 30), fill=(200, 20 * n % 256, 30))
    draw.ellipse((60, 40, 100, 80), fill=(10, 60, 20 * n % 256))
    return image


def encoded(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def turned(image):
    """A JPEG that is stored lying, with the word that it has to be turned."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(image.transpose(Image.Transpose.ROTATE_90), "JPEG", quality=95, exif=exif)


def pictures():
    """Files of kinds that programs show each in their way, after ordinary ones: name, bytes."""
    found = {f"jpeg-{n}": encoded(drawing(n), "JPEG", quality=92) for n in range(6)}
    found |= {f"png-{n}": encoded(drawing(n), "PNG") for n in range(6, 9)}
    clear = drawing(9).convert("RGBA")
    clear.paste((255, 0, 0, 0), (0, 50, 60, 96))
    found["transparent"] = encoded(clear, "PNG")
    found["deep"] = encoded(drawing(10).convert("L").convert("I").point(lambda v: v * 257).convert("I;16"), "PNG")
    found["turned"] = turned(drawing(11))
    found["tiff"] = encoded(drawing(12), "TIFF")
    return found


def heredoc(name):
    """A file that the recipe in docs/training.md has its reader write."""
    page = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
    return re.search(rf"^cat > {re.escape(name)} <<'(\w+)'\n(.*?)^\1$", page, re.MULTILINE | re.DOTALL)[2]


class Exported:
    """A service with edits, and the training data that it hands out."""

    def __init__(self, url, edits):
        self.url = url
        self.edits = edits

    def get(self, path):
        with urllib.request.urlopen(self.url + path, timeout=300) as answer:
            return answer.read()

    def into(self, folder, query):
        """Unpacks an export into a folder; its manifest."""
        folder.mkdir(parents=True, exist_ok=True)
        with tarfile.open(fileobj=io.BytesIO(self.get(f"/export?{query}"))) as archive:
            archive.extractall(folder, filter="data")
        return json.loads((folder / "manifest.json").read_text(encoding="utf-8"))

    def seen(self, edit):
        """The picture of an edit as the service saw it."""
        image = edit["image"]
        whole = f"x=0&y=0&width={image['width']}&height={image['height']}"
        return Image.open(io.BytesIO(self.get(f"/images/{image['id']}?{whole}"))).convert("RGB")


@pytest.fixture(scope="session")
def exported(tmp_path_factory):
    """Edits about every picture; one about the first picture twice, one whose texts hold marks."""
    process, url = start(tmp_path_factory.mktemp("service"))
    service = Service(url)
    edits = []

    def edit(picture, question, answer, reasoning=STATEMENTS):
        body = {"image": {"data": base64.b64encode(picture).decode()}, "question": question, "answer": answer,
                "reasoning": reasoning}
        edits.append(service.call("POST", "/edits", body))

    found = pictures()
    for n, picture in enumerate(found.values()):
        edit(picture, f"What is drawing number {n}?", f"the {n}. drawing")
    edit(found["jpeg-0"], "Which colour is the circle?", "dark green", [])
    edit(found["jpeg-1"], MARKS, "no <image>")
    try:
        yield Exported(url, {made["id"]: made for made in edits})
    finally:
        stop(process)
