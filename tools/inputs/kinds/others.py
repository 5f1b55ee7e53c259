"""WebP, GIF and BMP files."""

import numpy as np
from PIL import Image

from . import sources
from .rows import add
from .sources import grey, on
from .writers import magick, pillow, read


def other_rows():
    RGB, SMOOTH, GREY, OPACITY = sources.RGB, sources.SMOOTH, sources.GREY, sources.OPACITY
    add("WebP", "lossy", "Pillow", data := pillow(SMOOTH, "WEBP", quality=95), read(data), 4)
    add("WebP", "lossless", "Pillow", pillow(RGB, "WEBP", lossless=True), RGB)
    add("WebP", "lossless with opacity", "Pillow", pillow(np.dstack([RGB, OPACITY]), "WEBP", lossless=True, exact=True),
        on(RGB, OPACITY))
    second = Image.fromarray(SMOOTH)
    add("WebP", "animated, the first frame", "Pillow",
        pillow(RGB, "WEBP", lossless=True, save_all=True, append_images=[second], duration=100), RGB)
    few = Image.fromarray(RGB).quantize(64)
    seen = np.asarray(few.convert("RGB"))
    add("GIF", "256 colours", "Pillow", pillow(few, "GIF"), seen)
    add("GIF", "interlaced", "ImageMagick", magick(few.convert("RGB"), "GIF", "-interlace", "GIF"), seen)
    add("GIF", "animated, the first frame", "Pillow",
        pillow(few, "GIF", save_all=True, append_images=[second.quantize(64)], duration=100), seen)
    holes = seen.copy()
    holes[np.asarray(few) == 3] = 255
    add("GIF", "with one transparent colour", "Pillow", pillow(few, "GIF", transparency=3), holes)
    bilevel = Image.fromarray(GREY).convert("1")
    add("BMP", "1 bit", "Pillow", pillow(bilevel, "BMP"), grey(np.asarray(bilevel) * 255))
    add("BMP", "palette, 8 bits", "Pillow", pillow(few, "BMP"), seen)
    sixteen = Image.fromarray(RGB).quantize(16).convert("RGB")
    add("BMP", "palette, 4 bits", "ImageMagick", magick(sixteen, "BMP3", "-type", "Palette", "-colors", "16"), np.asarray(sixteen))
    add("BMP", "palette, run lengths", "ImageMagick", magick(few.convert("RGB"), "BMP3", "-type", "Palette", "-compress", "RLE"), seen)
    add("BMP", "grey, 8 bits", "Pillow", pillow(GREY, "BMP"), grey(GREY))
    add("BMP", "RGB, 24 bits", "Pillow", pillow(RGB, "BMP"), RGB)
    add("BMP", "RGB, 16 bits (5, 6, 5)", "ImageMagick",
        magick(RGB, "BMP", "-define", "bmp:subtype=RGB565"), RGB, 8)
    add("BMP", "RGB and opacity, 32 bits", "ImageMagick", magick(np.dstack([RGB, OPACITY]), "BMP"), on(RGB, OPACITY), 1)
    add("BMP", "opacity zero everywhere, 32 bits", "ImageMagick", magick(np.dstack([RGB, OPACITY * 0]), "BMP"), RGB)
