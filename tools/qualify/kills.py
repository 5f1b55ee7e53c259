"""Promise: what was acknowledged survives the death of the process, whenever it comes.

    python tools/qualify/kills.py [--kills 1000] [--results kills.json] [--folder DIR]

Starts the built service and has clients make, take back and erase edits and import a codebook, all at once; then kills it, either
at a random moment or just before the n-th call of the system of a kind that every edit goes through (`strace` delivers the
signal; without it all moments are random). It is started again on the same folder and asked: every acknowledged edit that
nobody took back is there with its texts and its picture, none that was taken back is, what was erased is told as that
(410) and its picture is gone, an edit or an import that was not
acknowledged is there as a whole or not at all, and nothing is reported as damaged. That process is the next to be killed.
Now and then `codebook verify` reads everything and a new folder is begun.

Results of several runs add up in the file; one that was stopped goes on.
"""

import argparse
import base64
import collections
import hashlib
import http.client
import io
import json
import os
import random
import shutil
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
import urllib.error
import urllib.parse
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from png import png  # noqa: E402
from service import ROOT, free_port, program, stop  # noqa: E402

# Calls that an edit goes through, in their order: the picture, its place, the batch, how much was acknowledged, the answer.
POINTS = {
    "picture written": "write",
    "synced": "fsync,fdatasync",
    "picture in place": "rename,renameat,renameat2",
    "key or batch written": "pwrite64",
    "batch synced": "sync_file_range",
    "answer sent": "sendto,writev,sendmsg",
    "file removed": "unlink,unlinkat",
}
EDITORS = 3
KILLS_OF_A_FOLDER = 60


class Gone(Exception):
    """The service died before it answered."""


class Client:
    """Requests to one service over one connection."""

    def __init__(self, port):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def bytes(self, method, path, body=None, kind="application/json"):
        try:
            self.connection.request(method, path, body, {"content-type": kind} if body else {})
            answer = self.connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise Gone from error

    def json(self, method, path, body=None):
        status, text = self.bytes(method, path, None if body is None else json.dumps(body))
        try:
            return status, json.loads(text) if text else None
        except ValueError as error:
            raise Gone from error


class Truth:
    """What was asked for and what was acknowledged, of one folder."""

    def __init__(self):
        self.lock = threading.Lock()
        self.asked = {}         # text -> (codebook, sum of the picture)
        self.live = {}          # id -> text
        self.leaving = set()    # ids whose removal was asked for, without an answer
        self.left = set()       # ids whose removal was acknowledged
        self.erasing = set()    # ids whose erasure was asked for
        self.erased = {}        # ids whose erasure was acknowledged -> codebook and picture
        self.imports = {}       # codebook -> acknowledged
        self.kept = None        # an export and how many edits it has
        self.counted = 0
        self.told = 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--results", type=Path, help="adds to this file")
    parser.add_argument("--folder", type=Path, help="where a folder that fails the promise is left")
    args = parser.parse_args()
    found = collections.Counter(json.loads(args.results.read_text())) if args.results and args.results.exists() else collections.Counter()
    chance = random.Random(args.seed)
    traced = shutil.which("strace") is not None
    done = 0
    while done < args.kills:
        folder = Path(tempfile.mkdtemp(dir=args.folder))
        done += run_folder(folder, min(KILLS_OF_A_FOLDER, args.kills - done), chance, traced, found, args.results)
        if found["broken promises"]:
            sys.exit(f"left for looking at: {folder}")
        shutil.rmtree(folder)
    report(found)


def run_folder(folder, kills, chance, traced, found, results):
    truth, process = Truth(), None
    for died in range(1, kills + 1):
        if process is None:
            process, port = start(folder)
        point = chance.choice(["random", *POINTS]) if traced else "random"
        threads = [threading.Thread(target=edit, args=(port, truth, number, random.Random(chance.random()))) for number in range(EDITORS)]
        threads.append(threading.Thread(target=imports, args=(port, truth)))
        for thread in threads:
            thread.start()
        time.sleep(chance.uniform(0.02, 0.6))
        if point == "random" or not die_at(process, POINTS[point], chance):
            point = "random"
            kill(process)
        for thread in threads:
            thread.join()
        process.wait()
        found[f"killed: {point}"] += 1
        if chance.random() < 0.2:
            die_at_the_start(folder, chance)
            found["killed: at the start"] += 1
        began = time.monotonic()
        process, port = start(folder)
        found["slowest start, ms"] = max(found["slowest start, ms"], round(1000 * (time.monotonic() - began)))
        check(port, truth, found)
        if died % 20 == 0 or died == kills:
            stop(process)
            process = None
            said = subprocess.run([program(), "codebook", "verify", "--data", str(folder / "data")], capture_output=True, text=True, cwd=ROOT)
            found["verified"] += 1
            wrong(found, said.returncode != 0, f"codebook verify: {said.stdout}{said.stderr}")
        if results:
            results.write_text(json.dumps(dict(sorted(found.items())), indent=1) + "\n")
        if sys.stderr.isatty() or died % 20 == 0:
            print(f"{counted(found)} kills, {found['acknowledged edits']} edits", file=sys.stderr)
        if found["broken promises"]:
            kill(process)
            break
    return kills


