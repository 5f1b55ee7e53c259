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
import shutil
import struct
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import imagecodecs
import numpy as np
import tifffile
from PIL import Image, ImageOps
from PIL.PngImagePlugin import PngInfo

ROOT = Path(__file__).resolve().parents[2]
TABLE = ROOT / "docs/inputs.md"
BEGIN, END = "<!-- pictures: begin (tools/inputs/pictures.py) -->", "<!-- pictures: end -->"

warnings.simplefilter("ignore")
ROWS = []


class Row:
    def __init__(self, kind, name, maker, data, seen, tolerance=0, refused=None):
        self.kind, self.name, self.maker, self.data = kind, name, maker, data
        self.seen, self.tolerance, self.refused = seen, tolerance, refused


def add(kind, name, maker, data, seen=None, tolerance=0, refused=None):
    """`seen` is the array that has to come out, `tolerance` how far each channel may be off; `refused` is in the refusal."""
    ROWS.append(Row(kind, name, maker, data, seen, tolerance, refused))


# What goes in.

def sources(height, width):
    """The pictures that all rows are made of."""
    global HEIGHT, WIDTH, RGB, SMOOTH, GREY, OPACITY
    HEIGHT, WIDTH = height, width
    RGB, SMOOTH = colours(), smooth()
    GREY = RGB[..., 1].copy()
    OPACITY = ramp(0, 255, np.uint8)


def colours():
    """Gradients, stripes and a disc of red."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    picture = np.stack([x * 255 // (WIDTH - 1), y * 255 // (HEIGHT - 1), (x // 8 + y // 8) % 2 * 120 + 60], axis=-1)
    picture[(x - WIDTH // 3) ** 2 + (y - HEIGHT // 2) ** 2 < HEIGHT * 2] = (220, 20, 30)
    return picture.astype(np.uint8)


def smooth():
    """Colours without edges, for what loses them."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    return np.stack([60 + x * 2, 60 + y * 3, 200 - x - y], axis=-1).astype(np.uint8)


def ramp(low, high, kind):
    """Grey values from low to high, both of which are there."""
    values = np.linspace(low, high, WIDTH * HEIGHT).reshape(HEIGHT, WIDTH)
    return (values if np.dtype(kind).kind == "f" else values.round()).astype(kind)


def grey(values):
    return np.repeat(np.asarray(values, np.uint8)[..., None], 3, axis=-1)


def scaled(values, low, high):
    """As the documentation has it: low is black, high is white."""
    levels = (values.astype(np.float64) - low) * 255 / (high - low)
    levels = np.floor(np.clip(levels, 0, 255) + 0.5).astype(np.uint8)
    return levels if levels.ndim == 3 else grey(levels)


