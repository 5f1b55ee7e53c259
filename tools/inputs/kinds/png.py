"""PNG files."""

import imagecodecs
import numpy as np
from PIL import Image

from . import sources
from .rows import add
from .sources import grey, on, ramp, scaled
from .writers import magick, pillow, significant


def png_rows():
    RGB, GREY, OPACITY = sources.RGB, sources.GREY, sources.OPACITY
    def png(name, data, seen, tolerance=0, maker="Pillow"):
        add("PNG", name, maker, data, seen, tolerance)

    bilevel = Image.fromarray(GREY).convert("1")
    png("black and white, 1 bit", pillow(bilevel, "PNG"), grey(np.asarray(bilevel) * 255))
    for bits in (2, 4):
        levels = GREY >> (8 - bits)
        data = magick(Image.fromarray(scaled(levels, 0, 2**bits - 1)), "PNG", "-colorspace", "Gray", "-depth", str(bits),
                      "-define", f"png:bit-depth={bits}", "-define", "png:color-type=0")
        png(f"grey, {bits} bits", data, scaled(levels, 0, 2**bits - 1), maker="ImageMagick")
    png("grey, 8 bits", pillow(GREY, "PNG"), grey(GREY))
    for bits in (1, 2, 4, 8):
        few = Image.fromarray(RGB).quantize(2**bits)
        png(f"palette, {bits} bit{'s' * (bits > 1)}", pillow(few, "PNG", bits=bits), np.asarray(few.convert("RGB")))
    few = Image.fromarray(RGB).quantize(16)
    seen = np.asarray(few.convert("RGB")).copy()
    seen[np.asarray(few) == 3] = 255
    png("palette with one transparent colour", pillow(few, "PNG", transparency=3), seen)
    png("RGB, 8 bits", pillow(RGB, "PNG"), RGB)
    png("RGB, 8 bits, interlaced", magick(RGB, "PNG", "-interlace", "PNG"), RGB, maker="ImageMagick")
    seen = RGB.copy()
    seen[(RGB == (220, 20, 30)).all(-1)] = 255
    png("RGB with one transparent colour", pillow(RGB, "PNG", transparency=(220, 20, 30)), seen)
    png("RGB and opacity, 8 bits", pillow(np.dstack([RGB, OPACITY]), "PNG"), on(RGB, OPACITY))
    png("grey and opacity, 8 bits", pillow(np.dstack([GREY, OPACITY]), "PNG"), on(grey(GREY), OPACITY))
    for bits in (9, 10, 12, 14):
        values = ramp(0, 2**bits - 1, np.uint16)
        png(f"grey, {bits} bits in 16", pillow(values, "PNG"), scaled(values, 0, 2**bits - 1))
    values = ramp(0, 4064, np.uint16)
    png("grey, 0 to 4064 in 16 bits", pillow(values, "PNG"), scaled(values, 0, 4095))
    values = ramp(0, 255, np.uint16)
    png("grey, 8 bits in 16", pillow(values, "PNG"), scaled(values, 0, 255))
    for top in (20000, 65535):
        values = ramp(0, top, np.uint16)
        png(f"grey, 0 to {top} in 16 bits", pillow(values, "PNG"), scaled(values, 0, 65535))
    values = ramp(0, 700, np.uint16)
    png("grey, 0 to 700 in 16 bits, sBIT 12", pillow(values, "PNG", pnginfo=significant(12, 1)), scaled(values, 0, 4095))
    values = ramp(0, 4095, np.uint16)
    wide = (values << 4 | values >> 8).astype(np.uint16)
    png("grey, 12 bits spread over 16, sBIT 12", pillow(wide, "PNG", pnginfo=significant(12, 1)), scaled(wide, 0, 65535))
    png("grey, 0 to 700 in 16 bits, sBIT 16", pillow(ramp(0, 700, np.uint16), "PNG", pnginfo=significant(16, 1)),
        scaled(ramp(0, 700, np.uint16), 0, 65535))
    full = RGB.astype(np.uint16) * 257
    png("RGB, 16 bits", imagecodecs.png_encode(full), RGB, maker="imagecodecs")
    twelve = (RGB.astype(np.uint16) << 4) | (RGB >> 4)
    png("RGB, 12 bits in 16", imagecodecs.png_encode(twelve), scaled(twelve, 0, 4095), maker="imagecodecs")
    deep = np.dstack([full, OPACITY.astype(np.uint16) * 257])
    png("RGB and opacity, 16 bits", imagecodecs.png_encode(deep), on(RGB, OPACITY), maker="imagecodecs")
    deep = np.dstack([twelve, OPACITY.astype(np.uint16) * 257])
    png("RGB, 12 bits in 16, opacity of 16", imagecodecs.png_encode(deep), on(scaled(twelve, 0, 4095), OPACITY), maker="imagecodecs")
    clear = np.dstack([RGB, np.zeros_like(GREY)])
    png("RGB, opacity zero everywhere", pillow(clear, "PNG"), RGB)
    drawing = np.dstack([np.full_like(RGB, 250), ((OPACITY // 32) % 2 * 255).astype(np.uint8)])
    png("white drawing, transparent ground", pillow(drawing, "PNG"), on(drawing[..., :3], drawing[..., 3], 0))
    drawing[..., :3] = 20
    png("black drawing, transparent ground", pillow(drawing, "PNG"), on(drawing[..., :3], drawing[..., 3]))
    exif = Image.Exif()
    exif[0x0112] = 6
    png("turned by EXIF", pillow(RGB, "PNG", exif=exif), np.rot90(RGB, 3))
