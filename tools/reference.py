"""Writes tiny random checkpoints together with reference outputs of transformers, for `reasonedit models check DIR`.

    python tools/reference.py --architecture qwen3_vl --seed 1 --out DIR
    python tools/reference.py --architecture qwen3_vl --checkpoint models/demo/vlm --out DIR
    python tools/reference.py --all --seed 9 --out DIR           # one of each architecture, into DIR/NAME-9
    python tools/reference.py --all --release 4.57.6             # the golden checkpoints that this release makes
    tools/reference.sh                                           # all golden checkpoints, each by its own release

Sizes (depth, heads, pictures) are drawn from the seed. A folder in the form of the published ones is written first; what is
compared with is what the library makes of it with `from_pretrained` and `save_pretrained`: model, tokenizer, processor, for
sentence encoders the whole pipeline. Weights are stored as bfloat16 and computed with in float32, so both sides start from the
same numbers. Needs torch, torchvision, transformers, tokenizers, pillow, numpy; sentence encoders sentence-transformers; siglip
sentencepiece and protobuf. One module of `reference/` to an architecture; adding one is a line below.
"""

import argparse
import importlib
import shutil
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

RELEASES = {
    "4.57.6": {
        "qwen3_vl": [1, 3], "qwen2_5_vl": [1, 3], "qwen2": [1, 3], "llava": [1, 3], "siglip": [1, 3], "instructblip": [1, 3],
        "mpnet": [1], "bert": [1],
    },
    "5.23.0": {
        "qwen3_vl": [2], "qwen2_5_vl": [2], "qwen2": [2], "llava": [2, 4], "siglip": [2], "instructblip": [2], "mpnet": [2],
        "bert": [2, 3],
    },
}
"""Releases of transformers, and the seeds of the golden checkpoints that each makes. tools/reference.sh has what goes with them."""

GOLDENS = Path(__file__).resolve().parent.parent / "crates/models/tests/goldens"


def write(name, seed, out):
    import torch

    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    module, function = ARCHITECTURES[name]
    getattr(importlib.import_module(f"reference.{module}"), function)(seed, out)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--architecture", choices=list(ARCHITECTURES))
    parser.add_argument("--all", action="store_true", help="every architecture")
    parser.add_argument("--release", choices=list(RELEASES), help="make the golden checkpoints of this release, which must be installed")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--checkpoint", type=Path, help="use this checkpoint instead of a random one")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    if args.release:
        import transformers

        if transformers.__version__ != args.release:
            parser.error(f"transformers {transformers.__version__} is installed, not {args.release}")
        for name, seeds in RELEASES[args.release].items():
            for seed in seeds if args.architecture in (None, name) else []:
                out = (args.out or GOLDENS) / f"{name}-{seed}"
                # What another release wrote must not stay beside it.
                shutil.rmtree(out, ignore_errors=True)
                write(name, seed, out)
        return
    if args.out is None or not (args.all or args.architecture):
        parser.error("say what to write (--architecture or --all) and where (--out)")
    seed = 1 if args.seed is None else args.seed
    if args.all:
        for name in ARCHITECTURES:
            write(name, seed, args.out / f"{name}-{seed}")
    elif args.checkpoint:
        args.out.mkdir(parents=True, exist_ok=True)
        module = importlib.import_module(f"reference.{ARCHITECTURES[args.architecture][0]}")
        if not hasattr(module, "existing_checkpoint"):
            parser.error(f"{args.architecture} has no --checkpoint")
        module.existing_checkpoint(args.checkpoint, seed, args.out)
    else:
        write(args.architecture, seed, args.out)


if __name__ == "__main__":
    main()
