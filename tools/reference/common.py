"""What every architecture's reference needs: random weights, pictures, files."""

import json
import random

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file

CORPUS = [
    "Does the image show a red circle above the blue square? Yes, it does.",
    "The lesion has an irregular border. A lesion with an irregular border is suspicious.",
    "Describe this image. What is the name of the shape with 12 stripes? No, nothing is shown there!",
    "the answer to the question about the image is malignant, the other one is benign and round",
]


def write_json(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def randomise(model, seed):
    """Weights large enough that every part of the network matters, rounded to bfloat16."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if ("norm" in name.lower() or ".ln_" in name) and name.endswith("weight"):
                value = 1 + 0.2 * noise
            elif parameter.dim() == 1:
                value = 0.1 * noise
            elif "embed" in name and "proj" not in name or "relative_attention_bias" in name:
                value = 0.7 * noise
            else:
                value = 1.2 * noise / parameter[0].numel() ** 0.5
            parameter.copy_(value.bfloat16().float())
    return model.eval()


def save_weights(model, out, skip=()):
    tensors = {n: p.detach().bfloat16().contiguous() for n, p in model.named_parameters() if n not in skip}
    save_file(tensors, out / "model.safetensors", metadata={"format": "pt"})


def picture(rng, width, height):
    """Smooth colours with a few hard edges."""
    numpy = np.random.default_rng(rng.randrange(1 << 30))
    coarse = Image.fromarray(numpy.integers(0, 256, (4, 4, 3), dtype=np.uint8))
    image = np.array(coarse.resize((width, height), Image.BICUBIC))
    x, y = rng.randrange(width // 2), rng.randrange(height // 2)
    image[y : y + height // 3, x : x + width // 3] = numpy.integers(0, 256, 3, dtype=np.uint8)
    return Image.fromarray(image)


def pooled(rows):
    return {"mean": rows.float().mean(0), "last": rows[-1].float()}
