#!/usr/bin/env python3
"""What a service makes of pairs of edits that differ in one detail which decides the answer (a side, a negation, a number): makes both of each pair
in one codebook, asks about pictures that it has not seen, and counts how often the answer is that of the right one, and how often it is the other's
with a probability above .9. Every way of asking is measured on the same codebook.

usage: pairs.py BINARY [--seed 1000083] [--count 200] [--data FOLDER] [--set NAME=VALUE]… [--detail FILE]      needs only Python
"""

import argparse
import base64
import collections
import json
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import service

WAYS = {"as configured": {}, "plain retrieval": {"retrieval": {"verify": False}}}


def picture(world, path):
    """A picture as requests take it."""
    return {"data": base64.b64encode((world / path).read_bytes()).decode()}


def main():
    """Measure and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("binary")
    parser.add_argument("--seed", type=int, default=1000083)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--data", type=Path, help="pairs that are there already")
    parser.add_argument("--set", action="append", default=[], help="settings of the service")
    parser.add_argument("--detail", type=Path, help="a line for every question")
    options = parser.parse_args()
    service.program = lambda: options.binary
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        world = options.data or folder / "world"
        if not options.data:
            wanted = ["--seed", str(options.seed), "--count", str(options.count), "--pairs", "--out", str(world)]
            subprocess.run([options.binary, "world", *wanted], check=True, stdout=subprocess.DEVNULL)
        records = [json.loads(line) for line in (world / "edits.jsonl").read_text().splitlines()][: 2 * options.count]
        process, url = service.start(folder, *[word for one in options.set for word in ("--set", one)])
        try:
            print(json.dumps(measure(service.Service(url), world, records, options.detail)))
        finally:
            service.stop(process)


def measure(asked, world, records, detail):
    """Right answers and wrong ones, by what the pairs differ in and by the way of asking."""
    for number, record in enumerate(records):
        reasoning = [{"statement": text, "evidence": boxes} if boxes else text for text, boxes in zip(record["reasoning"], record["evidence"])]
        body = {"image": picture(world, record["image"]), "reasoning": reasoning} | {name: record[name] for name in ("question", "answer", "choices")}
        asked.call("POST", "/edits", body)
        tell(f"edits {number + 1} of {len(records)}")
    figures = {way: collections.defaultdict(collections.Counter) for way in WAYS}
    lines = []
    for number, record in enumerate(records):
        kind = record["uid"].split("-")[-2]
        other = next(one["answer"] for one in records if one["uid"][:-1] == record["uid"][:-1] and one["uid"] != record["uid"])
        for image in record["similar_images"]:
            for way, wishes in WAYS.items():
                body = {"image": picture(world, image), "question": record["question"], "choices": record["choices"]} | wishes
                answer = asked.call("POST", "/query", body)
                said, p = answer["answer"], answer["probability"]
                counts = figures[way][kind]
                counts["asked"] += 1
                counts["right"] += said == record["answer"]
                counts["the other's"] += said == other
                counts["wrong above .9"] += said != record["answer"] and (p or 0) > 0.9
                lines.append({"uid": record["uid"], "image": image, "way": way, "said": said, "p": p, "answer": record["answer"], "retrieval": answer["retrieval"]})
        tell(f"questions {number + 1} of {len(records)}")
    if detail:
        detail.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return {way: {kind: dict(counts) for kind, counts in of.items()} | {"all": dict(sum(of.values(), collections.Counter()))} for way, of in figures.items()}


def tell(text):
    """Progress on the terminal."""
    print(f"\r{text}  ", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
