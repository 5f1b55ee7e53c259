"""Promise: a flood costs no more memory than the budget, is refused at once, and is over when it ends.

    python tools/qualify/flood.py [--tls] [--seconds 600] [--results FILE] [--times-are-shown]

Starts the built service on the demo model and finds the rate at which it answers questions with bodies of 20 MB. Then 64 clients
send them twice as often, some of the 64 a byte a second, a quarter of a body, half of one before they are gone; others ask for a
picture of 18 MB and take a kibibyte a second or nothing, over HTTP/1.1 and on many streams of HTTP/2; and one address opens more
silent connections than there are. `/health/live` is asked every 100 ms meanwhile, on the address
for probes (`server.health_bind`), which is held to the promise, and where everything is. Each client has an address of its own
(127.0.x.y, so Linux). The clients run on the same cores as the service, at a lower priority (nice 10).

With `--tls` all of it comes by TLS, with a certificate made for it; a connection too many is then closed without a word.

Where probes lose their time is told too: how long the threads that answer them waited for a core each time that they had
something to do, by the system's own count (schedstat), and the same of a thread that does nothing but look at the clock.

Prints one line of figures; ends with 1 if a promise is broken. `--times-are-shown` judges no latencies, for machines that do
other work; options that follow `--` are the service's.
"""

import argparse
import base64
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import urllib.request
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from flood_clients import BODY_BYTES, bmp, percentiles, small_picture  # noqa: E402
from service import Service, certified, free_port, start, trusting  # noqa: E402

CLIENTS = Path(__file__).with_name("flood_clients.py")
REFUSED_MS, HEALTH_MS, DEADLINE_S = 50, 100, 120
# What the model keeps of pictures (engine.cache_bytes) comes on top of the budget; the cache of decoded ones is within it.
ENGINE_CACHE_MIB, PICTURE_CACHE_MIB, SLACK_MIB = 512, 64, 150


class Process:
    """What the system says of the service's process."""

    def __init__(self, process):
        self.process, self.folder = process, Path(f"/proc/{process.pid}")

    def status(self, name):
        found = re.search(rf"{name}:\s+(\d+)", (self.folder / "status").read_text())
        return int(found[1])

    def mib(self, name="VmRSS"):
        return self.status(name) / 1024

    def waits(self):
        """By name of its threads: seconds on a core, seconds that they waited for one, times that they got one."""
        found = {}
        for task in (self.folder / "task").iterdir():
            try:
                name, (ran, waited, times) = (task / "comm").read_text().strip(), map(int, (task / "schedstat").read_text().split())
            except OSError:
                continue
            before = found.get(name, (0, 0, 0))
            found[name] = (before[0] + ran / 1e9, before[1] + waited / 1e9, before[2] + times)
        return found

    def open(self):
        return {"descriptors": len(os.listdir(self.folder / "fd")), "threads": self.status("Threads")}

    def forget_peak(self):
        (self.folder / "clear_refs").write_text("5")


class Prober(threading.Thread):
    """Asks whether the service lives, every 100 ms on a new connection, and notes what memory it has."""

    def __init__(self, url, process):
        super().__init__(daemon=True)
        self.url, self.process, self.context = url, process, trusting() if url.startswith("https:") else None
        self.ms, self.late, self.failed, self.mib, self.ended = [], [], 0, [], threading.Event()

    def run(self):
        due = time.monotonic() + 0.1
        while not self.ended.wait(max(0, due - time.monotonic())):
            began = time.monotonic()
            # A thread that only slept gets a core as late as this.
            self.late.append(1000 * max(0, began - due))
            try:
                urllib.request.urlopen(self.url + "/health/live", timeout=20, context=self.context).read()
                self.ms.append(1000 * (time.monotonic() - began))
            except OSError:
                self.failed += 1
            self.mib.append(self.process.mib())
            due = time.monotonic() + 0.1


