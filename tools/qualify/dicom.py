"""A DICOM file with random contents."""

import random


def element(group, number, kind, value):
    value = value.encode() if isinstance(value, str) else value
    if kind in ("UI", "PN", "LO", "CS"):
        value += (b"\0" if kind == "UI" else b" ") * (len(value) % 2)
    length = b"\0\0" + len(value).to_bytes(4, "little") if kind in ("OB", "OW") else len(value).to_bytes(2, "little")
    return group.to_bytes(2, "little") + number.to_bytes(2, "little") + kind.encode() + length + value


def dicom(name="Tried"):
    """A small secondary capture of 64 by 64 random greys."""
    one, two, three = (f"2.25.{random.randrange(10**30)}" for _ in range(3))
    capture = "1.2.840.10008.5.1.4.1.1.7"
    meta = b"".join(element(2, *item) for item in [
        (1, "OB", b"\0\1"), (2, "UI", capture), (3, "UI", one), (0x10, "UI", "1.2.840.10008.1.2.1"), (0x12, "UI", "2.25.1")])
    numbers = [(2, 1), (0x10, 64), (0x11, 64), (0x100, 8), (0x101, 8), (0x102, 7), (0x103, 0)]
    whole = [(8, 0x16, "UI", capture), (8, 0x18, "UI", one), (8, 0x60, "CS", "OT"), (0x10, 0x10, "PN", name), (0x10, 0x20, "LO", one[-12:]),
             (0x20, 0xd, "UI", two), (0x20, 0xe, "UI", three), (0x28, 4, "CS", "MONOCHROME2"), (0x7fe0, 0x10, "OW", random.randbytes(4096)),
             *((0x28, number, "US", value.to_bytes(2, "little")) for number, value in numbers)]
    return bytes(128) + b"DICM" + element(2, 0, "UL", len(meta).to_bytes(4, "little")) + meta + b"".join(element(*item) for item in sorted(whole))
