#!/usr/bin/env python3
"""Runs all fuzz targets by turns, in pieces that can be taken up again, and keeps their corpus small.

    python3 tools/fuzz/run.py --executions 10000000 --minutes 60 --results target/fuzz/results.json

Executions are added up in the file of results; a run with the same file goes on where the last one ended. Needs
cargo-fuzz and nothing else that is not in this repository; the compiler is the stable one, with RUSTC_BOOTSTRAP=1.
Ends with 1 if a target found something, with 2 if something is missing, with 3 if time was up first.
"""

import argparse
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
FUZZ = ROOT / "tools/fuzz"
KEPT = FUZZ / "corpus"
OUT = ROOT / "target/fuzz"
PROGRAMS = OUT / "x86_64-unknown-linux-gnu/release"
# Bytes of a file of the kept corpus, and of one target's share of it. Pictures have many forms.
FILE_BYTES = 64 << 10
TARGET_BYTES = 40 << 10
PICTURE_BYTES = 240 << 10
LONGEST = 8192
# Of a process, whatever a single execution takes: models and the corpus are in it. The targets hold each execution
# to a bound of its own.
RESIDENT_MIB = 2048
# On the clock: the targets count time of the processor, and fail after a second of it.
TIMEOUT = 60


def targets():
    """The names of the programs, in the order of the manifest, and whether each needs a model."""
    manifest = (FUZZ / "Cargo.toml").read_text(encoding="utf-8")
    found = {}
    for block in manifest.split("[[bin]]")[1:]:
        found[re.search(r'name = "(\w+)"', block)[1]] = "required-features" in block
    return found


def environment():
    env = dict(os.environ, RUSTC_BOOTSTRAP="1", CARGO_INCREMENTAL="0", RUST_BACKTRACE="0")
    # What a workspace elsewhere is told is not for this one.
    for name in ("CARGO_UNSTABLE_FEATURE_UNIFICATION", "CARGO_RESOLVER_FEATURE_UNIFICATION"):
        env.pop(name, None)
    return env


def build(plain):
    if shutil.which("cargo-fuzz") is None:
        print("cargo-fuzz is missing: cargo install --locked cargo-fuzz", file=sys.stderr)
        sys.exit(2)
    # Without a sanitizer: the sources hold no unsafe code of their own (a test says so), and with one the models
    # take twice as long to compile and to run.
    command = ["cargo", "fuzz", "build", "--fuzz-dir", str(FUZZ), "--target-dir", str(OUT)]
    command += ["--sanitizer", "none", "--codegen-units", "16"]
    command += ["--no-default-features"] if plain else []
    if subprocess.run(command, cwd=ROOT, env=environment(), check=False).returncode:
        print("the targets could not be built", file=sys.stderr)
        sys.exit(2)


def fuzz(name, seconds, seed):
    """One turn. How many executions, and what was found, if anything."""
    work, found = OUT / "corpus" / name, OUT / "artifacts" / name
    for folder in (work, found, KEPT / name):
        folder.mkdir(parents=True, exist_ok=True)
    log = found / "log"
    command = [
        str(PROGRAMS / name), str(work), str(KEPT / name), f"-max_total_time={seconds}", f"-max_len={LONGEST}",
        f"-rss_limit_mb={RESIDENT_MIB}", f"-timeout={TIMEOUT}", f"-artifact_prefix={found}/", f"-seed={seed}",
        "-print_final_stats=1", "-reload=0", "-verbosity=1",
    ]
    with open(log, "w", encoding="utf-8", errors="replace") as file:
        code = subprocess.run(command, cwd=ROOT, env=environment(), stdout=file, stderr=file, check=False).returncode
    text = log.read_text(encoding="utf-8", errors="replace")
    units = re.search(r"stat::number_of_executed_units:\s*(\d+)", text)
    counts = [int(n) for n in re.findall(r"^#(\d+)", text, re.M)]
    executions = int(units[1]) if units else max(counts, default=0)
    if code == 0:
        return executions, None
    lines = [line for line in text.splitlines() if "panicked at" in line or "ERROR:" in line or "SUMMARY" in line]
    return executions, " | ".join(lines[:3]) or f"ended with {code}"


