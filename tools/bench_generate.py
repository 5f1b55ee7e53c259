"""Prefill and decode of the service beside transformers on the same weights in the same precision, in turns.

Both sides are processes that stay up; they answer the same prompts about pictures neither has seen, greedily, one after the other,
and which goes first alternates. Prefill is everything from the picture's file to the first token; decode is the tokens behind it.

Prints one JSON object per precision: medians, ratios (transformers / reasonedit), how often the texts were the same.

Usage: python tools/bench_generate.py --model DIR [--dtype f32 --dtype bf16] [--runs 9] [--tokens 32]
DIR is a bundle of vlm/ and sentence-encoder/ (tools/large_checkpoint.py makes one of half a billion parameters).
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
from pathlib import Path

from bench_compare import Side, spread, work

TORCH = {"f32": "float32", "bf16": "bfloat16", "f16": "float16"}


def measure(arguments: argparse.Namespace, dtype: str, records: list[dict]) -> dict:
    """Both sides on the same work."""
    rust = Side(
        [
            arguments.binary, "bench", "--steps", "--model", arguments.model, "--set", f"model.dtype={dtype}",
            "--set", f"model.device={arguments.device}",
        ],
        arguments.threads,
    )
    script = Path(__file__).with_name("bench_transformers.py")
    device = arguments.device.replace("cuda:0", "cuda")
    python = Side(
        [
            sys.executable, str(script), "--model", str(Path(arguments.model) / "vlm"), "--dtype", TORCH[dtype],
            "--device", device,
        ],
        arguments.threads,
    )
    pairs = []
    for turn, record in enumerate(records):
        prompt = " ".join([*record["statements"], record["question"]])
        request = {"kind": "generate", "image": record["image"], "prompt": prompt, "tokens": arguments.tokens}
        order = [rust, python] if turn % 2 else [python, rust]
        answers = {id(side): side.ask(request) for side in order}
        if turn >= arguments.warmup:
            pairs.append((answers[id(rust)], answers[id(python)]))
    rust.close()
    python.close()

    def stage(name: str, value) -> dict:
        ours, theirs = ([value(pair[side]) for pair in pairs] for side in (0, 1))
        ratios = [b / a for a, b in zip(ours, theirs)]
        return {
            f"reasonedit_{name}": spread(ours), f"transformers_{name}": spread(theirs),
            "ratio": round(statistics.median(theirs) / statistics.median(ours), 2),
            "paired_ratio": round(statistics.median(ratios), 2),
        }

    return {
        "dtype": dtype,
        "prompt_tokens": [statistics.median(pair[side]["prompt_tokens"] for pair in pairs) for side in (0, 1)],
        "tokens": [statistics.median(pair[side]["tokens"] for pair in pairs) for side in (0, 1)],
        "prefill": stage("ms", lambda answer: answer["prefill_ms"]),
        "decode": stage("ms_per_token", lambda answer: answer["decode_ms"] / max(1, answer["tokens"] - 1)),
        "same_text": sum(a["answer"] == b["answer"] for a, b in pairs) / len(pairs),
        "load_average": round(os.getloadavg()[0], 2),
        "transformers_side": python.ready,
    }


def main() -> None:
    """Measures every precision and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default="target/release/reasonedit")
    parser.add_argument("--model", required=True, help="bundle of vlm/ and sentence-encoder/")
    parser.add_argument("--dtype", action="append", choices=list(TORCH))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--warmup", type=int, default=2)
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--seed", type=int, default=1_000_003)
    parser.add_argument("--threads", type=int, default=0, help="threads of both sides (0: as many as they like)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        records = work(arguments.binary, arguments.seed, 2 * (arguments.runs + arguments.warmup), folder)
        for dtype in arguments.dtype or ["f32"]:
            chosen = records[: arguments.runs + arguments.warmup]
            print(json.dumps(measure(arguments, dtype, chosen), indent=2), flush=True)


if __name__ == "__main__":
    main()