def on(values, alpha, ground=255):
    alpha = np.asarray(alpha, np.int64)[..., None]
    return ((np.asarray(values, np.int64) * alpha + ground * (255 - alpha) + 127) // 255).astype(np.uint8)


# Who writes.

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


def png_rows():
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


def jpeg_rows():
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


def other_rows():
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


def tiff_rows():
    def add_tiff(name, data, seen=None, tolerance=0, maker="tifffile", refused=None):
        add("TIFF", name, maker, data, seen, tolerance, refused)

    bilevel = np.asarray(Image.fromarray(GREY).convert("1"))
    black_white = grey(bilevel * 255)
    for name, compression in (("no compression", None), ("fax group 4", "group4"), ("fax group 3", "group3"),
                              ("fax run lengths", "tiff_ccitt"), ("PackBits", "packbits"), ("LZW", "tiff_lzw")):
        options = {} if compression is None else {"compression": compression}
        add_tiff(f"black and white, {name}", pillow(Image.fromarray(bilevel), "TIFF", **options), black_white, maker="Pillow")
    white_zero = magick(Image.fromarray(bilevel), "TIFF", "-monochrome", "-define", "quantum:polarity=min-is-white", "-compress", "Group4")
    add_tiff("black and white, white is zero, group 4", white_zero, black_white, maker="ImageMagick")
    reverse = magick(Image.fromarray(bilevel), "TIFF", "-monochrome", "-define", "tiff:fill-order=LSB", "-compress", "None")
    add_tiff("black and white, bits in reverse order", reverse, black_white, maker="ImageMagick")
    for bits in (2, 4):
        levels = GREY >> (8 - bits)
        data = magick(Image.fromarray(scaled(levels, 0, 2**bits - 1)), "TIFF", "-colorspace", "Gray", "-depth", str(bits), "-compress", "None")
        add_tiff(f"grey, {bits} bits", data, scaled(levels, 0, 2**bits - 1), maker="ImageMagick")
    add_tiff("grey, 8 bits", tiff(GREY), grey(GREY))
    add_tiff("grey, 8 bits, white is zero", tiff(255 - GREY, photometric="miniswhite"), grey(GREY))
    for bits in (10, 12, 14):
        values = ramp(0, 2**bits - 1, np.uint16)
        add_tiff(f"grey, {bits} bits in 16", tiff(values), scaled(values, 0, 2**bits - 1))
        wide = (values << (16 - bits) | values >> (2 * bits - 16)).astype(np.uint16)
        data = magick(pillow(wide, "PNG"), "TIFF", "-depth", str(bits), "-compress", "None")
        written = tifffile.imread(io.BytesIO(data))
        assert np.abs(written.astype(int) - values).max() <= 2  # ImageMagick rounds on its way
        add_tiff(f"grey, {bits} bits packed", data, scaled(written, 0, 2**bits - 1), maker="ImageMagick")
    values = ramp(0, 4095, np.uint16)
    add_tiff("grey, 12 bits in 16, big-endian", tiff(values, byteorder=">"), scaled(values, 0, 4095))
    add_tiff("grey, 12 bits in 16, white is zero", tiff(values, photometric="miniswhite"), scaled(4095 - values.astype(int), 0, 4095), 1)
    values = ramp(0, 65535, np.uint16)
    add_tiff("grey, 16 bits", tiff(values), scaled(values, 0, 65535))
    values = ramp(0, 700, np.uint16)
    limits = [(280, 3, 1, 0, True), (281, 3, 1, 4095, True)]
    add_tiff("grey, 0 to 700, MaxSampleValue 4095", tiff(values, extratags=limits), scaled(values, 0, 4095))
    limits = [(340, 3, 1, 100, True), (341, 3, 1, 600, True)]
    add_tiff("grey, 0 to 700, SMin 100, SMax 600", tiff(values, extratags=limits), scaled(values, 100, 600))
    add_tiff("grey, 0 to 700, OME SignificantBits 12", tiff(values, ome=True, metadata={"SignificantBits": 12}), scaled(values, 0, 4095))
    for top, white in ((254, 255), (4000, 4095), (60000, 65535), (2**20, 2**21 - 1), (2**32 - 1, 2**32 - 1)):
        values = ramp(0, top, np.uint32)
        add_tiff(f"grey, 0 to {top} in 32 bits", tiff(values), scaled(values, 0, white), 1)
    values = ramp(0, 254, np.int32)
    add_tiff("grey, 0 to 254 in 32 bits, signed", pillow(Image.fromarray(values), "TIFF"), scaled(values, 0, 255), maker="Pillow")
    values = ramp(-128, 127, np.int8)
    add_tiff("grey, 8 bits, signed", tiff(values), scaled(values, -128, 127))
    for low, high, black, white in ((-500, 900, -512, 1023), (-1024, 3071, -1024, 4095), (0, 3000, 0, 4095), (-32768, 32767, -32768, 32767)):
        values = ramp(low, high, np.int16)
        add_tiff(f"grey, {low} to {high} in 16 bits, signed", tiff(values), scaled(values, black, white))
    values = ramp(-1000, 2000, np.int16)
    limits = [(340, 8, 1, -1024, True), (341, 8, 1, 3071, True)]
    add_tiff("grey, signed, SMin -1024, SMax 3071", tiff(values, extratags=limits), scaled(values, -1024, 3071))
    for kind in (np.float16, np.float32, np.float64):
        values = ramp(0, 1, kind)
        add_tiff(f"grey, 0 to 1 in {np.dtype(kind).itemsize * 8} bits, floating-point", tiff(values), scaled(values, 0, 1), 1)
    values = ramp(0, 254, np.uint8).astype(np.float32)
    add_tiff("grey, whole numbers 0 to 254, floating-point", pillow(Image.fromarray(values), "TIFF"), scaled(values, 0, 255), maker="Pillow")
    values = ramp(-7.5, 400, np.float32)
    add_tiff("grey, -7.5 to 400, floating-point", tiff(values), refused="floating-point samples beyond 0 to 1")
    limits = [(340, 11, 1, -7.5, True), (341, 11, 1, 400.0, True)]
    add_tiff("grey, -7.5 to 400, floating-point, SMin, SMax", tiff(values, extratags=limits), scaled(values, -7.5, 400), 1)
    add_tiff("grey, complex", tiff(values.astype(np.complex64)), refused="TIFF of complex numbers")
    twelve = (RGB.astype(np.uint16) << 4) | (RGB >> 4)
    deep = RGB.astype(np.uint16) * 257
    add_tiff("RGB, 8 bits", tiff(RGB), RGB)
    add_tiff("RGB, 8 bits, big-endian", tiff(RGB, byteorder=">"), RGB)
    add_tiff("RGB, BigTIFF", tiff(RGB, bigtiff=True), RGB)
    add_tiff("RGB, BigTIFF, big-endian", tiff(RGB, bigtiff=True, byteorder=">"), RGB)
    add_tiff("RGB, plane after plane", tiff(np.ascontiguousarray(RGB.transpose(2, 0, 1)), photometric="rgb", planarconfig="separate"), RGB)
    add_tiff("RGB, tiles", tiff(RGB, tile=(16, 32)), RGB)
    add_tiff("RGB, tiles, plane after plane",
             tiff(np.ascontiguousarray(RGB.transpose(2, 0, 1)), photometric="rgb", planarconfig="separate", tile=(32, 32)), RGB)
    add_tiff("RGB, strips of 5 rows", tiff(RGB, rowsperstrip=5), RGB)
    add_tiff("RGB, 16 bits", tiff(deep), RGB)
    add_tiff("RGB, 12 bits in 16", tiff(twelve), scaled(twelve, 0, 4095))
    add_tiff("RGB, 0 to 1, floating-point", tiff((RGB / 255).astype(np.float32)), RGB)
    add_tiff("RGB, 4 bits", magick((RGB >> 4) * 17, "TIFF", "-depth", "4", "-compress", "None"), (RGB >> 4) * 17, maker="ImageMagick")
    for compression in ("lzw", "deflate", "packbits", "zstd"):
        add_tiff(f"RGB, {compression}", tiff(RGB, compression=compression), RGB)
    add_tiff("RGB, WebP without loss", tiff(RGB, compression="webp", compressionargs={"lossless": True}), RGB)
    for kind, name in ((np.uint8, "8"), (np.uint16, "16"), (np.uint32, "32")):
        values = RGB.astype(kind) * (257 if name == "16" else 16843009 if name == "32" else 1)
        add_tiff(f"RGB, {name} bits, LZW with differences", tiff(values.astype(kind), compression="lzw", predictor=True), RGB)
    add_tiff("grey, 32 bits, floating-point, deflate with differences",
             tiff(ramp(0, 1, np.float32), compression="deflate", predictor=3), scaled(ramp(0, 1, np.float32), 0, 1), 1)
    add_tiff("RGB, 32 bits, floating-point, tiles, differences",
             tiff((RGB / 255).astype(np.float32), compression="lzw", predictor=3, tile=(32, 32)), RGB)
    for compression, what in (("lzma", "LZMA compression"), ("jpeg2000", "JPEG 2000 compression"), ("jpegxl", "JPEG XL compression"),
                              ("lerc", "LERC compression"), ("png", "PNG compression")):
        add_tiff(f"RGB, {compression}", tiff(RGB, compression=compression), refused=what)
    for name, options in (("4:4:4", {"subsampling": (1, 1)}), ("4:2:0", {"subsampling": (2, 2)})):
        ycbcr = np.asarray(Image.fromarray(SMOOTH).convert("YCbCr"))
        data = tiff(ycbcr, photometric="ycbcr", compression="jpeg", compressionargs={"level": 95}, **options)
        add_tiff(f"YCbCr, JPEG, {name}", data, SMOOTH, 8)
    add_tiff("RGB, JPEG", tiff(SMOOTH, compression="jpeg", compressionargs={"level": 95, "outcolorspace": "rgb"}), SMOOTH, 8)
    add_tiff("grey, JPEG, tiles", tiff(SMOOTH[..., 0].copy(), compression="jpeg", compressionargs={"level": 95}, tile=(16, 16)),
             grey(SMOOTH[..., 0]), 8)
    add_tiff("YCbCr, JPEG with shared tables", pillow(Image.fromarray(SMOOTH).convert("YCbCr"), "TIFF", compression="jpeg", quality=95),
             SMOOTH, 8, maker="Pillow")
    add_tiff("YCbCr", pillow(Image.fromarray(SMOOTH).convert("YCbCr"), "TIFF"), SMOOTH, 3, maker="Pillow")
    add_tiff("YCbCr, LZW, 4:2:0", magick(SMOOTH, "TIFF", "-colorspace", "YCbCr", "-sampling-factor", "2x2", "-compress", "LZW"), SMOOTH, 12,
             maker="ImageMagick")
    few = Image.fromarray(RGB).quantize(64)
    add_tiff("palette, 8 bits", pillow(few, "TIFF"), np.asarray(few.convert("RGB")), maker="Pillow")
    sixteen = np.asarray(Image.fromarray(RGB).quantize(16).convert("RGB"))
    sixteen = Image.fromarray((sixteen >> 4) * 17)
    data = magick(sixteen.convert("RGB"), "TIFF", "-type", "Palette", "-depth", "4", "-compress", "None")
    add_tiff("palette, 4 bits", data, np.asarray(sixteen.convert("RGB")), maker="ImageMagick")
    indices = np.asarray(few)
    table = np.zeros((3, 256), np.uint16)
    table[:, :64] = np.asarray(few.getpalette()[:192], np.uint16).reshape(64, 3).T * 257
    add_tiff("palette, 8 bits, tiles", tiff(indices, photometric="palette", colormap=table, tile=(16, 16)), np.asarray(few.convert("RGB")))
    from PIL import ImageCms
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    to_lab = ImageCms.buildTransform(profile, ImageCms.createProfile("LAB"), "RGB", "LAB")
    lab = ImageCms.applyTransform(Image.fromarray(SMOOTH), to_lab)
    add_tiff("CIELAB, 8 bits", pillow(lab, "TIFF"), SMOOTH, 6, maker="Pillow")
    wide = lab_of(SMOOTH)
    sixteen_bits = np.stack([wide[..., 0] * 655.35, wide[..., 1] * 256, wide[..., 2] * 256], -1).round().astype(np.int32).astype(np.uint16)
    add_tiff("CIELAB, 16 bits", tiff(sixteen_bits, photometric="cielab"), SMOOTH, 2)
    icc = np.stack([wide[..., 0] * 2.55, wide[..., 1] + 128, wide[..., 2] + 128], -1).round().astype(np.uint8)
    add_tiff("CIELAB of the ICC, 8 bits", tiff(icc, photometric="icclab"), SMOOTH, 6)
    cmyk = Image.fromarray(SMOOTH).convert("CMYK")
    add_tiff("CMYK, 8 bits", pillow(cmyk, "TIFF"), np.asarray(cmyk.convert("RGB")), 1, maker="Pillow")
    add_tiff("CMYK, 16 bits", tiff(np.asarray(cmyk).astype(np.uint16) * 257, photometric="separated"), np.asarray(cmyk.convert("RGB")), 2)
    add_tiff("RGB and opacity, 8 bits", tiff(np.dstack([RGB, OPACITY]), extrasamples=["unassalpha"]), on(RGB, OPACITY))
    multiplied = (RGB.astype(int) * OPACITY[..., None] + 127) // 255
    add_tiff("RGB multiplied by opacity, 8 bits", tiff(np.dstack([multiplied.astype(np.uint8), OPACITY]), extrasamples=["assocalpha"]),
             on(RGB, OPACITY), 2)
    add_tiff("RGB and a channel of no meaning", tiff(np.dstack([RGB, OPACITY]), extrasamples=["unspecified"]), RGB)
    add_tiff("RGB and four channels of no meaning", tiff(np.dstack([RGB, OPACITY, GREY, GREY, GREY]), photometric="rgb"), RGB)
    add_tiff("grey and opacity, 8 bits", tiff(np.dstack([GREY, OPACITY]), photometric="minisblack", planarconfig="contig", extrasamples=["unassalpha"]),
             on(grey(GREY), OPACITY))
    add_tiff("RGB and opacity, 16 bits", tiff(np.dstack([deep, OPACITY.astype(np.uint16) * 257]), extrasamples=["unassalpha"]), on(RGB, OPACITY))
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as writer:
        writer.write(RGB, photometric="rgb")
        writer.write(SMOOTH, photometric="rgb")
    add_tiff("two pages, the first one", buffer.getvalue(), RGB)
    for tag, turned in ((3, RGB[::-1, ::-1]), (6, np.rot90(RGB, 3))):
        add_tiff(f"turned, Orientation {tag}", tiff(RGB, extratags=[(274, 3, 1, tag, True)]), turned)
    add_tiff("RGB, second half missing", tiff(RGB)[: RGB.size // 2], refused="damaged")
    add_tiff("a raw file's sensor data (DNG)", retag(tiff(ramp(0, 4095, np.uint16)), 262, 32803), refused="camera's raw sensor data")


def lab_of(rgb):
    """sRGB of 8 bits to CIELAB under D50."""
    linear = rgb / 255.0
    linear = np.where(linear <= 0.04045, linear / 12.92, ((linear + 0.055) / 1.055) ** 2.4)
    matrix = np.array([[0.4360747, 0.3850649, 0.1430804], [0.2225045, 0.7168786, 0.0606169], [0.0139322, 0.0971045, 0.7141733]])
    t = linear @ matrix.T / np.array([0.96422, 1.0, 0.82521])
    f = np.where(t > (6 / 29) ** 3, np.cbrt(t), t / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.stack([116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], -1)


def foreign_rows():
    def foreign(name, data, what, maker):
        add("others", name, maker, data, refused=what)

    foreign("DICOM", b"\0" * 128 + b"DICM\2\0\0\0UL\4\0\0\0\0\0", "a DICOM file", "by hand")
    foreign("DICOM whose preamble is a TIFF", tiff(GREY)[:8].ljust(128, b"\0") + b"DICM\2\0\0\0UL\4\0\0\0\0\0", "a DICOM file", "by hand")
    foreign("HEIC", struct.pack(">I", 24) + b"ftypheic\0\0\0\0mif1heic" + b"\0" * 40, "a HEIC image", "by hand")
    foreign("AVIF", pillow(RGB, "AVIF"), "an AVIF image", "Pillow")
    foreign("JPEG 2000", pillow(RGB, "JPEG2000"), "a JPEG 2000 image", "Pillow")
    foreign("JPEG 2000, codestream", imagecodecs.jpeg2k_encode(RGB, codecformat="j2k"), "a JPEG 2000 image", "imagecodecs")
    foreign("JPEG XL", imagecodecs.jpegxl_encode(RGB), "a JPEG XL image", "imagecodecs")
    foreign("JPEG XR", imagecodecs.jpegxr_encode(RGB), "a JPEG XR image", "imagecodecs")
    foreign("QOI", imagecodecs.qoi_encode(RGB), "a QOI image", "imagecodecs")
    foreign("Netpbm", pillow(RGB, "PPM"), "a Netpbm image", "Pillow")
    foreign("PCX", pillow(RGB, "PCX"), "a PCX image", "Pillow")
    foreign("SGI", pillow(RGB, "SGI"), "an SGI image", "Pillow")
    foreign("DDS", pillow(RGB, "DDS"), "a DirectDraw surface", "Pillow")
    foreign("ICO", pillow(Image.fromarray(RGB).resize((32, 32)), "ICO"), "an icon file", "Pillow")
    foreign("PDF", pillow(RGB, "PDF"), "a PDF document", "Pillow")
    foreign("EPS", pillow(RGB, "EPS"), "a PostScript file", "Pillow")
    foreign("Photoshop", magick(RGB, "PSD"), "a Photoshop document", "ImageMagick")
    foreign("MIFF", magick(RGB, "MIFF"), "not an image in a format that is read", "ImageMagick")
    foreign("SVG", b"<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg'/>", "an SVG drawing", "by hand")
    foreign("a page of the web", b"<!DOCTYPE html><html></html>", "a web page", "by hand")
    foreign("a NumPy array", (lambda b: (np.save(b, GREY), b.getvalue())[1])(io.BytesIO()), "a NumPy array", "numpy")
    foreign("FITS", b"SIMPLE  =                    T".ljust(2880), "a FITS file", "by hand")


def make_rows(height, width):
    ROWS.clear()
    sources(height, width)
    for make in (png_rows, jpeg_rows, tiff_rows, other_rows, foreign_rows):
        make()


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
