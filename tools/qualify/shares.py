"""Promise: who asks most doesn't keep others waiting, and neither does a batch.

    python tools/qualify/shares.py --trial tokens [--kinds questions edits large words] [--seconds 20]
    python tools/qualify/shares.py --trial batch

Starts the built service on the demo model with tokens of its own. A quiet caller asks about a new picture, waits for the answer,
and asks again a tenth of a second later: alone, then beside another token that sends as fast as it can on 64 connections
(`tokens`: questions about new pictures, edits, questions with bodies of 20 MB, or long answers word by word), or beside a job of
thousands of edits (`batch`), whose progress is told alone and beside four people who ask without a pause.

The greedy clients run on the same cores as the service, at a lower priority (nice 10). Prints a line of figures for each; ends
with 1 if a promise is broken. `--times-are-shown` judges no latencies, for machines that do other work; options that follow `--`
are the service's.
"""

import argparse
import asyncio
import base64
import collections
import http.client
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import flood_clients  # noqa: E402
from flood_clients import Large, percentiles, small_picture  # noqa: E402
from service import Service, program, start  # noqa: E402

# How many times as long as alone a quiet caller waits beside a greedy one, at the median and at p99, and beside a batch; and
# several who ask without a pause beside a batch. Fair would be twice: the rest is the batch that runs when a question comes, each
# of the times that it asks the model, and the cores.
TOKENS, BATCH, CROWD = (6, 6), (4, 3), (6, 4)
# A batch keeps this much of its pace beside people who ask without a pause.
FLOOR = 0.05
CONNECTIONS, PEOPLE = 64, 4
CHOICES = ["a square", "a circle"]


def picture():
    return {"data": base64.b64encode(small_picture()).decode()}


def question():
    return {"image": picture(), "question": "What is it?", "choices": CHOICES}


def edit(number):
    text = f"The object number {number} has an irregular border."
    return {"image": picture(), "question": "What is it?", "answer": f"thing {number}", "reasoning": [text]}


class Asker(threading.Thread):
    """Asks, waits, and asks again after a pause, on a connection that it keeps."""

    def __init__(self, url, token, pause):
        super().__init__(daemon=True)
        self.url, self.token, self.pause = urllib.parse.urlsplit(url), token, pause
        self.ms, self.other, self.ended = [], collections.Counter(), threading.Event()

    def run(self):
        connection = http.client.HTTPConnection(self.url.hostname, self.url.port, timeout=120)
        headers = {"authorization": f"Bearer {self.token}", "content-type": "application/json"}
        while not self.ended.is_set():
            body = json.dumps(question())
            began = time.monotonic()
            connection.request("POST", "/query", body, headers)
            answer = connection.getresponse()
            answer.read()
            if answer.status == 200:
                self.ms.append(1000 * (time.monotonic() - began))
            else:
                self.other[answer.status] += 1
            time.sleep(self.pause)
        connection.close()


def asked(url, token, seconds, pause=0.1, people=1):
    """What so many people waited, and what they were told instead of answers."""
    askers = [Asker(url, token, pause) for _ in range(people)]
    for asker in askers:
        asker.start()
    time.sleep(seconds)
    for asker in askers:
        asker.ended.set()
    for asker in askers:
        asker.join()
    return percentiles([ms for asker in askers for ms in asker.ms]), sum((asker.other for asker in askers), collections.Counter())


async def greedy(plan):
    """Sends as fast as it can until its input is closed; how often what was answered."""
    flood_clients.PORT = plan["port"]
    bodies, told, loop = Large(), collections.Counter(), asyncio.get_running_loop()
    more = f"Authorization: Bearer {plan['token']}\r\n"

    def made():
        """Path, type and parts of the next request."""
        if plan["kind"] == "large":
            return "/query", *bodies.json()
        if plan["kind"] == "edits":
            body = edit(random.randrange(1 << 40))
        elif plan["kind"] == "words":
            body = {"image": picture(), "question": "Describe this image at length.", "max_tokens": 64}
        else:
            body = question()
        return "/edits" if plan["kind"] == "edits" else "/query", "application/json", [json.dumps(body).encode()]

    async def client(number):
        sock = None
        while True:
            try:
                sock = sock or await flood_clients.connect(f"127.0.1.{number + 1}")
                path, kind, parts = made()
                await sock.send(flood_clients.request("POST", path, kind, sum(map(len, parts)), more))
                for part in parts:
                    for at in range(0, len(part), 1 << 18):
                        await sock.send(part[at:at + (1 << 18)])
                status, _, _ = await flood_clients.read_answer(sock)
                told[status] += 1
                if status in (429, 503):
                    # A client that takes no answer for an answer, but not one that spins.
                    await asyncio.sleep(0.05)
            except OSError:
                told["broken"] += 1
                sock = sock and sock.close()
                await asyncio.sleep(0.05)

    clients = [asyncio.ensure_future(client(number)) for number in range(plan["connections"])]
    await loop.run_in_executor(None, sys.stdin.read)
    for each in clients:
        each.cancel()
    return told


