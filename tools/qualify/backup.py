"""Promise: a service backs itself up while it serves; edits wait for moments, the next backup writes what is new alone,
and what is restored is what was there.

    python tools/qualify/backup.py [--edits 300]

Starts the built service, makes edits of the demo world, and takes backups while one more edit after the other is made.
Then the newest is restored, and every edit that was answered before it was asked for is compared. Prints how long edits
waited, what was written, and how long it took.
"""

import argparse
import base64
import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from service import ROOT, Service, program, start, stop  # noqa: E402

BACKUPS = 4
# Edits that are made before each backup, while nothing else goes on, and beside it.
BESIDE = 8


def reasonedit(*arguments):
    """What the program prints, as JSON."""
    done = subprocess.run([program(), *map(str, arguments), "--json"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def bodies(folder, count):
    """Edits that are soon made: their evidence is given."""
    world = folder / "world"
    subprocess.run([program(), "world", "--seed", "1000050", "--count", str(count), "--out", world], cwd=ROOT, check=True, capture_output=True)
    for line in (world / "edits.jsonl").read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        shown = zip(record["reasoning"], record["evidence"])
        yield {
            "image": {"data": base64.b64encode((world / record["image"]).read_bytes()).decode()},
            "question": record["question"], "answer": record["answer"], "choices": record["choices"],
            "reasoning": [{"statement": statement, "evidence": boxes} for statement, boxes in shown if boxes],
        }


def edit(service, body):
    """Its id, and how long it took in milliseconds."""
    began = time.monotonic()
    made = service.call("POST", "/edits?verify=false", body)
    return made["id"], (time.monotonic() - began) * 1000


def back_up(service):
    """The result of a backup."""
    job = service.call("POST", "/backup")
    while job["state"] in ("queued", "running"):
        time.sleep(0.02)
        job = service.call("GET", f"/jobs/{job['id']}")
    assert job["state"] == "done", job
    return job["result"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--edits", type=int, default=300)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        backups = folder / "backups"
        settings = ("--set", f"backup.folder={json.dumps(str(backups))}")
        process, url = start(folder, *settings)
        service = Service(url)
        edits = bodies(folder, args.edits + 2 * BACKUPS * BESIDE)
        made = [edit(service, next(edits))[0] for _ in range(args.edits)]
        alone, beside, results = [], [], []
        for _ in range(BACKUPS):
            for _ in range(BESIDE):
                (id, ms) = edit(service, next(edits))
                made.append(id)
                alone.append(ms)
            meanwhile = []
            writing = threading.Thread(target=lambda: meanwhile.extend(edit(service, next(edits)) for _ in range(BESIDE)))
            writing.start()
            results.append(back_up(service))
            answered = list(made)
            writing.join()
            made += [id for id, _ in meanwhile]
            beside += [ms for _, ms in meanwhile]
        before = {id: service.call("GET", f"/edits/{id}") for id in answered}
        stop(process)
        found = reasonedit("backup", "verify", backups)
        began = time.monotonic()
        restored = reasonedit("restore", backups, folder / "restored" / "data")
        took = time.monotonic() - began
        process, url = start(folder / "restored")
        after = {id: Service(url).call("GET", f"/edits/{id}") for id in answered}
        stop(process)
        # Edits made since may contradict one, or count as having been used.
        kept = [field for field in next(iter(before.values())) if field not in ("conflicts", "superseded_by", "fired", "entries")]
        differ = [id for id in answered if any(before[id][field] != after[id][field] for field in kept)]
        print(f"{results[0]['edits']} edits, {results[0]['pictures']} pictures, {results[0]['bytes'] / 1e6:.1f} MB")
        for result in results:
            print(f"  a backup in {result['ms']:.0f} ms, {result['new_bytes'] / 1e6:.2f} MB new; edits waited {result['edits_waited_ms']:.1f} ms at most")
        print(f"an edit takes {sorted(alone)[len(alone) // 2]:.0f} ms (median; {max(alone):.0f} at most), beside a backup "
              f"{sorted(beside)[len(beside) // 2]:.0f} ({max(beside):.0f})")
        print(f"verified: {found['objects']} files, {len(found['harmed'])} harmed; restored {restored['edits']} edits in {took:.1f} s; "
              f"of {len(answered)} edits answered before, {len(differ)} differ")
        assert not differ and not found["harmed"]


if __name__ == "__main__":
    main()
