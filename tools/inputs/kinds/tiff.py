"""TIFF files."""

import io

import numpy as np
import tifffile
from PIL import Image

from . import sources
from .rows import add
from .sources import grey, on, ramp, scaled
from .writers import magick, pillow, retag, tiff


def tiff_rows():
    RGB, SMOOTH, GREY, OPACITY = sources.RGB, sources.SMOOTH, sources.GREY, sources.OPACITY
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
