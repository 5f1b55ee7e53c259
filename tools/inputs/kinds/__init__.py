"""A file of every kind of picture, made by the program that people have it from."""

from . import sources
from .foreign import foreign_rows
from .jpeg import jpeg_rows
from .others import other_rows
from .png import png_rows
from .rows import ROWS
from .tiff import tiff_rows


def make_rows(height, width):
    ROWS.clear()
    sources.draw(height, width)
    for make in (png_rows, jpeg_rows, tiff_rows, other_rows, foreign_rows):
        make()
