"""Fine-tuning of the final feed-forward block for one edit: the service's beside PyTorch's on the same weights, in turns.

Three ways take the same steps (AdamW without decay, learning rates that fall by a cosine, mean loss over the tokens of the answer):

- `reasonedit`: the forward up to the block once, its hidden states kept, the steps from there (crates/tuning);
- `whole`: PyTorch with the whole forward in each step, picture included, as editors' published code does it;
- `cached`: PyTorch given the hidden states, which its first forward leaves.

All begin with the picture's file. Each is a process that stays up; which goes first changes from edit to edit. The work comes from
`reasonedit world`. Prints one JSON object: medians in milliseconds, their ratios to `reasonedit`, the greatest difference between
the losses of the first steps, and the losses of the first edit.

    cargo build --release --examples -p reasonedit-tuning
    python tools/bench_fine_tuning.py [--model models/demo] [--edits 9] [--steps 100] [--threads 2]

Needs torch, transformers 5, pillow, numpy.
"""

import argparse
import json
import math
import os
import platform
import statistics
import sys
import tempfile
import time
from pathlib import Path

from bench_compare import Side, spread, work

WAYS = ["reasonedit", "whole", "cached"]
FIRST = 5
"""Steps whose losses are compared: rounding grows from step to step."""


class Tuner:
    """The checkpoint in PyTorch, whose final feed-forward block is tuned and put back."""

    def __init__(self, folder: str):
        from bench_transformers import Model

        self.inner = Model(folder, "float32", "cpu")
        self.model = self.inner.model
        for parameter in self.model.parameters():
            parameter.requires_grad_(False)
        language = self.model.model.language_model
        self.layer, self.norm, self.head = language.layers[-1], language.norm, self.model.lm_head
        self.weights = [getattr(self.layer.mlp, name).weight for name in ("gate_proj", "up_proj", "down_proj")]
        self.kept = [weight.detach().clone() for weight in self.weights]

    def tune(self, request: dict) -> dict:
        """One edit."""
        import torch
        from PIL import Image
        from torch.nn.functional import cross_entropy

        began = time.perf_counter()
        for weight, kept in zip(self.weights, self.kept):
            weight.data.copy_(kept)
            weight.requires_grad_(True)
        image = Image.open(request["image"]).convert("RGB")
        inputs, length = self.inner.inputs(image, request["question"], request["answer"])
        targets = inputs["input_ids"][0, -length:]
        cached = request["way"] == "cached"
        if cached:
            hidden = self.hidden(inputs, length)
        optimiser = torch.optim.AdamW(self.weights, lr=request["learning_rate"], betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0)
        prepared = time.perf_counter()
        losses = []
        for step in range(request["steps"]):
            for group in optimiser.param_groups:
                group["lr"] = request["learning_rate"] * 0.5 * (1 + math.cos(math.pi * step / request["steps"]))
            if cached:
                tuned = hidden + self.layer.mlp(self.layer.post_attention_layernorm(hidden))
                logits = self.head(self.norm(tuned))
            else:
                logits = self.model(**inputs, use_cache=False, logits_to_keep=length + 1).logits[0, :-1]
            loss = cross_entropy(logits, targets)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            losses.append(loss.item())
        ended = time.perf_counter()
        return {"ms": (ended - began) * 1e3, "steps_ms": (ended - prepared) * 1e3, "losses": losses, "tokens": length}

    def hidden(self, inputs: dict, length: int):
        """What enters the final block's norm where the answer's tokens are predicted."""
        import torch

        seen = []
        handle = self.layer.post_attention_layernorm.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
        with torch.no_grad():
            self.model(**inputs, use_cache=False, logits_to_keep=1)
        handle.remove()
        return seen[0][0, -length - 1 : -1].clone()


