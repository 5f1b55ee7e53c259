"""Promise: when nothing can be stored that is said, nothing that was acknowledged is lost, and it ends by itself.

    python tools/qualify/full_disk.py [--rounds 5]

As root on Linux: the built service keeps its data on a disk in memory (in a mount namespace of its own). The disk is filled
to the last byte; the data folder is moved away; the process gets no more open files; the service is started while the disk
is full. Each time edits have to be refused with
507 or 503, questions go on being answered, readiness says it, and seconds after the cause is gone, edits are taken again by
the same process. At the end `codebook verify` reads everything. Prints how each went; ends with 1 if a promise was broken.
"""

import argparse
import base64
import contextlib
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from png import png  # noqa: E402
from service import ROOT, free_port, program, start, stop  # noqa: E402

INSIDE = "FULL_DISK_INSIDE"


class Asker:
    """Requests to the service, and what was acknowledged."""

    def __init__(self, url):
        self.url, self.made, self.number = url, {}, 0

    def ask(self, method, path, body=None, timeout=30):
        """Status and answer; 0 where there was no answer."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"content-type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=timeout) as answer:
                return answer.status, json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            text = error.read()
            return error.code, json.loads(text) if text[:1] == b"{" else None
        except OSError:
            return 0, None

    def edit(self):
        self.number += 1
        image = base64.b64encode(png(40, 40, [random.randbytes(120) for _ in range(40)])).decode()
        status, made = self.ask("POST", "/edits?verify=false", {
            "image": {"data": image}, "question": f"What is specimen {self.number}?", "answer": "a circle", "reasoning": []})
        if status == 201:
            self.made[made["id"]] = made["question"]
        return status, made

    def revert(self):
        key = random.choice(list(self.made))
        status, answer = self.ask("DELETE", f"/edits/{key}")
        if status in (200, 204):
            del self.made[key]
        return status, answer

    def query(self):
        image = base64.b64encode(png(40, 40, [b"\x80" * 120] * 40)).decode()
        return self.ask("POST", "/query", {"image": {"data": image}, "question": "What is it?", "choices": ["a circle", "a square"]})[0]

    def ready(self):
        return self.ask("GET", "/health/ready")

    def live(self):
        found, cursor = {}, ""
        while cursor is not None:
            _, page = self.ask("GET", f"/edits?limit=100{cursor and '&cursor=' + cursor}")
            found.update({edit["id"]: edit["question"] for edit in page["edits"]})
            cursor = page.get("next_cursor")
        return found


class Trial:
    """One cause of trouble, from before it to after it."""

    def __init__(self, name, asker, broken):
        self.name, self.asker, self.broken = name, asker, broken

    def expect(self, fine, what):
        if not fine:
            self.broken.append(f"{self.name}: {what}")

    def started(self, end):
        """Of a service that was started while nothing could be stored."""
        asker = self.asker
        status, ready = asker.ready()
        self.expect(status == 503 and ready["status"] == "unwritable", f"readiness {status} {ready}")
        live = asker.live()
        self.expect(all(live.get(key) == text for key, text in asker.made.items()), "an acknowledged edit is not there")
        self.expect(asker.query() == 200, "a question was not answered")
        # What still fits is taken, and stands.
        answers = [call() for _ in range(12) for call in (asker.edit, asker.revert)]
        refused = {status for status, _ in answers if status not in (200, 201, 204)}
        said = next((answer for status, answer in answers if status == 507), None)
        self.expect(refused == {507}, f"refused with {refused}")
        end()
        began = time.monotonic()
        while asker.edit()[0] != 201:
            if time.monotonic() - began > 30:
                self.expect(False, "no edit is taken 30 s after there is room")
                break
            time.sleep(0.05)
        healed = time.monotonic() - began
        self.expect(asker.ready()[0] == 200, "not ready afterwards")
        told = (said or {}).get("detail")
        print(f"{self.name}: {len(live)} edits are there, questions are answered, edits refused ({told}); edits again after {healed:.1f} s")

    def run(self, begin, end, expected):
        asker = self.asker
        self.expect(all(asker.edit()[0] == 201 for _ in range(14)), "edits before")
        undo = begin()
        statuses, said = {}, None
        for _ in range(12):
            for call in (asker.edit, asker.revert):
                status, answer = call()
                statuses[status] = statuses.get(status, 0) + 1
                said = answer["detail"] if status >= 500 and answer else said
        refused = {status for status in statuses if status not in (200, 201, 204)}
        self.expect(refused and refused <= expected, f"refused with {refused}")
        time.sleep(1.1)
        status, ready = asker.ready()
        if 0 not in expected:
            self.expect(status == 503 and ready["status"] == "unwritable", f"readiness {status} {ready}")
            self.expect(asker.query() == 200, "a question was not answered")
        end(undo)
        began = time.monotonic()
        while asker.edit()[0] != 201:
            if time.monotonic() - began > 30:
                self.expect(False, "no edit is taken 30 s after the cause is gone")
                break
            time.sleep(0.05)
        healed = time.monotonic() - began
        self.expect(asker.ready()[0] == 200, "not ready afterwards")
        # What was refused may be there, what was acknowledged has to be.
        live = asker.live()
        self.expect(all(live.get(key) == text for key, text in asker.made.items()), "an acknowledged edit is gone")
        told = ", ".join(f"{n} times {status}" for status, n in sorted(statuses.items()))
        print(f"{self.name}: {told} ({said}); edits again after {healed:.1f} s")


def begin(folder, data):
    """A service that need not become ready; its process and address once it answers whether it is."""
    port = free_port()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("REASONEDIT_")}
    with open(folder / "server.log", "ab") as log:
        process = subprocess.Popen([program(), "serve", "--bind", f"127.0.0.1:{port}", "--data", str(data)],
                                   cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT)
    url = f"http://127.0.0.1:{port}"
    for _ in range(1200):
        status, ready = Asker(url).ready()
        if status == 200 or (ready or {}).get("status") == "unwritable":
            return process, url
        if process.poll() is not None:
            break
        time.sleep(0.05)
    raise RuntimeError((folder / "server.log").read_text(errors="replace")[-3000:])


def inside(rounds):
    broken = []
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, contextlib.ExitStack() as last:
        folder = Path(folder)
        disk = folder / "disk"
        disk.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32m", "reasonedit", str(disk)], check=True)
        data, elsewhere = disk / "data", disk / "elsewhere"
        process, url = start(folder, data=data)
        last.callback(process.kill)
        asker = Asker(url)
        filler = disk / "filler"

        def fill():
            with open(filler, "wb", buffering=0) as file:
                try:
                    while file.write(b"x" * 65536):
                        pass
                except OSError:
                    pass
                # To the last byte, or with a little room that runs out meanwhile.
                spare = random.choice([0, 0, 20000])
                file.truncate(max(0, file.tell() - spare))

        def move():
            data.rename(elsewhere)

        def move_back(_):
            elsewhere.rename(data)

        def no_files():
            before = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
            # Connections of requests that were refused are read for five seconds more.
            time.sleep(6)
            used = {int(number) for number in os.listdir(f"/proc/{process.pid}/fd")}
            # One for the connection of each request, none for a picture's file. What is bounded are the numbers of
            # files, and those that were closed have left gaps.
            free = [number for number in range(len(used) + 2) if number not in used]
            resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (free[1], before[1]))
            return before

        for number in range(rounds):
            Trial(f"full disk {number + 1}", asker, broken).run(fill, lambda _: filler.unlink(), {507})
        for number in range(rounds):
            Trial(f"moved folder {number + 1}", asker, broken).run(move, move_back, {503})
        for number in range(rounds):
            Trial(f"no open files {number + 1}", asker, broken).run(
                no_files, lambda before: resource.prlimit(process.pid, resource.RLIMIT_NOFILE, before), {0, 503})
        for number in range(rounds):
            # A start while the disk is full.
            stop(process)
            fill()
            process, url = begin(folder, data)
            asker.url = url
            last.callback(process.kill)
            Trial(f"start on a full disk {number + 1}", asker, broken).started(lambda: filler.unlink())
        live = asker.live()
        stop(process)
        process, url = start(folder, data=data)
        again = Asker(url).live()
        if again != live:
            broken.append("after a restart other edits are there")
        stop(process)
        said = subprocess.run([program(), "codebook", "verify", "--data", str(data)], capture_output=True, text=True, cwd=ROOT)
        if said.returncode:
            broken.append(f"codebook verify: {said.stdout}{said.stderr}")
        print(f"{len(asker.made)} acknowledged edits stand, all there after a restart; codebook verify ends with {said.returncode}")
        log = (folder / "server.log").read_text(errors="replace")
        faults = [line for line in log.splitlines() if "internal failure" in line]
        if faults:
            broken.append(f"{len(faults)} internal failures: {faults[0]}")
        if "panicked" in log:
            broken.append("something panicked: " + log[log.index("panicked") - 200:][:600])
        subprocess.run(["umount", str(disk)], check=True)
    for what in broken:
        print("BROKEN", what, file=sys.stderr)
    sys.exit(bool(broken))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    if os.environ.get(INSIDE):
        inside(args.rounds)
    command = ["unshare", "-m", sys.executable, __file__, "--rounds", str(args.rounds)]
    sys.exit(subprocess.run(command, env={**os.environ, INSIDE: "1"}).returncode)


if __name__ == "__main__":
    main()
