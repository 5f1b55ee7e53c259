"""What every architecture's reference needs: random weights, pictures, files, and the way through `save_pretrained`."""

import importlib
import json
import tempfile
from pathlib import Path

import numpy as np
import torch
import transformers
from PIL import Image

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


def published(write):
    """A folder as it is found on the hub, written by `write(folder)`: what the library reads before it saves anything."""
    folder = tempfile.TemporaryDirectory()
    write(Path(folder.name))
    return folder


def resave(model_class, folder, seed, out, stop_tokens=None):
    """What becomes of a published folder's configuration and surroundings when the library reads and saves them, with random
    weights in place of those that were trained. Returns the model as the library reads it back, and its processor."""
    config = transformers.AutoConfig.from_pretrained(folder)
    model = randomise(model_class(config).float(), seed)
    if stop_tokens is not None:
        model.generation_config = transformers.GenerationConfig(eos_token_id=stop_tokens, pad_token_id=stop_tokens[-1])
    model.to(torch.bfloat16).save_pretrained(out)
    transformers.AutoProcessor.from_pretrained(folder).save_pretrained(out)
    return reopen(model_class, out)


def reopen(model_class, folder):
    """Model and processor of a folder; all weights must find their place."""
    model, info = model_class.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager", output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"] and not info["mismatched_keys"], info
    return model.eval(), transformers.AutoProcessor.from_pretrained(folder)


def pillow_class(module, name):
    """The image processor of that name that computes with Pillow and numpy, as each release calls it."""
    try:
        return getattr(importlib.import_module(f"transformers.models.{module}.image_processing_pil_{module}"), f"{name}Pil")
    except ModuleNotFoundError:
        return getattr(importlib.import_module(f"transformers.models.{module}.image_processing_{module}"), name)


def pillow_processor(processor, module, name, settings, **extra):
    """An image processor that computes with Pillow, set up as the one that was saved."""
    return pillow_class(module, name)(**{key: plain(getattr(processor, key)) for key in settings if hasattr(processor, key)}, **extra)


def plain(value):
    """Sizes as a dictionary, whatever the release has made of them."""
    if hasattr(value, "items"):
        return {key: number for key, number in value.items() if number is not None}
    fields = ["height", "width", "shortest_edge", "longest_edge"]
    edges = {name: getattr(value, name) for name in fields if getattr(value, name, None) is not None}
    return edges or value


def versions():
    """Of the libraries whose word the reference is."""
    import safetensors
    import tokenizers

    return {
        "transformers": transformers.__version__, "tokenizers": tokenizers.__version__, "torch": torch.__version__.split("+")[0],
        "safetensors": safetensors.__version__,
    }


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