def generate(plan):
    with subprocess.Popen([sys.executable, str(CLIENTS)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as clients:
        out, _ = clients.communicate(json.dumps(plan))
        assert clients.returncode == 0, "the clients failed"
    return json.loads(out)


def ask(service):
    image = base64.b64encode(small_picture()).decode()
    return service.call("POST", "/query", {"image": {"data": image}, "question": "What is it?", "choices": ["a square", "a circle"]})


def keep_picture(service):
    """Stores a picture of 18 MB with an edit; where it is found."""
    head, size = bmp(2448, 2450)
    image = base64.b64encode(head + os.urandom(size)).decode()
    edit = service.call("POST", "/edits?verify=false", {"image": {"data": image}, "question": "What is it?", "answer": "noise", "reasoning": []})
    return f"/images/{edit['image']['id']}"


def waited(before, after):
    """Of each kind of thread: times on a core a second, and milliseconds that each was waited for."""
    found = {}
    for name, (ran, wait, times) in after.items():
        old = before.get(name, (0, 0, 0))
        if times > old[2]:
            found[name] = {"ran_s": round(ran - old[0], 2), "times": times - old[2], "mean_wait_ms": round(1000 * (wait - old[1]) / (times - old[2]), 2)}
    return found


def logged(folder, route):
    """Milliseconds from head to answer of what the log says was refused."""
    found = []
    for line in (folder / "server.log").read_text(errors="replace").splitlines():
        if '"answered"' in line and route in line:
            fields = json.loads(line)
            if fields["status"] in (429, 503):
                found.append(fields["ms"])
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--tls", action="store_true")
    parser.add_argument("--streams", type=int, default=20, help="of each reader of HTTP/2")
    parser.add_argument("--silent", type=int, default=1100)
    parser.add_argument("--bombs", type=int, default=0, help="clients besides that ask about 14 kB with a picture of 150 MB in them; these wait for memory, and "
                        "so refusals are not judged by their time")
    parser.add_argument("--budget-mib", type=float, default=2048, help="server.limits.memory_bytes, in MiB")
    parser.add_argument("--times-are-shown", action="store_true")
    parser.add_argument("--results", type=Path)
    parser.add_argument("options", nargs="*", help="of the service, after --")
    args = parser.parse_args()
    short = args.seconds < 120
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        probes = f"127.0.0.1:{free_port()}"
        child, url = start(folder, *(certified(folder) if args.tls else []), "--set", f"server.health_bind={probes}", *args.options)
        try:
            found = measure(args, folder, child, url, f"http://{probes}", short)
        finally:
            child.kill()
            child.wait()
    broken = judge(found, args)
    found["broken"] = broken
    if args.results:
        args.results.write_text(json.dumps(found, indent=1) + "\n")
    told(found, args)
    for what in broken:
        print("BROKEN", what, file=sys.stderr)
    sys.exit(bool(broken))


def measure(args, folder, child, url, probes, short):
    service, process = Service(url), Process(child)
    ask(service)
    found = {"seconds": args.seconds, "model_mib": process.mib()}
    path = keep_picture(service)
    port = urllib.parse.urlsplit(url).port
    calm = generate({"what": "sustainable", "port": port, "tls": args.tls, "seconds": 4 if short else 20, "clients": 3})
    found["sustainable_per_s"] = calm["came_to"]
    time.sleep(1)
    found["before"] = process.open()
    found["calm_peak_mib"] = process.mib("VmHWM")
    process.forget_peak()
    before = process.waits()
    prober, beside = Prober(probes, process), Prober(url, process)
    prober.start()
    beside.start()
    flood = generate({"what": "flood", "port": port, "tls": args.tls, "seconds": args.seconds, "rate": 2 * found["sustainable_per_s"], "path": path,
                      "streams": args.streams, "silent": args.silent, "bombs": args.bombs})
    for each in (prober, beside):
        each.ended.set()
        each.join()
    found |= {"flood": flood, "peak_mib": process.mib("VmHWM"), "sampled_peak_mib": max(prober.mib),
              "health_ms": percentiles(prober.ms), "late_ms": percentiles(prober.late), "waits": waited(before, process.waits()), "health_failed": prober.failed, "health_beside_ms": percentiles(beside.ms), "health_beside_failed": beside.failed,
              "refused_logged_ms": percentiles(logged(folder, "/query")), "after_flood_mib": process.mib()}
    # What the service was left with ends by its own deadlines.
    time.sleep(5 if short else 60)
    found |= {"quiet_mib": process.mib(), "after": process.open()}
    ask(service)
    answered = []
    last = threading.Thread(target=lambda: answered.append(ask(service)))
    last.start()
    time.sleep(0.01)
    began = time.monotonic()
    child.terminate()
    found["stopped_with"] = child.wait(90)
    found["shutdown_s"] = time.monotonic() - began
    last.join()
    found["drained"] = len(answered) == 1
    return found


def judge(found, args):
    broken, flood = [], found["flood"]

    def expect(fine, what):
        if not fine:
            broken.append(what)

    model = found["model_mib"] + ENGINE_CACHE_MIB
    expect(found["peak_mib"] <= args.budget_mib + model, f"peak of resident memory {found['peak_mib']:.0f} MiB, bound {args.budget_mib + model:.0f}")
    kept = model + PICTURE_CACHE_MIB + SLACK_MIB
    expect(found["quiet_mib"] <= kept, f"resident memory after quiet {found['quiet_mib']:.0f} MiB, bound {kept:.0f}")
    others = {kind: n for kind, n in flood["kinds"].items() if kind.startswith("large") and kind[7:] not in ("200", "429", "503")}
    expect(not others, f"neither answered nor refused: {others}")
    expect(flood["without_retry"] == 0, f"{flood['without_retry']} refusals without Retry-After")
    expect(flood["answered_s"]["count"] > 0 and flood["answered_s"]["max"] <= DEADLINE_S, f"answers {flood['answered_s']}")
    expect(found["health_failed"] + found["health_beside_failed"] == 0, f"{found['health_failed']} and {found['health_beside_failed']} probes failed")
    expect(found["after"]["descriptors"] <= found["before"]["descriptors"] + 2, f"descriptors {found['before']} {found['after']}")
    expect(found["stopped_with"] == 0 and found["drained"], f"shutdown: {found['stopped_with']}, {found['drained']}")
    if not args.times_are_shown:
        refused = found["refused_logged_ms"]
        expect(args.bombs or not refused["count"] or refused["p99"] < REFUSED_MS, f"refusals {refused}")
        expect(found["health_ms"]["p99"] < HEALTH_MS, f"health {found['health_ms']}")
    return broken


def told(found, args):
    flood, health, before, after = found["flood"], found["health_ms"], found["before"], found["after"]
    beside = found["health_beside_ms"]
    refused, logged_ms = flood["refused_ms"], found["refused_logged_ms"]
    print(f"{args.seconds} s at twice {found['sustainable_per_s']:.1f}/s of {BODY_BYTES // 10**6} MB: {flood['came_to']} sent, "
          f"{flood['answered_s']['count']} answered (slowest {flood['answered_s'].get('max', 0)} s), {refused['count']} refused "
          f"(from the end of the head: p50 {refused.get('p50')}, p99 {refused.get('p99')} ms; by the log p50 {logged_ms.get('p50')}, "
          f"p99 {logged_ms.get('p99')} ms); all: {flood['kinds']}; resident memory: model {found['model_mib']:.0f} MiB, peak {found['peak_mib']:.0f}, "
          f"at the end {found['after_flood_mib']:.0f}, after quiet {found['quiet_mib']:.0f}; health p50 {health.get('p50')}, p99 {health.get('p99')}, "
          f"max {health.get('max')} ms, {found['health_failed']} failed; where everything is p50 {beside.get('p50')}, p99 {beside.get('p99')}, max {beside.get('max')} (a thread that sleeps: p99 {found['late_ms'].get('p99')}, max {found['late_ms'].get('max')} late; "
          f"waits for a core: {found['waits']}); descriptors {before['descriptors']} to {after['descriptors']}, "
          f"threads {before['threads']} to {after['threads']}; shutdown {found['shutdown_s']:.1f} s")


if __name__ == "__main__":
    main()
