"""A real service on the demo model, for tests that talk to it as its users do.

    process, url = start(folder)          # ready to be asked when this returns
    Service(url).call("GET", "/edits")
    stop(process)

`SERVICE_BINARY` names another program than the one that `cargo build --release` makes.
"""

import json
import os
import socket
import ssl
import subprocess
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SAMPLES = ROOT / "models" / "demo" / "samples"


class Service:
    """A running service: its address and requests of a test's own."""

    def __init__(self, url, token=None):
        self.url = url
        self.token = token
        self.context = trusting() if url.startswith("https:") else None

    def call(self, method, path, body=None):
        """The JSON that a request with this JSON is answered with; None for an empty answer."""
        headers = {"content-type": "application/json"}
        if self.token:
            headers["authorization"] = f"Bearer {self.token}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        with urllib.request.urlopen(request, timeout=120, context=self.context) as answer:
            text = answer.read()
        return json.loads(text) if text else None


def trusting():
    """What a client takes whose service has a certificate of its own making."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def certified(folder):
    """Options of a service with a certificate of its own making."""
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=localhost",
                    "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-out", certificate, "-keyout", key], check=True, capture_output=True)
    return ["--set", f"server.tls.certificate={certificate}", "--set", f"server.tls.key={key}"]


def free_port():
    """A port of the loopback address that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def program():
    """The program that is tested."""
    return os.environ.get("SERVICE_BINARY", str(ROOT / "target" / "release" / "reasonedit"))


def start(folder, *options, port=None, data=None):
    """Starts the built program with its data in a folder; the process and its address once it is ready.

    The log is `server.log` in that folder, the data `data` there unless they lie elsewhere. A port is given where a service
    is to come back where it was.
    """
    port = port or free_port()
    # Settings of the machine's own are none of the test's.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("REASONEDIT_")}
    with open(folder / "server.log", "ab") as log:
        process = subprocess.Popen(
            [program(), "serve", "--bind", f"127.0.0.1:{port}", "--data", str(data or folder / "data"), *options],
            cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT,
        )
    secure = any(option.startswith("server.tls.certificate=") for option in options)
    url, context = f"{'https' if secure else 'http'}://127.0.0.1:{port}", trusting() if secure else None
    for _ in range(1200):
        try:
            urllib.request.urlopen(url + "/health/ready", timeout=5, context=context).close()
            return process, url
        except OSError:
            if process.poll() is not None:
                break
            time.sleep(0.05)
    process.kill()
    process.wait()
    raise RuntimeError((folder / "server.log").read_text(errors="replace")[-3000:])


def stop(process):
    """Asks a service to end and holds it to that it ends well."""
    process.terminate()
    assert process.wait(60) == 0