def counted(found):
    return sum(n for what, n in found.items() if what.startswith("killed"))


def die_at(process, calls, chance):
    """Has a process die just before its n-th call of these from now on; whether it did."""
    nth = 1 + int(chance.expovariate(1 / 2))
    tracer = subprocess.Popen(["strace", "-f", "-qq", "-o", "/dev/null", "-p", str(process.pid),
                               "-e", f"trace={calls}", "-e", f"inject={calls}:signal=KILL:when={nth}"], stderr=subprocess.DEVNULL)
    try:
        process.wait(3)
        return True
    except subprocess.TimeoutExpired:
        return False
    finally:
        tracer.kill()
        tracer.wait()


def die_at_the_start(folder, chance):
    """A start that is not allowed to end well."""
    process = spawn(folder, free_port())
    time.sleep(chance.uniform(0.01, 0.3))
    kill(process)
    process.wait()


def spawn(folder, port):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("REASONEDIT_")}
    with open(folder / "server.log", "ab") as log:
        return subprocess.Popen([program(), "serve", "--bind", f"127.0.0.1:{port}", "--data", str(folder / "data")],
                                cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT)


def start(folder):
    """A service on the folder, ready, and its port."""
    port = free_port()
    process, deadline = spawn(folder, port), time.monotonic() + 30
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if Client(port).bytes("GET", "/health/ready")[0] == 200:
                return process, port
        except Gone:
            pass
        time.sleep(0.02)
    kill(process)
    raise RuntimeError("the service does not start: " + (folder / "server.log").read_text(errors="replace")[-2000:])


def kill(process):
    if process is not None and process.poll() is None:
        process.kill()


def edit(port, truth, number, chance):
    """Makes and takes back edits until the service dies; two clients share a codebook."""
    client, book = Client(port), "one" if number < 2 else "two"
    mine = []
    try:
        while True:
            if mine and chance.random() < 0.35:
                gone = mine.pop(chance.randrange(len(mine)))
                erase = chance.random() < 0.4
                with truth.lock:
                    truth.leaving.add(gone)
                    truth.erasing |= {gone} if erase else set()
                status, said = client.json("DELETE", f"/edits/{gone}?codebook={book}&erase={str(erase).lower()}")
                assert status in (200, 204), status
                with truth.lock:
                    truth.left.add(gone)
                    if erase:
                        truth.erased[gone] = (book, said["picture"])
                continue
            picture = png(16, 16, [chance.randbytes(16 * 3) for _ in range(16)])
            text = f"What is {chance.getrandbits(64):x}?"
            with truth.lock:
                truth.asked[text] = (book, hashlib.sha256(picture).hexdigest())
            statement = {"statement": "The object is round.", "evidence": [{"x": 2, "y": 2, "width": 8, "height": 8}]}
            status, made = client.json("POST", f"/edits?codebook={book}&verify=false", {
                "image": {"data": base64.b64encode(picture).decode()}, "question": text, "answer": "a circle",
                "reasoning": [statement] if chance.random() < 0.5 else [],
            })
            assert status == 201, (status, made)
            with truth.lock:
                truth.live[made["id"]] = text
            mine.append(made["id"])
    except Gone:
        pass


def imports(port, truth):
    """Exports a codebook once, then brings it in under new names until the service dies."""
    client = Client(port)
    try:
        while truth.kept is None:
            status, archive = client.bytes("GET", "/codebook/export?codebook=two")
            if status == 200 and b"edits.jsonl" in archive:
                with tarfile.open(fileobj=io.BytesIO(archive)) as files:
                    lines = files.extractfile("edits.jsonl").read().decode().splitlines()
                truth.kept = (archive, len(lines))
            time.sleep(0.05)
        while True:
            name = f"in-{len(truth.imports)}"
            truth.imports[name] = False
            status, _ = client.bytes("POST", f"/codebook/import?codebook={name}", truth.kept[0], "application/x-tar")
            assert status in (200, 201), status
            truth.imports[name] = True
            time.sleep(0.3)
    except Gone:
        pass


