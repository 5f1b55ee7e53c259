"""Promise: pictures that are decoded stay within editor.limits.picture_bytes, however many come at once.

    python tools/qualify/decode_memory.py [--queries 16]

Starts the built service and asks so many questions at once, each with a picture of 7000 by 7100 pixels in a file of a few
kilobytes. Prints the peak of resident memory before and with them, and what became of the questions.
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


def ask(url, number, statuses):
    body = {"image": {"data": base64.b64encode(bilevel_png(number)).decode()}, "question": "What is it?", "choices": ["a square", "a circle"]}
    request = urllib.request.Request(url + "/query", json.dumps(body).encode(), {"content-type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=300) as answer:
            answer.read()
            statuses.append(answer.status)
    except urllib.error.HTTPError as error:
        statuses.append(error.code)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--queries", type=int, default=16)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        process, url = start(Path(folder))
        try:
            warm = []
            ask(url, 0, warm)
            before = peak_mib(process)
            statuses, began = [], time.monotonic()
            threads = [threading.Thread(target=ask, args=(url, 1 + number, statuses)) for number in range(args.queries)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            peak = peak_mib(process)
            print(f"a picture of {len(bilevel_png(1))} bytes; peak of resident memory after one {before:.0f} MiB, "
                  f"after {args.queries} at once {peak:.0f} MiB; statuses {dict(collections.Counter(statuses))} in {time.monotonic() - began:.1f} s")
        finally:
            stop(process)


if __name__ == "__main__":
    main()
