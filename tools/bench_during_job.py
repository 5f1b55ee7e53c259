#!/usr/bin/env python3
"""Latency of queries while layers are measured: starts a service, asks the same questions with and without a job beside them, and prints
medians and their ratio. Rounds alternate, so that both sides meet the same machine.

usage: bench_during_job.py BINARY [--rounds 4] [--queries 40]      needs only Python
"""

import argparse
import base64
import json
import statistics
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path

JOB = {"source": "world", "apply": "never", "runs": 20, "mismatched": 0}


def call(base, path, body=None, method=None):
    """JSON answer of a request; ``body`` is sent as JSON."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(base + path, data, {"Content-Type": "application/json"}, method=method)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def wait_ready(base):
    """Wait until the model is loaded."""
    for _ in range(600):
        try:
            call(base, "/health/ready")
            return
        except OSError:
            time.sleep(0.05)
    raise TimeoutError("the service did not become ready")


def measure(base, questions):
    """Milliseconds of each question, asked one after another."""
    spent = []
    for question in questions:
        start = time.perf_counter()
        call(base, "/query", question)
        spent.append((time.perf_counter() - start) * 1000)
    return spent


def main():
    """Measure and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("binary")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--queries", type=int, default=40)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        world = Path(folder) / "world"
        wanted = args.rounds * 2 * args.queries
        subprocess.run([args.binary, "world", "--seed", "1000777", "--count", str(wanted), "--out", world], check=True, stdout=subprocess.DEVNULL)
        records = [json.loads(line) for line in (world / "edits.jsonl").read_text().splitlines()]
        picture = {r["uid"]: base64.b64encode((world / r["image"]).read_bytes()).decode() for r in records}
        questions = [{"image": {"data": picture[r["uid"]]}, "question": r["question"], "choices": r["choices"]} for r in records]
        port = 18231
        base = f"http://127.0.0.1:{port}"
        service = subprocess.Popen(
            [args.binary, "serve", "--bind", f"127.0.0.1:{port}", "--data", Path(folder) / "data"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            wait_ready(base)
            for record in records[:10]:
                edit = {"image": {"data": picture[record["uid"]]}, "question": record["question"], "answer": record["answer"], "reasoning": record["reasoning"]}
                call(base, "/edits?verify=false", edit)
            alone, beside = [], []
            for turn in range(args.rounds):
                part = questions[turn * 2 * args.queries :]
                alone += measure(base, part[: args.queries])
                job = call(base, "/modularity", JOB)["id"]
                while call(base, f"/jobs/{job}")["progress"]["done"] == 0:
                    time.sleep(0.05)
                beside += measure(base, part[args.queries : 2 * args.queries])
                if call(base, f"/jobs/{job}")["state"] != "running":
                    raise RuntimeError("the job ended before the questions did")
                call(base, f"/jobs/{job}", method="DELETE")
        finally:
            service.terminate()
            service.wait()
    medians = [round(statistics.median(side), 2) for side in (alone, beside)]
    ninetieth = [round(statistics.quantiles(side, n=10)[-1], 2) for side in (alone, beside)]
    print(
        json.dumps(
            {
                "queries": len(alone),
                "p50_ms": {"alone": medians[0], "beside_a_job": medians[1], "ratio": round(medians[1] / medians[0], 2)},
                "p90_ms": {"alone": ninetieth[0], "beside_a_job": ninetieth[1]},
            }
        )
    )


if __name__ == "__main__":
    main()
