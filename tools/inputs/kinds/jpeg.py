"""JPEG files."""

import imagecodecs
import numpy as np
from PIL import Image

from . import sources
from .rows import add
from .sources import grey, ramp, scaled
from .writers import cjpeg, pillow, read


def jpeg_rows():
    RGB, SMOOTH, GREY = sources.RGB, sources.SMOOTH, sources.GREY
    def jpeg(name, data, seen=None, tolerance=4, maker="Pillow", refused=None):
        add("JPEG", name, maker, data, read(data) if seen is None and refused is None else seen, tolerance, refused)

    for name, subsampling in (("4:4:4", 0), ("4:2:2", 1), ("4:2:0", 2)):
        jpeg(f"baseline, {name}", pillow(SMOOTH, "JPEG", quality=95, subsampling=subsampling))
    jpeg("baseline, grey", pillow(GREY, "JPEG", quality=95))
    jpeg("progressive", pillow(SMOOTH, "JPEG", quality=95, progressive=True))
    jpeg("own Huffman tables", pillow(SMOOTH, "JPEG", quality=95, optimize=True))
    jpeg("with restart markers", pillow(SMOOTH, "JPEG", quality=95, restart_marker_blocks=4))
    jpeg("RGB without YCbCr", pillow(SMOOTH, "JPEG", quality=95, keep_rgb=True))
    jpeg("CMYK", pillow(Image.fromarray(SMOOTH).convert("CMYK"), "JPEG", quality=95))
    data = pillow(Image.fromarray(SMOOTH).convert("CMYK"), "JPEG", quality=95)
    at = data.index(b"Adobe") + 11
    jpeg("YCCK", data[:at] + b"\x02" + data[at + 1:])
    jpeg("4:1:1", cjpeg(Image.fromarray(SMOOTH), "-sample", "4x1"), maker="cjpeg")
    for tag, turned in ((2, SMOOTH[:, ::-1]), (3, SMOOTH[::-1, ::-1]), (6, np.rot90(SMOOTH, 3)), (8, np.rot90(SMOOTH))):
        exif = Image.Exif()
        exif[0x0112] = tag
        jpeg(f"turned by EXIF, {tag}", pillow(SMOOTH, "JPEG", quality=98, subsampling=0, exif=exif), turned, 6)
    for name, options in (("baseline", {}), ("progressive", {"progressive": True})):
        data = pillow(SMOOTH, "JPEG", quality=95, **options)
        assert data.endswith(b"\xff\xd9")
        jpeg(f"{name}, no end marker", data[:-2], read(data))
        jpeg(f"{name}, a trailer for the end marker", data[:-2] + b"\0" * 64, read(data))
        jpeg(f"{name}, second half missing", data[: len(data) // 2], refused="damaged: it is cut short")
        jpeg(f"{name}, last 12 bytes missing", data[:-12], refused="damaged: it is cut short")
    jpeg("arithmetic coding", cjpeg(Image.fromarray(SMOOTH), "-arithmetic"), maker="cjpeg", refused="JPEG with arithmetic coding")
    jpeg("arithmetic coding, progressive", cjpeg(Image.fromarray(SMOOTH), "-arithmetic", "-progressive"), maker="cjpeg",
         refused="JPEG with arithmetic coding")
    jpeg("12 bits", imagecodecs.jpeg_encode(ramp(0, 4095, np.uint16), bitspersample=12), maker="imagecodecs",
         refused="JPEG with 12 bits per sample")
    for name, values, seen in (("8 bits", GREY, grey(GREY)), ("RGB", RGB, RGB),
                               ("12 bits", ramp(0, 4095, np.uint16), scaled(ramp(0, 4095, np.uint16), 0, 4095)),
                               ("16 bits", ramp(0, 65535, np.uint16), scaled(ramp(0, 65535, np.uint16), 0, 65535))):
        bits = 8 if values.dtype == np.uint8 else 12 if "12" in name else 16
        data = imagecodecs.ljpeg_encode(values, bitspersample=bits) if values.ndim == 2 else imagecodecs.jpeg_encode(values, lossless=True)
        jpeg(f"lossless, {name}", data, seen, 0, maker="imagecodecs")
    jpeg("JPEG-LS", imagecodecs.jpegls_encode(GREY), maker="imagecodecs", refused="JPEG of the JPEG-LS standard")