def processor_ms(side: Side) -> float:
    """Processor time that a side has taken: says more than the clock where other programs run too."""
    fields = Path(f"/proc/{side.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * 1e3 / os.sysconf("SC_CLK_TCK")


def serve(arguments: argparse.Namespace) -> None:
    """PyTorch's side: answers requests until the input ends."""
    import torch

    torch.set_num_threads(arguments.threads)
    tuner = Tuner(str(Path(arguments.model) / "vlm"))
    print(json.dumps({"ready": True, "threads": torch.get_num_threads(), "torch": torch.__version__}), flush=True)
    for line in sys.stdin:
        print(json.dumps(tuner.tune(json.loads(line))), flush=True)


def compare(arguments: argparse.Namespace, records: list[dict]) -> dict:
    """All three on the same work."""
    rust = Side([arguments.example, "--model", str(Path(arguments.model) / "vlm")], arguments.threads)
    python = Side(
        [sys.executable, __file__, "--serve", "--model", arguments.model, "--threads", str(arguments.threads)], arguments.threads
    )
    edits = []
    for turn, record in enumerate(records):
        request = {
            "image": record["image"], "question": record["question"], "answer": record["answer"], "steps": arguments.steps,
            "learning_rate": arguments.learning_rate,
        }
        order = WAYS[turn % 3 :] + WAYS[: turn % 3]
        answers = {}
        for way in order:
            side = rust if way == "reasonedit" else python
            before = processor_ms(side)
            answers[way] = side.ask(request | {"way": way})
            answers[way]["processor_ms"] = processor_ms(side) - before
        if turn >= arguments.warmup:
            edits.append(answers)
    rust.close()
    python.close()
    report = {"steps": arguments.steps, "edits": len(edits), "learning_rate": arguments.learning_rate}
    for way in WAYS:
        report[way] = {name: spread([edit[way][name] for edit in edits]) for name in ("ms", "steps_ms", "processor_ms")}
    medians = lambda name, way: report[way][name]["median"] / report["reasonedit"][name]["median"]  # noqa: E731
    for way in WAYS[1:]:
        first = [
            abs(a - b) for edit in edits for a, b in zip(edit["reasonedit"]["losses"][:FIRST], edit[way]["losses"][:FIRST])
        ]
        report[f"{way}_against_reasonedit"] = {
            "ratio": round(medians("ms", way), 2),
            "paired_ratio": round(statistics.median(edit[way]["ms"] / edit["reasonedit"]["ms"] for edit in edits), 2),
            "steps_ratio": round(medians("steps_ms", way), 2), "processor_ratio": round(medians("processor_ms", way), 2),
            f"losses_of_{FIRST}_steps_differ_by": max(first),
        }
    report["tokens_equal"] = all(len({edit[way]["tokens"] for way in WAYS}) == 1 for edit in edits)
    report["losses"] = {way: [round(loss, 5) for loss in edits[0][way]["losses"]] for way in WAYS}
    report["machine"] = {
        "processors": os.cpu_count(), "threads_per_side": arguments.threads, "load_average": round(os.getloadavg()[0], 2),
        "platform": platform.platform(), "pytorch_side": python.ready,
    }
    return report


def main() -> None:
    """Runs the sides and prints the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default="target/release/reasonedit", help="makes the work")
    parser.add_argument("--example", default="target/release/examples/bench_fine_tuning")
    parser.add_argument("--model", default="models/demo", help="bundle of vlm/ and sentence-encoder/")
    parser.add_argument("--edits", type=int, default=9)
    parser.add_argument("--warmup", type=int, default=2)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=1_000_003)
    parser.add_argument("--threads", type=int, default=2, help="of each side")
    parser.add_argument("--serve", action="store_true", help="be PyTorch's side")
    arguments = parser.parse_args()
    if arguments.serve:
        serve(arguments)
        return
    with tempfile.TemporaryDirectory() as folder:
        # Records without four choices are left out.
        records = work(arguments.binary, arguments.seed, 2 * (arguments.edits + arguments.warmup), folder)
        print(json.dumps(compare(arguments, records[: arguments.edits + arguments.warmup]), indent=2))


if __name__ == "__main__":
    main()
