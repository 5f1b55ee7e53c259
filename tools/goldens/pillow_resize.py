"""Makes the reference outputs of the imaging crate: resizing and decoding by Pillow, `smart_resize` by transformers, colour
jitter by torchvision.

    python tools/goldens/pillow_resize.py [crates/imaging/tests/goldens]

Needs pillow, numpy and transformers (with torch and torchvision); none of them is needed to build or run the service.
All pictures are generated. Made with Pillow 13.0, numpy 2.4, transformers 5.23, torchvision 0.29.
"""

import io
import json
import random
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

OUT = Path(sys.argv[1] if len(sys.argv) > 1 else "crates/imaging/tests/goldens")
FILTERS = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}


def noise(width, height, seed):
    """Full-range noise: the hardest case, since the filter overshoots and clips everywhere."""
    values = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(values)


def shapes(width, height):
    """Gradients, a checkerboard and saturated discs: smooth parts and hard edges."""
    y, x = np.mgrid[0:height, 0:width]
    red = x * 255 // max(width - 1, 1)
    green = y * 255 // max(height - 1, 1)
    blue = ((x // 5 + y // 3) % 2) * 255
    picture = np.stack([red, green, blue], axis=-1).astype(np.uint8)
    inside = (x - width * 0.3) ** 2 + (y - height * 0.6) ** 2 < (min(width, height) * 0.25) ** 2
    picture[inside] = (255, 0, 0)
    return Image.fromarray(picture)


def resize_goldens():
    sources = {"noise": noise(61, 47, 1), "shapes": shapes(97, 64), "strip": noise(130, 3, 2), "dot": noise(1, 1, 3)}
    wanted = [
        ("noise", 90, 71, "bicubic"), ("noise", 23, 18, "bicubic"), ("noise", 7, 47, "bicubic"), ("noise", 61, 13, "bicubic"),
        ("noise", 80, 20, "bicubic"), ("noise", 62, 46, "bicubic"), ("noise", 28, 28, "bilinear"), ("noise", 75, 50, "bilinear"),
        ("shapes", 112, 112, "bicubic"), ("shapes", 56, 28, "bicubic"), ("shapes", 31, 83, "bilinear"), ("shapes", 1, 1, "bicubic"),
        ("strip", 17, 9, "bicubic"), ("strip", 3, 3, "bilinear"), ("dot", 5, 4, "bicubic"),
    ]
    for name, picture in sources.items():
        picture.save(OUT / f"resize_{name}.png", optimize=True)
    table = []
    for name, width, height, kind in wanted:
        target = f"resize_{name}_{width}x{height}_{kind}.png"
        # Along x, then along y: two calls, because since version 13 Pillow itself begins with y where that is cheaper. Earlier
        # versions and torchvision, with which the published checkpoints were trained, always begin with x.
        source = sources[name]
        narrowed = source.resize((width, source.height), FILTERS[kind])
        narrowed.resize((width, height), FILTERS[kind]).save(OUT / target, optimize=True)
        table.append({"source": f"resize_{name}.png", "target": target, "width": width, "height": height, "filter": kind})
    return table


def smart_resize_goldens():
    from transformers.models.qwen2_vl.image_processing_qwen2_vl import smart_resize

    generator = random.Random(5)
    budgets = [(28, 3136, 1003520), (32, 65536, 16777216), (28, 200704, 1003520), (16, 256, 12544), (14, 3136, 12845056)]
    sizes = [(112, 112), (14, 14), (42, 70), (1, 1), (1, 200), (1, 201), (3000, 15), (3001, 15), (4000, 3000), (16384, 3051)]
    sizes += [(generator.randint(1, 5000), generator.randint(1, 5000)) for _ in range(40)]
    sizes += [(14 * generator.randint(1, 90), 14 * generator.randint(1, 90)) for _ in range(20)]
    sizes += [(16 * generator.randint(1, 90), 16 * generator.randint(1, 90)) for _ in range(20)]
    table = []
    for height, width in sizes:
        for factor, least, most in budgets:
            try:
                result = list(smart_resize(height, width, factor=factor, min_pixels=least, max_pixels=most))
            except ValueError:
                result = None
            table.append([height, width, factor, least, most, result])
    return table


def over_white(picture):
    picture = picture.convert("RGBA")
    values = np.asarray(picture).astype(np.int64)
    alpha = values[..., 3:]
    flat = (values[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255
    return Image.fromarray(flat.astype(np.uint8))


def decode_goldens():
    """Pairs of an encoded file and the upright RGB picture that Pillow reads from it."""
    base = shapes(24, 17)
    table = []

    def add(name, data, expected, tolerance):
        (OUT / name).write_bytes(data)
        target = f"{name}.expected.png"
        expected.save(OUT / target, optimize=True)
        table.append({"file": name, "expected": target, "tolerance": tolerance})

    def encode(picture, kind, **options):
        buffer = io.BytesIO()
        picture.save(buffer, kind, **options)
        return buffer.getvalue()

    def read(data):
        return ImageOps.exif_transpose(Image.open(io.BytesIO(data)))

    data = encode(base, "JPEG", quality=90, subsampling=0)
    add("baseline.jpg", data, read(data).convert("RGB"), 4)
    data = encode(base, "JPEG", quality=90, subsampling=0, progressive=True)
    add("progressive.jpg", data, read(data).convert("RGB"), 4)
    data = encode(base.convert("L"), "JPEG", quality=90)
    add("grey.jpg", data, read(data).convert("RGB"), 2)
    data = encode(base.convert("CMYK"), "JPEG", quality=90)
    add("cmyk.jpg", data, read(data).convert("RGB"), 4)
    # The transform byte of the Adobe segment decides how the same coefficients are read: 2 says YCCK.
    at = data.index(b"Adobe") + 11
    data = data[:at] + b"\x02" + data[at + 1:]
    add("ycck.jpg", data, read(data).convert("RGB"), 4)
    for tag in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = tag
        data = encode(base, "JPEG", quality=90, subsampling=0, exif=exif)
        add(f"orientation_{tag}.jpg", data, read(data).convert("RGB"), 4)
    exif = Image.Exif()
    exif[0x0112] = 6
    for name, kind, options in [("oriented.png", "PNG", {}), ("oriented.webp", "WEBP", {"lossless": True}), ("oriented.tiff", "TIFF", {})]:
        data = encode(base, kind, exif=exif, **options)
        add(name, data, read(data).convert("RGB"), 0)

    alpha = base.convert("RGBA")
    alpha.putalpha(Image.fromarray(np.linspace(0, 255, 24 * 17).astype(np.uint8).reshape(17, 24)))
    for name, kind, options in [("alpha.png", "PNG", {}), ("alpha.webp", "WEBP", {"lossless": True, "exact": True}), ("alpha.tiff", "TIFF", {"compression": "tiff_lzw"})]:
        data = encode(alpha, kind, **options)
        add(name, data, over_white(read(data)), 0)
    data = encode(base, "WEBP", quality=90)
    add("lossy.webp", data, read(data).convert("RGB"), 2)
    data = encode(alpha.convert("LA"), "PNG")
    add("grey_alpha.png", data, over_white(read(data)), 0)
    data = encode(base.quantize(16), "PNG", transparency=0)
    add("palette.png", data, over_white(read(data)), 0)
    data = encode(base.convert("1"), "PNG")
    add("bilevel.png", data, read(data).convert("RGB"), 0)
    wide = np.linspace(0, 65535, 24 * 17).round().astype(np.uint16).reshape(17, 24)
    grey = Image.fromarray(np.round(wide / 257).astype(np.uint8)).convert("RGB")
    add("grey16.png", encode(Image.fromarray(wide), "PNG"), grey, 0)
    data = encode(base.quantize(16), "GIF", save_all=True, append_images=[noise(24, 17, 4).quantize(16)], duration=100)
    first = Image.open(io.BytesIO(data))
    first.seek(0)
    add("animated.gif", data, first.convert("RGB"), 0)
    for name, kind, picture, options in [
        ("rgb.bmp", "BMP", base, {}), ("palette.bmp", "BMP", base.quantize(16), {}),
        ("deflate.tiff", "TIFF", base, {"compression": "tiff_deflate"}), ("grey.tiff", "TIFF", base.convert("L"), {}),
        ("cmyk.tiff", "TIFF", base.convert("CMYK"), {}),
    ]:
        data = encode(picture, kind, **options)
        add(name, data, read(data).convert("RGB"), 1 if "cmyk" in name else 0)
    return table


def jitter_goldens():
    """Each step of ColorJitter by itself, on real numbers and rounded once."""
    import torch
    from torchvision.transforms import functional

    picture = noise(24, 17, 6)
    picture.save(OUT / "jitter_source.png", optimize=True)
    values = torch.from_numpy(np.array(picture)).permute(2, 0, 1).double() / 255
    steps = {
        "brightness": functional.adjust_brightness, "contrast": functional.adjust_contrast,
        "saturation": functional.adjust_saturation, "hue": functional.adjust_hue,
    }
    table = []
    for name, amounts in {"brightness": (0.9, 1.1), "contrast": (0.9, 1.1), "saturation": (0.9, 1.1), "hue": (-0.05, 0.05)}.items():
        for amount in amounts:
            changed = (steps[name](values, amount) * 255).round().permute(1, 2, 0).numpy().astype(np.uint8)
            target = f"jitter_{name}_{amount}.png"
            Image.fromarray(changed).save(OUT / target, optimize=True)
            table.append({"step": name, "amount": amount, "expected": target})
    return table


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    for old in OUT.iterdir():
        old.unlink()
    (OUT / "resize.json").write_text(json.dumps(resize_goldens(), indent=1) + "\n")
    rows = ",\n".join(json.dumps(row, separators=(",", ":")) for row in smart_resize_goldens())
    (OUT / "smart_resize.json").write_text(f"[\n{rows}\n]\n")
    (OUT / "jitter.json").write_text(json.dumps(jitter_goldens(), indent=1) + "\n")
    (OUT / "decode.json").write_text(json.dumps(decode_goldens(), indent=1) + "\n")


if __name__ == "__main__":
    main()
