"""The archive of a release: made twice, unpacked, and started as its unit would."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import tarfile
import time
import urllib.request
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from license_expression import get_spdx_licensing

from service import ROOT, Service, free_port, stop

BINARY = os.environ.get("SERVICE_BINARY", str(ROOT / "target" / "release" / "reasonedit"))


def made(folder):
    """The archive, made into this folder."""
    command = [ROOT / "tools" / "release.sh", "--binary", BINARY, "--out", folder]
    environment = {**os.environ, "SOURCE_DATE_EPOCH": "1764547200"}
    told = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout
    return Path(told.strip().splitlines()[-1])


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    return made(tmp_path_factory.mktemp("archive"))


@pytest.fixture
def prefix(archive, tmp_path):
    """The folder that stands for /usr/local, unpacked as docs/installing.md says."""
    folder = tmp_path / "usr-local"
    folder.mkdir()
    with tarfile.open(archive) as opened:
        opened.extractall(tmp_path, filter="data")
    for part in next(tmp_path.glob("reasonedit-*")).iterdir():
        part.rename(folder / part.name)
    return folder


def unit(prefix):
    """The settings of the unit's service: (name, value), in order."""
    text = (prefix / "lib/systemd/system/reasonedit.service").read_text(encoding="utf-8")
    service = re.search(r"^\[Service\]$(.*?)^\[", text, re.DOTALL | re.MULTILINE)[1]
    return [tuple(line.split("=", 1)) for line in service.splitlines() if "=" in line and not line.startswith("#")]


