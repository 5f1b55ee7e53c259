"""Writes a tiny random checkpoint together with reference outputs of transformers, for `reasonedit models check DIR`.

    python tools/reference.py --architecture qwen3_vl --seed 1 --out DIR
    python tools/reference.py --architecture qwen3_vl --checkpoint models/demo/vlm --out DIR

Sizes (depth, heads, pictures) are drawn from the seed. Weights are stored as bfloat16 and computed with in float32, so both
sides start from the same numbers. Needs torch, transformers, tokenizers, pillow, numpy; siglip also sentencepiece and protobuf.
One module of `reference/` to an architecture; adding one is a line below.
"""

import argparse
import importlib
from pathlib import Path

ARCHITECTURES = {
    "qwen3_vl": ("qwen3_vl", "random_checkpoint"),
    "qwen2_5_vl": ("qwen2_5_vl", "random_checkpoint"),
    "qwen2": ("qwen2", "random_checkpoint"),
    "llava": ("llava", "random_checkpoint"),
    "siglip": ("siglip", "random_checkpoint"),
    "instructblip": ("instructblip", "random_checkpoint"),
    "mpnet": ("sentence", "mpnet"),
    "bert": ("sentence", "bert"),
}
"""Module of `reference` and the function in it that takes a seed and a folder."""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--architecture", choices=list(ARCHITECTURES), required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--checkpoint", type=Path, help="use this checkpoint instead of a random one")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    import torch

    torch.manual_seed(args.seed)
    name, function = ARCHITECTURES[args.architecture]
    module = importlib.import_module(f"reference.{name}")
    if not args.checkpoint:
        getattr(module, function)(args.seed, args.out)
    elif hasattr(module, "existing_checkpoint"):
        module.existing_checkpoint(args.checkpoint, args.seed, args.out)
    else:
        parser.error(f"{args.architecture} has no --checkpoint")


if __name__ == "__main__":
    main()