def keep(name):
    """What covers most in the fewest bytes, of the kept corpus and of what was found since."""
    work, kept, merged = OUT / "corpus" / name, KEPT / name, OUT / "merged" / name
    shutil.rmtree(merged, ignore_errors=True)
    merged.mkdir(parents=True)
    command = [str(PROGRAMS / name), "-merge=1", f"-max_len={FILE_BYTES}", f"-timeout={TIMEOUT}"]
    command += [str(merged), str(kept), str(work)]
    done = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, check=False)
    if done.returncode or not any(merged.iterdir()):
        print(f"{name}: its corpus stays as it is (merging ended with {done.returncode})")
        return
    most = PICTURE_BYTES if name == "picture_decode" else TARGET_BYTES
    shutil.rmtree(kept)
    kept.mkdir()
    total = 0
    for path in sorted(merged.iterdir(), key=lambda path: (path.stat().st_size, path.name)):
        total += path.stat().st_size
        if total > most:
            break
        shutil.copy(path, kept / path.name)


def revision():
    git = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--exclude=*"]
    return subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip()


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--executions", type=int, default=10_000_000, help="in all, those of the results included")
    options.add_argument("--minutes", type=float, default=30, help="after which no further turn begins")
    options.add_argument("--turn", type=int, default=60, help="seconds of a target's turn")
    options.add_argument("--results", type=pathlib.Path, default=OUT / "results.json")
    options.add_argument("--only", help="names of targets, with commas")
    options.add_argument("--plain", action="store_true", help="only what needs no model: much less to compile")
    options.add_argument("--built", action="store_true", help="the programs are there: don't build them")
    options.add_argument("--keep", action="store_true", help="minimise the kept corpus at the end")
    given = options.parse_args()

    names = [name for name, model in targets().items() if not (model and given.plain)]
    if given.only:
        names = [name for name in names if name in given.only.split(",")]
    if not given.built:
        build(given.plain)
    results = json.loads(given.results.read_text()) if given.results.exists() else {"targets": {}, "findings": []}
    results.setdefault("revisions", [])
    if revision() not in results["revisions"]:
        results["revisions"].append(revision())
    rows = results["targets"]
    for name in names:
        rows.setdefault(name, {"executions": 0, "seconds": 0})
    ends, failed, seed = time.monotonic() + 60 * given.minutes, set(), int(time.time())
    total = lambda: sum(row["executions"] for row in rows.values())
    while total() < given.executions or any(not rows[name]["executions"] for name in names):
        open_names = [name for name in names if name not in failed]
        left = ends - time.monotonic()
        if left <= 0 or not open_names:
            break
        # Whoever had the least time comes next.
        name = min(open_names, key=lambda name: (rows[name]["seconds"], name))
        began = time.monotonic()
        executions, finding = fuzz(name, max(1, min(given.turn, int(left))), seed)
        seed += 1
        rows[name]["executions"] += executions
        rows[name]["seconds"] += round(time.monotonic() - began)
        print(f"{name}: {executions:,} more; {total():,} of {given.executions:,} in all, "
              f"{max(0, left) / 60:.0f} minutes left", flush=True)
        if finding:
            failed.add(name)
            results["findings"].append({"target": name, "what": finding, "revision": revision()})
            print(f"{name}: FOUND {finding}; the input is in {OUT / 'artifacts' / name}", flush=True)
        given.results.parent.mkdir(parents=True, exist_ok=True)
        given.results.write_text(json.dumps(results, indent=1) + "\n")
    if given.keep:
        for name in names:
            keep(name)
    for name, row in sorted(rows.items()):
        print(f"{name:16} {row['executions']:>12,} executions in {row['seconds']:,} s")
    print(f"{'all':16} {total():>12,} executions, {len(failed)} targets found something in this run")
    if failed:
        return 1
    return 0 if total() >= given.executions else 3


if __name__ == "__main__":
    sys.exit(main())