def files(folder):
    """Every file with its bytes' hash."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*")) if path.is_file()
    }


def test_the_same_input_gives_the_same_bytes(archive, tmp_path):
    again = made(tmp_path)
    assert archive.read_bytes() == again.read_bytes()
    said, name = Path(f"{archive}.sha256").read_text(encoding="utf-8").split()
    assert (said, name) == (hashlib.sha256(archive.read_bytes()).hexdigest(), archive.name)
    with tarfile.open(archive) as opened:
        members = opened.getmembers()
    assert {(member.uid, member.gid, member.mtime) for member in members} == {(0, 0, 1764547200)}
    assert {member.mode for member in members} == {0o755, 0o644}


def test_what_is_in_it(prefix):
    names = set(files(prefix))
    assert {
        "bin/reasonedit", "lib/systemd/system/reasonedit.service", "share/reasonedit/default.toml",
        "share/reasonedit/models/demo/reasonedit.json", "share/doc/reasonedit/openapi.yaml", "share/doc/reasonedit/LICENSE-MIT",
        "share/doc/reasonedit/LICENSE-APACHE", "share/doc/reasonedit/installing.md", "share/doc/reasonedit/sbom.cdx.json",
        "share/doc/reasonedit/third-party-licences.txt",
    } <= names
    assert not [name for name in names if "__pycache__" in name]
    symbols = subprocess.run(["nm", prefix / "bin/reasonedit"], capture_output=True, text=True)
    assert not symbols.stdout.strip(), "the program is not stripped"


def test_everything_compiled_in_is_told_with_its_licence(prefix):
    bill = json.loads((prefix / "share/doc/reasonedit/sbom.cdx.json").read_text(encoding="utf-8"))
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.5")
    components = {component["name"]: component for component in bill["components"]}
    assert {"tokio", "axum", "candle-core", "sled", "rustls"} <= set(components)
    assert not {"insta", "proptest", "criterion"} & set(components), "only tests use these"
    texts = (prefix / "share/doc/reasonedit/third-party-licences.txt").read_text(encoding="utf-8")
    assert "Without a text" not in texts
    for name, component in components.items():
        assert component["licenses"][0]["expression"] != "NOASSERTION", name
        if not name.startswith("reasonedit-"):
            assert len(component["hashes"][0]["content"]) == 64, name
            assert f"{name} {component['version']} (" in texts, name
    references = {component["bom-ref"] for component in bill["components"]} | {bill["metadata"]["component"]["bom-ref"]}
    assert {entry["ref"] for entry in bill["dependencies"]} == references
    assert all(set(entry["dependsOn"]) <= references for entry in bill["dependencies"])


def test_the_bill_of_materials_is_one(prefix):
    """By another implementation, against the schema of CycloneDX and the list of SPDX."""
    text = (prefix / "share/doc/reasonedit/sbom.cdx.json").read_text(encoding="utf-8")
    assert JsonStrictValidator(SchemaVersion.V1_5).validate_str(text) is None
    known = get_spdx_licensing()
    for component in json.loads(text)["components"]:
        expression = component["licenses"][0]["expression"]
        assert not known.validate(expression).errors, (component["name"], expression)


def test_it_answers_when_it_is_started_as_the_unit_does(prefix, tmp_path):
    settings = unit(prefix)
    folders = {"%S": tmp_path / "state", "%E": tmp_path / "etc", "%C": tmp_path / "cache"}

    def filled(value):
        for specifier, folder in folders.items():
            value = value.replace(specifier, str(folder))
        return value.replace("/usr/local", str(prefix))

    for folder in folders.values():
        (folder / "reasonedit").mkdir(parents=True)
    port = free_port()
    told = tmp_path / "etc/reasonedit/environment"
    told.write_text(f"REASONEDIT_SERVER__BIND=127.0.0.1:{port}\n", encoding="utf-8")
    # Nothing of this machine's environment, as in a unit.
    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin"}
    for name, value in settings:
        if name == "Environment":
            environment.update([filled(value).split("=", 1)])
        elif name == "EnvironmentFile":
            lines = Path(filled(value.removeprefix("-"))).read_text(encoding="utf-8").splitlines()
            environment.update(line.split("=", 1) for line in lines)
    settings = dict(settings)
    before = files(prefix)
    with open(tmp_path / "log", "wb") as log:
        process = subprocess.Popen(
            filled(settings["ExecStart"]).split(), cwd=filled(settings["WorkingDirectory"]), env=environment,
            umask=int(settings["UMask"], 8), stdout=log, stderr=subprocess.STDOUT,
        )
    try:
        url = f"http://127.0.0.1:{port}"
        for _ in range(1200):
            try:
                urllib.request.urlopen(url + "/health/ready", timeout=5).close()
                break
            except OSError:
                assert process.poll() is None, (tmp_path / "log").read_text(errors="replace")
                time.sleep(0.05)
        assert Service(url).call("GET", "/health/live")["status"]
        assert Service(url).call("GET", "/codebook")["edits"] == 0
    finally:
        if process.poll() is None:
            stop(process)
    assert files(prefix) == before, "it writes where the unit lets it write nothing"
    assert set(files(tmp_path / "etc")) == {"reasonedit/environment"}
    data = tmp_path / "state/reasonedit/data"
    assert files(data) and not [path for path in data.rglob("*") if path.is_file() and path.stat().st_mode & 0o077]


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze")
def test_the_unit_is_one(prefix, tmp_path):
    text = (prefix / "lib/systemd/system/reasonedit.service").read_text(encoding="utf-8")
    copy = tmp_path / "reasonedit.service"
    copy.write_text(text.replace("/usr/local", str(prefix)), encoding="utf-8")
    told = subprocess.run(["systemd-analyze", "verify", "--man=no", copy], capture_output=True, text=True)
    ours = [line for line in (told.stdout + told.stderr).splitlines() if "reasonedit" in line]
    assert not ours, told.stderr
    # Of 100, which is open to everything; what is above 25 of 100 would be more than the service needs.
    rating = ["systemd-analyze", "security", "--offline=yes", "--threshold=25", "--no-pager", copy]
    rated = subprocess.run(rating, capture_output=True, text=True)
    assert rated.returncode == 0, rated.stdout[-2000:] + rated.stderr
