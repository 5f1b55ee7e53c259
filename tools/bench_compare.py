"""Edits and queries of the service beside the same work done by transformers on the same weights.

Both sides run as processes that stay up and take turns on every piece of work, so that whatever else the machine does
falls on both alike; which side goes first alternates. The work comes from `reasonedit world`: edits with three
statements whose evidence has to be found, queries with four choices on pictures neither side has seen.

Prints one JSON object: medians in milliseconds by stage, their ratios (transformers / reasonedit), how often both sides
gave the same answer, and the machine.

Usage: python tools/bench_compare.py [--binary target/release/reasonedit] [--model models/demo] [--runs 30]
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path


class Side:
    """A process that answers one JSON line with another."""

    def __init__(self, command: list[str], threads: int):
        variables = dict(os.environ)
        if threads:
            variables.update(RAYON_NUM_THREADS=str(threads), OMP_NUM_THREADS=str(threads))
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=variables
        )
        self.ready = self.read()

    def read(self) -> dict:
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"{self.process.args[0]} ended with {self.process.wait()}")
        return json.loads(line)

    def ask(self, request: dict) -> dict:
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return self.read()

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()


def work(binary: str, seed: int, count: int, folder: str) -> list[dict]:
    """Records with three statements and four choices; statements of later records fill up where one has fewer."""
    subprocess.run(
        [binary, "world", "--seed", str(seed), "--count", str(count), "--out", folder],
        check=True, stdout=subprocess.DEVNULL,
    )
    records = [json.loads(line) for line in open(Path(folder) / "edits.jsonl", encoding="utf-8")]
    pool = list(dict.fromkeys(statement for record in records for statement in record["reasoning"]))
    for record in records:
        more = (statement for statement in pool if statement not in record["reasoning"])
        record["statements"] = record["reasoning"][:3]
        while len(record["statements"]) < 3:
            record["statements"].append(next(more))
        record["image"] = str(Path(folder) / record["image"])
        record["similar"] = str(Path(folder) / record["similar_images"][0])
    return [record for record in records if len(record["choices"]) == 4]


def spread(values: list[float]) -> dict:
    """Median and quartiles."""
    quarters = statistics.quantiles(values, n=4)
    return {
        "median": round(statistics.median(values), 3),
        "quartiles": [round(quarters[0], 3), round(quarters[2], 3)],
        "runs": len(values),
    }


def main() -> None:
    """Runs both sides and prints the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default="target/release/reasonedit")
    parser.add_argument("--model", default="models/demo", help="bundle of vlm/ and sentence-encoder/")
    parser.add_argument("--python", default=sys.executable, help="interpreter that has torch and transformers")
    parser.add_argument("--runs", type=int, default=30)
    parser.add_argument("--warmup", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1_000_003)
    parser.add_argument(
        "--threads", type=int, default=0,
        help="threads of both sides (0: as many as they like; on a busy machine 1 is the fairer comparison)",
    )
    arguments = parser.parse_args()

    load_before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        records = work(arguments.binary, arguments.seed, arguments.runs + arguments.warmup, folder)
        threads = arguments.threads
        # The other side judges nothing it retrieves.
        plain = ["--set", "editor.retrieval.verify.enabled=false"]
        rust = Side([arguments.binary, "bench", "--steps", "--model", arguments.model, *plain], threads)
        script = Path(__file__).with_name("bench_transformers.py")
        python = Side([arguments.python, str(script), "--model", str(Path(arguments.model) / "vlm")], threads)
        edits, queries = [], []
        for turn, record in enumerate(records):
            counted = turn >= arguments.warmup
            ours = {
                "kind": "edit", "image": record["image"], "question": record["question"],
                "answer": record["answer"], "choices": record["choices"], "statements": record["statements"],
            }
            theirs = {"kind": "edit", "image": record["image"], "statements": record["statements"]}
            pair = [rust.ask(ours), python.ask(theirs)] if turn % 2 else [python.ask(theirs), rust.ask(ours)][::-1]
            if counted:
                edits.append(pair)
            ours = {
                "kind": "query", "image": record["similar"], "question": record["question"],
                "choices": record["choices"],
            }
            # The service answers first: the prompt it built is what the other side is given.
            answered = rust.ask(ours)
            theirs = {
                "kind": "query", "image": record["similar"], "prompt": answered["prompt"],
                "choices": record["choices"],
            }
            pair = [answered, python.ask(theirs)]
            if counted:
                queries.append(pair)
        rust.close()
        python.close()

    def stages(pairs: list) -> dict:
        keys = pairs[0][0]["timings_ms"].keys()
        return {key: spread([pair[0]["timings_ms"][key] for pair in pairs]) for key in keys}

    patchify = spread([pair[0]["timings_ms"]["patchify"] for pair in edits])
    plain_edit = spread([pair[1]["ms"] for pair in edits])
    verify = spread([pair[1]["verify_ms"] for pair in edits])
    query = spread([pair[0]["timings_ms"]["total"] for pair in queries])
    plain_query = spread([pair[1]["ms"] for pair in queries])
    report = {
        "edit": {
            "reasonedit_ms": stages(edits),
            "transformers_ms": {"verify": verify, "verify_and_score": plain_edit},
            "forwards_median": statistics.median(pair[1]["forwards"] for pair in edits),
            "ratio_patchify": round(plain_edit["median"] / patchify["median"], 2),
        },
        "query": {
            "reasonedit_ms": stages(queries),
            "transformers_ms": plain_query,
            "forwards_median": statistics.median(pair[1]["forwards"] for pair in queries),
            "ratio": round(plain_query["median"] / query["median"], 2),
            "same_answer": sum(pair[0]["answer"] == pair[1]["answer"] for pair in queries) / len(queries),
        },
        "machine": {
            "processors": os.cpu_count(),
            "threads_per_side": arguments.threads or "default",
            # Far above 0: something else ran too, and the ratios say little.
            "load_average_before": round(load_before, 2),
            "platform": platform.platform(),
            "transformers_side": python.ready,
        },
    }
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
