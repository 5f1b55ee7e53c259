"""Promise: what is made of a request stays within its budget, however many come at once: pictures that are decoded within
editor.limits.picture_bytes, the trees of JSON within server.limits.bodies_in_memory_bytes.

    python tools/qualify/decode_memory.py [--queries 16] [--json]

Starts the built service and asks so many questions at once, each with a picture of 7000 by 7100 pixels in a file of a few
kilobytes; or, with --json, sends so many bodies of brackets, by turns as large as one may be and as large as is read. Prints
the peak of resident memory before and with them, and what became of the questions.
"""

import argparse
import base64
import collections
import json
import re
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from png import GREY, png  # noqa: E402
from service import start, stop  # noqa: E402

WIDTH, HEIGHT = 7000, 7100


def bilevel_png(number):
    """A PNG of one bit a pixel, all white but for a line that is another in each."""
    row, line = b"\xff" * ((WIDTH + 7) // 8), b"\0" * ((WIDTH + 7) // 8)
    return png(WIDTH, HEIGHT, (line if at == number else row for at in range(HEIGHT)), depth=1, kind=GREY)


def peak_mib(process):
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1024


def pictured(number):
    body = {"image": {"data": base64.b64encode(bilevel_png(number)).decode()}, "question": "What is it?", "choices": ["a square", "a circle"]}
    return json.dumps(body).encode()


def bracketed(number):
    """JSON of which a tree takes ninety times as much: of 30 MB, or so much that 60 MB would be made of it."""
    items = (30_000_000 if number % 2 else 400_000) // 7
    return b'{"metadata":{"a":[' + b",".join([b'{"":0}'] * items) + b"]}}"


def ask(url, path, body, statuses):
    request = urllib.request.Request(url + path, body, {"content-type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=300) as answer:
            answer.read()
            statuses.append(answer.status)
    except urllib.error.HTTPError as error:
        statuses.append(error.code)
    except OSError:
        # It was refused from its head, while it was being sent.
        statuses.append("refused while it was sent")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--queries", type=int, default=16)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    path, made = ("/edits", bracketed) if args.json else ("/query", pictured)
    with tempfile.TemporaryDirectory() as folder:
        process, url = start(Path(folder))
        try:
            warm = []
            ask(url, "/query", pictured(0), warm)
            before = peak_mib(process)
            bodies = [made(1 + number) for number in range(args.queries)]
            statuses, began = [], time.monotonic()
            threads = [threading.Thread(target=ask, args=(url, path, body, statuses)) for body in bodies]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            peak = peak_mib(process)
            print(f"bodies of {' and '.join(sorted({str(len(body)) for body in bodies[:2]}))} bytes; peak of resident memory before {before:.0f} MiB, "
                  f"after {args.queries} at once {peak:.0f} MiB; statuses {dict(collections.Counter(statuses))} in {time.monotonic() - began:.1f} s")
        finally:
            stop(process)


if __name__ == "__main__":
    main()
