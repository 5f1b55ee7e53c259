"""What is compiled into the program: a bill of materials (CycloneDX 1.5) and the texts of all licences.

    python3 tools/release/third_party.py TARGET EPOCH SBOM LICENCES

Everything is taken from `cargo metadata`, Cargo.lock and the sources that cargo has fetched, so that a release needs no other
program (cargo-about and cargo-cyclonedx are compiled for many minutes each); the same input gives the same bytes. A package
that ships no text of its licence gets the standard one, with its authors as the holders.
"""

import datetime
import hashlib
import json
import re
import subprocess
import sys
import tomllib
import uuid
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = "reasonedit-cli"
TEXTS = re.compile(r"^(licen[cs]e|copying|copyright|notice|unlicense)", re.IGNORECASE)


def compiled_in(target):
    """The packages that the program is made of, and which of them each uses: what only tests and builds use is left out."""
    command = ["cargo", "metadata", "--locked", "--format-version", "1", "--filter-platform", target]
    metadata = json.loads(subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout)
    packages = {package["id"]: package for package in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    uses = {}
    waiting = [next(id for id, package in packages.items() if package["name"] == PROGRAM)]
    while waiting:
        package = waiting.pop()
        if package in uses:
            continue
        uses[package] = sorted(
            {use["pkg"] for use in nodes[package]["deps"] if any(kind["kind"] is None for kind in use["dep_kinds"])}
        )
        waiting += uses[package]
    return {id: packages[id] for id in uses}, uses


def reference(package):
    """A package's name in the bill of materials."""
    return f"pkg:cargo/{package['name']}@{package['version']}"


def licence(package):
    """Its licence as SPDX has it; before there was `OR`, crates wrote a slash."""
    named = (package["license"] or "").replace("/", " OR ")
    return re.sub(r"\s+", " ", named).strip()


def bill(packages, uses, epoch):
    """The document, without anything that differs between two runs."""
    lock = tomllib.loads((ROOT / "Cargo.lock").read_text(encoding="utf-8"))
    sums = {(package["name"], package["version"]): package.get("checksum") for package in lock["package"]}

    def component(package):
        found = {
            "type": "library", "bom-ref": reference(package), "name": package["name"], "version": package["version"],
            "purl": reference(package), "licenses": [{"expression": licence(package) or "NOASSERTION"}],
        }
        if checksum := sums.get((package["name"], package["version"])):
            found["hashes"] = [{"alg": "SHA-256", "content": checksum}]
        if package["repository"]:
            found["externalReferences"] = [{"type": "vcs", "url": package["repository"]}]
        return found

    ordered = sorted(packages.values(), key=reference)
    program = next(package for package in ordered if package["name"] == PROGRAM)
    document = {
        "bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1,
        "metadata": {
            "timestamp": datetime.datetime.fromtimestamp(epoch, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "component": {**component(program), "type": "application"},
        },
        "components": [component(package) for package in ordered if package is not program],
        "dependencies": [
            {"ref": reference(package), "dependsOn": sorted(reference(packages[use]) for use in uses[package["id"]])}
            for package in ordered
        ],
    }
    digest = hashlib.sha256(json.dumps(document, sort_keys=True).encode()).digest()
    return {"serialNumber": f"urn:uuid:{uuid.UUID(bytes=digest[:16], version=4)}", **document}


def texts(package):
    """The licences as the package ships them."""
    folder = Path(package["manifest_path"]).parent
    files = {path for path in folder.iterdir() if path.is_file() and TEXTS.match(path.name)}
    if package["license_file"]:
        files.add(folder / package["license_file"])
    return [path.read_text(encoding="utf-8", errors="replace").strip() for path in sorted(files) if path.is_file()]


def standard(package):
    """The text of its licence where it ships none, if it is one of those that this repository has."""
    named = licence(package)
    if "Apache-2.0" in named:
        return (ROOT / "LICENSE-APACHE").read_text(encoding="utf-8").strip()
    if "MIT" in named:
        holders = ", ".join(package["authors"]) or f"the authors of {package['name']}"
        text = (ROOT / "LICENSE-MIT").read_text(encoding="utf-8").strip()
        return re.sub(r"^Copyright .*$", lambda _: f"Copyright (c) {holders}", text, count=1, flags=re.MULTILINE)
    return None


def licences(packages):
    """Every text once, after the packages that it came with."""
    with_text, without = defaultdict(list), []
    foreign = sorted((package for package in packages.values() if package["source"]), key=reference)
    for package in foreign:
        said = f"{package['name']} {package['version']} ({licence(package) or 'see its text'})"
        found = texts(package) or [text for text in [standard(package)] if text]
        for text in found:
            with_text[text].append(said)
        if not found:
            without.append(said)
    line = "=" * 100
    parts = ["What is compiled into reasonedit besides its own code, and on which terms.\n"]
    parts += [f"{line}\n" + "\n".join(said) + f"\n{line}\n\n{text}\n" for text, said in with_text.items()]
    if without:
        parts.append(f"{line}\nWithout a text of their own; the names stand for the texts at https://spdx.org/licenses\n" + "\n".join(without) + "\n")
    return "\n".join(parts)


def main():
    target, epoch, sbom, texts_file = sys.argv[1:]
    packages, uses = compiled_in(target)
    Path(sbom).write_text(json.dumps(bill(packages, uses, int(epoch)), indent=1) + "\n", encoding="utf-8")
    Path(texts_file).write_text(licences(packages), encoding="utf-8")


if __name__ == "__main__":
    main()
