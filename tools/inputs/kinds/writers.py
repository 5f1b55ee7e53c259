"""Who writes files, and who reads them."""

import io
import shutil
import struct
import subprocess
import warnings

import numpy as np
import tifffile
from PIL import Image, ImageOps
from PIL.PngImagePlugin import PngInfo

warnings.simplefilter("ignore")


def pillow(picture, kind, **options):
    picture = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def tiff(values, **options):
    buffer = io.BytesIO()
    options.setdefault("photometric", "rgb" if values.ndim == 3 and values.shape[-1] in (3, 4) else "minisblack")
    tifffile.imwrite(buffer, values, metadata=options.pop("metadata", None), **options)
    return buffer.getvalue()


def magick(picture, kind, *options):
    program = shutil.which("convert-im6.q16") or shutil.which("magick") or shutil.which("convert")
    source = picture if isinstance(picture, bytes) else pillow(picture, "PNG")
    command = [program, "-", *options, "-strip", f"{kind}:-"]
    return subprocess.run(command, input=source, capture_output=True, check=True).stdout


def cjpeg(picture, *options):
    source = pillow(picture, "PPM")
    return subprocess.run(["cjpeg", "-quality", "95", *options], input=source, capture_output=True, check=True).stdout


def read(data):
    """What Pillow makes of a file, upright."""
    return np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB"))


def significant(bits, count):
    info = PngInfo()
    info.add(b"sBIT", bytes([bits] * count))
    return info


def retag(data, tag, value):
    """Changes the value of a SHORT in the first directory of a little-endian TIFF."""
    data = bytearray(data)
    at, = struct.unpack_from("<I", data, 4)
    count, = struct.unpack_from("<H", data, at)
    for entry in range(at + 2, at + 2 + count * 12, 12):
        if struct.unpack_from("<H", data, entry)[0] == tag:
            struct.pack_into("<H", data, entry + 8, value)
            return bytes(data)
    raise ValueError(f"no tag {tag}")
