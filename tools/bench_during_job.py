#!/usr/bin/env python3
"""Latency of queries beside a job: starts a service, asks the same questions with and without a job beside them, and prints medians and
their ratio. Rounds alternate, so that both sides meet the same machine. The job is a measurement of layers, a re-embedding of all edits,
or a batch of edits.

usage: bench_during_job.py BINARY [--beside modularity|reembed|batch] [--rounds 4] [--queries 40] [--edits 60]      needs only Python
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

MEASURE = {"source": "world", "apply": "never", "runs": 20, "mismatched": 0}
# As little measuring as can be: what follows is the point.
MOVE = {"source": "world", "apply": "always", "samples": 2, "runs": 2, "weight_samples": 2, "weight_runs": 2, "mismatched": 0, "pooling": ["mean"]}
# The stage of each job that questions are asked beside; none: any.
STAGES = {"modularity": "taps", "reembed": "embedding", "batch": None}


def call(base, path, body=None, method=None, kind="application/json"):
    """JSON answer of a request; ``body`` is sent as JSON unless it is bytes."""
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(base + path, data, {"Content-Type": kind}, method=method)
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


def other_tap(base):
    """A vision tap that the codebook's keys are not made with."""
    used = call(base, "/modularity")["active"]["embedding"]["tap"]
    return "vision.1" if used == "vision.0" else "vision.0"


def start(base, what, edits):
    """Start the job and wait until it is at the stage that counts; its id."""
    if what == "modularity":
        job = call(base, "/modularity", MEASURE)
    elif what == "reembed":
        job = call(base, "/modularity", {**MOVE, "taps": [other_tap(base)]})
    else:
        lines = "".join(json.dumps(edit) + "\n" for edit in edits).encode()
        job = call(base, "/edits/batch?verify=false", lines, kind="application/x-ndjson")
    while not at_work(job := call(base, f"/jobs/{job['id']}"), STAGES[what]):
        if job["state"] not in ("queued", "running"):
            raise RuntimeError(f"the job is {job['state']} before it was at work: {job['error']}")
        time.sleep(0.02)
    return job["id"]


def at_work(job, stage):
    """Whether the job runs, is at this stage, and has done some of it."""
    progress = job["progress"]
    return job["state"] == "running" and progress["done"] > 0 and stage in (None, progress["stage"])


def stop(base, job):
    """Cancel the job and wait for its end."""
    call(base, f"/jobs/{job}", method="DELETE")
    while call(base, f"/jobs/{job}")["state"] in ("queued", "running"):
        time.sleep(0.02)


def main():
    """Measure and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("binary")
    parser.add_argument("--beside", choices=STAGES, default="modularity")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--queries", type=int, default=40)
    parser.add_argument("--edits", type=int, default=60, help="edits to move, or of a batch")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        world = Path(folder) / "world"
        wanted = max(args.rounds * 2 * args.queries, args.edits)
        subprocess.run([args.binary, "world", "--seed", "1000777", "--count", str(wanted), "--out", world], check=True, stdout=subprocess.DEVNULL)
        records = [json.loads(line) for line in (world / "edits.jsonl").read_text().splitlines()]
        picture = {r["uid"]: {"data": base64.b64encode((world / r["image"]).read_bytes()).decode()} for r in records}
        questions = [{"image": picture[r["uid"]], "question": r["question"], "choices": r["choices"]} for r in records]
        edits = [{"image": picture[r["uid"]], **{name: r[name] for name in ("question", "answer", "reasoning")}} for r in records]
        port = 18231
        base = f"http://127.0.0.1:{port}"
        service = subprocess.Popen(
            [args.binary, "serve", "--bind", f"127.0.0.1:{port}", "--data", Path(folder) / "data"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            wait_ready(base)
            for edit in edits[: args.edits if args.beside == "reembed" else 10]:
                call(base, "/edits?verify=false", edit)
            alone, beside = [], []
            for turn in range(args.rounds):
                part = questions[turn * 2 * args.queries :]
                alone += measure(base, part[: args.queries])
                job = start(base, args.beside, edits[: args.edits])
                beside += measure(base, part[args.queries : 2 * args.queries])
                if not at_work(call(base, f"/jobs/{job}"), STAGES[args.beside]):
                    raise RuntimeError("the job ended before the questions did: more --edits, or fewer --queries")
                stop(base, job)
        finally:
            service.terminate()
            service.wait()
    medians = [round(statistics.median(side), 2) for side in (alone, beside)]
    ninetieth = [round(statistics.quantiles(side, n=10)[-1], 2) for side in (alone, beside)]
    print(
        json.dumps(
            {
                "beside": args.beside,
                "queries": len(alone),
                "p50_ms": {"alone": medians[0], "beside_a_job": medians[1], "ratio": round(medians[1] / medians[0], 2)},
                "p90_ms": {"alone": ninetieth[0], "beside_a_job": ninetieth[1]},
            }
        )
    )


if __name__ == "__main__":
    main()
