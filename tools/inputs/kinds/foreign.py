"""Files that are not read, and are told by name."""

import io
import struct

import imagecodecs
import numpy as np
from PIL import Image

from . import sources
from .rows import add
from .writers import magick, pillow, tiff


def foreign_rows():
    RGB, GREY = sources.RGB, sources.GREY
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
