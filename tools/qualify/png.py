"""PNG files of any size and depth, by what Python brings with it."""

import struct
import zlib

GREY, COLOUR = 0, 2


def png(width, height, rows, depth=8, kind=COLOUR):
    """The file of a picture whose rows are bytes as PNG packs them."""
    head = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + row for row in rows), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