class Greedy:
    """A token that sends as fast as it can, in a process of its own."""

    def __init__(self, url, token, kind):
        plan = {"port": urllib.parse.urlsplit(url).port, "token": token, "kind": kind, "connections": CONNECTIONS}
        command = [sys.executable, __file__, "--greedy", json.dumps(plan)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def stop(self):
        return json.loads(self.process.communicate("")[0])


def tokens_trial(args, url, tokens, expect):
    alone, _ = asked(url, tokens["quiet"], args.seconds)
    print(f"alone: {told(alone)}", flush=True)
    for kind in args.kinds:
        other = Greedy(url, tokens["greedy"], kind)
        time.sleep(2)
        beside, refused = asked(url, tokens["quiet"], args.seconds)
        answered = other.stop()
        print(f"beside {CONNECTIONS} connections of {kind} ({shown(answered, args.seconds)}): {told(beside, alone)}; not answered: {dict(refused)}", flush=True)
        judge(args, f"beside {kind}", beside, alone, TOKENS, expect)
        expect(not refused, f"beside {kind} the quiet caller was refused: {dict(refused)}")
        # What the greedy one still had in there is over before the next.
        time.sleep(2)


def batch_trial(args, url, tokens, expect):
    service = Service(url, tokens["admin"])
    alone, _ = asked(url, tokens["quiet"], args.seconds)
    busy, _ = asked(url, tokens["quiet"], args.seconds, 0, PEOPLE)
    lines = "\n".join(json.dumps(edit(number)) for number in range(args.edits))
    job = upload(service, "/edits/batch", lines.encode(), "application/x-ndjson")
    done = lambda: service.call("GET", f"/jobs/{job}")["progress"]["done"]  # noqa: E731

    def pace(seconds, work):
        before = done()
        found = work(seconds)
        return (done() - before) / seconds, found

    time.sleep(2)
    free, _ = pace(args.seconds, time.sleep)
    calm, (beside, refused) = pace(args.seconds, lambda seconds: asked(url, tokens["quiet"], seconds))
    slow, (crowd, crowd_refused) = pace(args.seconds, lambda seconds: asked(url, tokens["quiet"], seconds, 0, PEOPLE))
    print(f"one who asks ten times a second at most, alone: {told(alone)}; beside a batch of {args.edits} edits: {told(beside, alone)}", flush=True)
    print(f"{PEOPLE} who ask without a pause, alone: {told(busy)}; beside the batch: {told(crowd, busy)}", flush=True)
    print(f"edits of the batch a second: alone {free:.2f}, beside one {calm:.2f}, beside {PEOPLE} {slow:.2f}", flush=True)
    judge(args, "beside a batch", beside, alone, BATCH, expect)
    judge(args, f"{PEOPLE} beside a batch", crowd, busy, CROWD, expect)
    expect(not refused and not crowd_refused, f"people were refused: {dict(refused)}, {dict(crowd_refused)}")
    expect(args.times_are_shown or slow >= FLOOR * free, f"the batch makes {slow:.2f} edits a second beside people, {free:.2f} alone")
    service.call("DELETE", f"/jobs/{job}")


def upload(service, path, data, kind):
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(service.url).netloc, timeout=120)
    connection.request("POST", path, data, {"authorization": f"Bearer {service.token}", "content-type": kind})
    answer = connection.getresponse()
    body = json.loads(answer.read())
    assert answer.status == 202, body
    return body["id"]


def judge(args, what, beside, alone, times, expect):
    expect(beside["count"] > 0, f"{what} nobody was answered")
    if args.times_are_shown or not beside["count"]:
        return
    for name, most in zip(("p50", "p99"), times):
        bound = most * alone[name]
        expect(beside[name] <= bound, f"{what}: {name} {beside[name]} ms, bound {bound:.0f} ({most} times {alone[name]} alone)")


def told(found, alone=None):
    if not found["count"]:
        return "never answered"
    ratio = f" ({found['p50'] / alone['p50']:.1f} and {found['p99'] / alone['p99']:.1f} times alone)" if alone else ""
    return f"p50 {found['p50']}, p99 {found['p99']} ms of {found['count']}{ratio}"


def shown(answered, seconds):
    return ", ".join(f"{status}: {count / (seconds + 2):.1f}/s" for status, count in sorted(answered.items()))


def give(data, name, role):
    command = [program(), "token", "create", "--data", str(data), "--name", name, "--role", role]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trial", choices=["tokens", "batch"])
    parser.add_argument("--kinds", nargs="+", default=["questions", "edits", "large", "words"])
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--edits", type=int, default=3000)
    parser.add_argument("--times-are-shown", action="store_true")
    parser.add_argument("--greedy", help=argparse.SUPPRESS)
    parser.add_argument("options", nargs="*", help="of the service, after --")
    args = parser.parse_args()
    if args.greedy:
        os.nice(10)
        print(json.dumps(asyncio.run(greedy(json.loads(args.greedy)))))
        return
    broken = []

    def expect(fine, what):
        if not fine:
            broken.append(what)

    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        tokens = {name: give(folder / "data", name, role) for name, role in [("quiet", "contributor"), ("greedy", "contributor"), ("admin", "admin")]}
        child, url = start(folder, *args.options)
        try:
            asked(url, tokens["quiet"], 2)
            (tokens_trial if args.trial == "tokens" else batch_trial)(args, url, tokens, expect)
        finally:
            child.kill()
            child.wait()
    for what in broken:
        print("BROKEN", what, file=sys.stderr)
    sys.exit(bool(broken))


if __name__ == "__main__":
    main()
