#!/usr/bin/env python3
"""What a dry run over logged questions costs beside asking them all anew: starts a service with a log of what was asked, makes edits of the
demo world, asks many questions, then tries other edits on them. Asking anew is measured on the same questions, a sample of them after each
dry run, so that both sides meet the same machine.

usage: bench_dry_run.py BINARY [--edits 100] [--questions 1000] [--tried 10] [--sample 50]      needs only Python
"""

import argparse
import base64
import json
import random
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from bench_during_job import call, wait_ready


def questions_of(world, records, count):
    """Questions of all kinds about the world's pictures, each with another picture or text."""
    asked, data = [], {}
    for record in records:
        kinds = record["unrelated"] + record["contrast"] + record["related"] + record["rationale_questions"]
        own = [{"image": image, "question": record["question"], "choices": record["choices"]} for image in record["similar_images"]]
        for one in kinds + own:
            path = one["image"]
            data.setdefault(path, base64.b64encode((world / path).read_bytes()).decode())
            asked.append({"image": {"data": data[path]}, "question": one["question"], "choices": one["choices"]})
    random.Random(0).shuffle(asked)
    unique = {json.dumps(one): one for one in asked}
    return list(unique.values())[:count]


def timed(base, path, body):
    """Answer, and milliseconds."""
    start = time.perf_counter()
    answer = call(base, path, body)
    return answer, (time.perf_counter() - start) * 1000


def logged(base, edit, wanted):
    """Wait until so many questions are in the log; how many are."""
    for _ in range(60):
        found = call(base, "/dry-run", {"edit": edit, "questions": "log"})["questions"]
        if found >= wanted:
            break
        time.sleep(0.5)
    return found


def main():
    """Measure and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("binary")
    parser.add_argument("--edits", type=int, default=100)
    parser.add_argument("--questions", type=int, default=1000)
    parser.add_argument("--tried", type=int, default=10)
    parser.add_argument("--sample", type=int, default=50)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        world = Path(folder) / "world"
        count = args.edits + args.tried + args.questions // 5
        subprocess.run([args.binary, "world", "--seed", "1000778", "--count", str(count), "--out", world], check=True, stdout=subprocess.DEVNULL)
        records = [json.loads(line) for line in (world / "edits.jsonl").read_text().splitlines()]
        picture = {r["uid"]: {"data": base64.b64encode((world / r["image"]).read_bytes()).decode()} for r in records}
        edits = [{"image": picture[r["uid"]], **{name: r[name] for name in ("question", "answer", "reasoning")}} for r in records]
        made, tried = edits[: args.edits], edits[args.edits : args.edits + args.tried]
        questions = questions_of(world, records, args.questions)
        port = 18232
        base = f"http://127.0.0.1:{port}"
        options = ["--set", "editor.question_log.enabled=true", "--set", f"editor.question_log.most={args.questions}"]
        service = subprocess.Popen(
            [args.binary, "serve", "--bind", f"127.0.0.1:{port}", "--data", Path(folder) / "data", *options],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            wait_ready(base)
            for edit in made:
                call(base, "/edits?verify=false", edit)
            for question in questions:
                call(base, "/query", question)
            found = logged(base, tried[0], len(questions))
            runs, whole, anew = [], [], []
            for turn, edit in enumerate(tried):
                run, ms = timed(base, "/dry-run", {"edit": edit, "questions": "log"})
                runs.append(run)
                whole.append(ms)
                for question in random.Random(turn).sample(questions, min(args.sample, len(questions))):
                    anew.append(timed(base, "/query", question)[1])
        finally:
            service.terminate()
            service.wait()
    all_anew = statistics.mean(anew) * found
    compare = [run["timings_ms"]["compare"] for run in runs]
    print(
        json.dumps(
            {
                "edits": args.edits,
                "logged": found,
                "told_otherwise": [len(run["changes"]) for run in runs],
                "unknown": [run["unknown"] for run in runs],
                "flipped": [run["flipped"] for run in runs],
                "dry_run_ms": {"whole": round(statistics.median(whole)), "making_the_edit": round(statistics.median(run["timings_ms"]["edit"] for run in runs))},
                "compare_ms": {"median": round(statistics.median(compare)), "most": round(max(compare))},
                "asking_all_anew_ms": round(all_anew),
                "ratio": round(statistics.median(whole) / all_anew, 4),
            }
        )
    )


if __name__ == "__main__":
    main()