def listed(client, book):
    """All edits of a codebook by their ids; none where there is no such codebook."""
    edits, cursor = {}, ""
    while cursor is not None:
        status, page = client.json("GET", f"/edits?codebook={book}&limit=100" + (f"&cursor={urllib.parse.quote(cursor)}" if cursor else ""))
        if status == 404:
            return {}
        assert status == 200, page
        edits.update({edit["id"]: edit for edit in page["edits"]})
        cursor = page.get("next_cursor")
    return edits


def check(port, truth, found):
    client = Client(port)
    status, ready = client.json("GET", "/health/ready")
    wrong(found, status != 200 or ready.get("faults") or ready.get("damaged"), f"readiness: {ready}")
    there = {name: listed(client, name) for name in ("one", "two")}
    everything = {**there["one"], **there["two"]}
    for key, text in list(truth.live.items()):
        if key in truth.left:
            wrong(found, key in everything, f"{key} was taken back and is there")
        elif key not in truth.leaving:
            wrong(found, key not in everything, f"{key} was acknowledged and is gone")
    for name, edits in there.items():
        for key, edit in edits.items():
            text = edit["question"]
            wrong(found, text not in truth.asked, f"{key} was never asked for")
            book, picture = truth.asked.get(text, (name, None))
            wrong(found, book != name, f"{key} is in another codebook")
            if key not in truth.live:
                # It wasn't acknowledged, and is there: as a whole, and from now on like any other.
                found["whole without an answer"] += 1
                truth.live[key] = text
                status, image = client.bytes("GET", f"/images/{edit['image']['id']}?codebook={name}")
                wrong(found, status != 200 or hashlib.sha256(image).hexdigest() != picture, f"the picture of {key}: {status}")
                status, whole = client.json("GET", f"/edits/{key}?codebook={name}")
                wrong(found, status != 200 or len(whole["entries"]) < 1, f"{key} has no entries")
    # Pictures of some that were acknowledged.
    for key in random.sample(sorted(everything), min(5, len(everything))):
        edit = everything[key]
        book, picture = truth.asked[edit["question"]]
        status, image = client.bytes("GET", f"/images/{edit['image']['id']}?codebook={book}")
        wrong(found, status != 200 or hashlib.sha256(image).hexdigest() != picture, f"the picture of {key}: {status}")
    for name, acknowledged in list(truth.imports.items()):
        edits = len(listed(client, name))
        wrong(found, edits not in ({truth.kept[1]} if acknowledged else {0, truth.kept[1]}), f"an import has {edits} of {truth.kept[1]} edits")
        if not acknowledged and edits:
            found["whole without an answer"] += 1
        truth.imports[name] = edits > 0
    if not all(truth.imports.values()):
        truth.imports = {name: True for name, kept in truth.imports.items() if kept}
    # What was being taken back is one or the other, and stays so.
    for key in list(truth.leaving):
        if key not in everything:
            truth.left.add(key)
        else:
            wrong(found, key in truth.left, f"{key} was taken back and is there")
            truth.leaving.discard(key)
    for key, (book, picture) in truth.erased.items():
        status, _ = client.json("GET", f"/edits/{key}?codebook={book}")
        wrong(found, status != 410, f"{key} was erased, and is answered with {status}")
        status, _ = client.bytes("GET", f"/images/{picture}?codebook={book}")
        wrong(found, status != 404, f"the picture of {key} was erased, and is answered with {status}")
    for key in truth.erasing - set(truth.erased):
        statuses = {client.json("GET", f"/edits/{key}?codebook={book}")[0] for book in ("one", "two")}
        wrong(found, not statuses & {200, 410} or statuses - {200, 404, 410}, f"{key} was being erased, and is answered with {statuses}")
    found["acknowledged erasures"] += len(truth.erased) - truth.told
    truth.told = len(truth.erased)
    found["acknowledged edits"] += len(truth.live) - truth.counted
    truth.counted = len(truth.live)
    found["checks"] += 1


def wrong(found, is_wrong, what):
    if is_wrong:
        found["broken promises"] += 1
        print(f"BROKEN: {what}", file=sys.stderr)


def report(found):
    kills = {what: n for what, n in found.items() if what.startswith("killed")}
    print(f"{counted(found)} kills, {found['acknowledged edits']} acknowledged edits, {found['broken promises']} broken promises, "
          f"{found['whole without an answer']} whole without an answer, slowest start {found['slowest start, ms']} ms, "
          f"{found['verified']} times verified")
    for what, n in sorted(kills.items()):
        print(f"  {n:6} {what}")


if __name__ == "__main__":
    main()
