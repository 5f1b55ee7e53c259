"""Writes low-rank adapters of the demo model as PEFT saves them, with the logits PEFT gives: what `model.adapter` loads or refuses.

    PYTHONHASHSEED=0 python tools/peft_adapters.py                     # into crates/tuning/tests/goldens/adapters
    python tools/peft_adapters.py --read DIR                           # prints the logits that PEFT gives with one

Each folder has `adapter_config.json` and `adapter_model.safetensors`, unchanged, and `logits.safetensors`: `logits` where the reply
of goldens/demo/example.json is predicted (the last of them), and how far they are from the model's own (`moved`, greatest
difference). All weights are random, none zero. `README.md` above them says what names they have. Without the variable PEFT
writes the names of `target_modules` in another order each time.

Needs torch, transformers 5, peft, numpy, pillow, safetensors.
"""

import argparse
import json
import shutil
import warnings
from pathlib import Path

import peft
import torch
from gradients import OUT, ROOT, demo_example, opened
from peft import LoraConfig, PeftModel, get_peft_model
from PIL import Image
from reference.common import versions, write_json
from safetensors.torch import load_file, save_file

LAST = 5
"""Number of the demo's last layer."""

ADAPTERS = {
    # What trainers write for most models.
    "attention": {"r": 4, "lora_alpha": 16, "target_modules": ["q_proj", "v_proj", "o_proj"], "lora_dropout": 0.05},
    "rank_stabilised": {"r": 2, "lora_alpha": 4, "target_modules": ["k_proj", "v_proj"], "use_rslora": True},
    # The first that fits counts; a key is an expression that the end of the module's name has to match.
    "patterns": {
        "r": 2, "lora_alpha": 4, "target_modules": ["q_proj", "o_proj", "down_proj"], "layers_to_transform": [3, 4, 5],
        "rank_pattern": {r"layers\.[34]\.self_attn\.q_proj": 3, "q_proj": 1, "down_proj": 1},
        "alpha_pattern": {r"^model\.language_model\.layers\.4\.self_attn\.o_proj": 12, "down_proj": 2},
    },
    "feed_forward": {
        "r": 2, "lora_alpha": 8, "target_modules": ["gate_proj", "up_proj", "down_proj"], "layers_to_transform": [LAST],
    },
    # Weights have magnitudes of their own beside.
    "magnitudes": {"r": 1, "lora_alpha": 2, "target_modules": ["q_proj"], "layers_to_transform": [LAST], "use_dora": True},
    "biases": {"r": 1, "lora_alpha": 2, "target_modules": ["q_proj"], "layers_to_transform": [LAST], "lora_bias": True},
    # The whole of another module, trained with it.
    "whole_modules": {
        "r": 1, "lora_alpha": 2, "target_modules": ["q_proj"], "layers_to_transform": [LAST],
        "modules_to_save": ["language_model.norm"],
    },
    # Not the language model's.
    "vision": {"r": 1, "lora_alpha": 2, "target_modules": r"model\.visual\.blocks\.0\.attn\.qkv"},
}
"""Name of the folder, and the settings that differ from PEFT's."""


def write(name, settings, picture, out):
    """One adapter."""
    example = demo_example(opened(ROOT / "models/demo/vlm"), picture)
    plain = example.logits().detach()
    model = get_peft_model(example.model, LoraConfig(**settings))
    generator = torch.Generator().manual_seed(len(name))
    with torch.no_grad():
        for parameter_name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if "lora_A" in parameter_name:
                parameter.copy_(noise * parameter.shape[1] ** -0.5)
            elif "lora_B" in parameter_name:
                parameter.copy_(0.05 * noise)
            elif parameter.requires_grad:
                parameter.add_(0.1 * noise)
    model.eval()
    trained = example.logits().detach()
    folder = out / name
    model.save_pretrained(folder)
    # A card for the hub, of nothing but headings.
    (folder / "README.md").unlink(missing_ok=True)
    # What is read back, which need not be what was saved: see README.md.
    again = demo_example(opened(ROOT / "models/demo/vlm"), picture)
    PeftModel.from_pretrained(again.model, folder).eval()
    logits = again.logits().detach()
    assert torch.equal(logits, trained), name
    moved = (logits - plain).abs().max().reshape(1)
    save_file({"logits": logits[-1:].clone(), "moved": moved}, folder / "logits.safetensors")
    stored = load_file(folder / "adapter_model.safetensors")
    first = next(iter(stored))
    print(f"{name}: logits move by {moved.item():.3f}; {len(stored)} tensors, {first} {list(stored[first].shape)} for one")


def read(folder, picture):
    """The last logits of the demo model by itself and with an adapter, and what PEFT warns of."""
    example = demo_example(opened(ROOT / "models/demo/vlm"), picture)
    plain = example.logits()[-1]
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        PeftModel.from_pretrained(example.model, folder).eval()
    said = [str(warning.message) for warning in warned if "adapter" in str(warning.message)]
    print(json.dumps({"plain": plain.tolist(), "logits": example.logits()[-1].tolist(), "warnings": said}))


def main():
    """Writes all, or reads one."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=OUT / "adapters")
    parser.add_argument("--read", type=Path, metavar="DIR")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    picture = Image.open(OUT / "demo/image.png").convert("RGB")
    if arguments.read:
        with torch.no_grad():
            read(arguments.read, picture)
        return
    for name, settings in ADAPTERS.items():
        shutil.rmtree(arguments.out / name, ignore_errors=True)
        write(name, settings, picture, arguments.out)
    write_json(arguments.out / "versions.json", versions() | {"peft": peft.__version__})


if __name__ == "__main__":
    main()
