"""A service on the demo model, and a browser that looks at its page."""

import json
import os
import re
import shutil
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parents[2]
SHOTS = ROOT / "target" / "screenshots"
SAMPLES = ROOT / "models" / "demo" / "samples"
SIZES = {"1280": (1280, 900), "820": (820, 1180)}
TOKEN = "a-token-for-the-test"


class Service:
    """A running service: its address and its own requests, beside the browser's."""

    def __init__(self, url, token=None):
        self.url = url
        self.token = token

    def call(self, method, path, body=None):
        headers = {"content-type": "application/json"}
        if self.token:
            headers["authorization"] = f"Bearer {self.token}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        with urllib.request.urlopen(request, timeout=120) as answer:
            text = answer.read()
        return json.loads(text) if text else None


def start(folder, *options):
    """Starts the built program on a free port; yields when it is ready."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    binary = os.environ.get("PAGE_BINARY", str(ROOT / "target" / "release" / "reasonedit"))
    # Settings of the machine's own are none of this test's.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("REASONEDIT_")}
    with open(folder / "server.log", "wb") as log:
        process = subprocess.Popen(
            [binary, "serve", "--bind", f"127.0.0.1:{port}", "--data", str(folder / "data"), *options],
            cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT,
        )
    url = f"http://127.0.0.1:{port}"
    for _ in range(1200):
        try:
            urllib.request.urlopen(url + "/health/ready", timeout=5).close()
            return process, url
        except OSError:
            if process.poll() is not None:
                break
            time.sleep(0.05)
    process.kill()
    raise RuntimeError((folder / "server.log").read_text(errors="replace")[-3000:])


def stop(process):
    process.terminate()
    assert process.wait(60) == 0


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    # While the page is being worked on, one that serves its files from the folder can be named.
    if os.environ.get("PAGE_URL"):
        service = Service(os.environ["PAGE_URL"])
        for edit in service.call("GET", "/edits")["edits"]:
            service.call("DELETE", f"/edits/{edit['id']}")
        yield service
        return
    process, url = start(tmp_path_factory.mktemp("service"))
    yield Service(url)
    stop(process)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    """A service that wants a token."""
    process, url = start(tmp_path_factory.mktemp("guarded"), "--set", f'server.auth_tokens=["{TOKEN}"]')
    yield Service(url, TOKEN)
    stop(process)


@pytest.fixture(scope="session")
def browser():
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert chromium, "needs chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


class Watched:
    """A tab in which nothing may go wrong unseen."""

    def __init__(self, browser, service):
        self.context = browser.new_context(viewport=dict(zip(("width", "height"), SIZES["1280"])))
        self.page = self.context.new_page()
        self.page.set_default_timeout(30_000)
        self.service = service
        self.faults = []
        self.expected = []
        self.page.on("console", lambda message: self._note(message.type, message.text) if message.type in ("error", "warning") else None)
        self.page.on("pageerror", lambda error: self._note("exception", str(error)))
        self.page.on("request", lambda request: self._own(request.url))

    def _own(self, url):
        if not url.startswith((self.service.url + "/", "data:", "blob:")):
            self._note("foreign request", url)

    def _note(self, kind, text):
        if not any(re.search(pattern, text) for pattern in self.expected):
            self.faults.append(f"{kind}: {text}")

    def open(self, path=""):
        self.page.goto(self.service.url + "/" + path)
        return self.page

    def shot(self, name):
        """Pictures of the page at both sizes, light and dark; no serious accessibility fault at either, in either."""
        SHOTS.mkdir(parents=True, exist_ok=True)
        assert not re.search(r"\[object |undefined|NaN", self.page.inner_text("body")), self.page.inner_text("body")
        for size, (width, height) in SIZES.items():
            self.page.set_viewport_size({"width": width, "height": height})
            for scheme in ("light", "dark"):
                self.page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
                self.page.evaluate("window.scrollTo(0, 0)")
                self.page.wait_for_timeout(120)
                self.page.screenshot(path=SHOTS / f"{name}-{size}-{scheme}.png", full_page=True)
                over = self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
                assert over <= 0, f"{name} at {size} is {over} pixels too wide"
                # Each size and each scheme once: what differs between them is seen, in half the time.
                if (size, scheme) not in (("1280", "light"), ("820", "dark")):
                    continue
                found = Axe().run(self.page, options={"resultTypes": ["violations"]}).response["violations"]
                serious = [f"{one['id']}: {one['nodes'][0]['html'][:160]} {one['nodes'][0]['failureSummary'][:300]}"
                           for one in found if one["impact"] in ("serious", "critical")]
                assert not serious, f"{name} at {size}, {scheme}: " + "\n".join(serious)
        self.page.set_viewport_size(dict(zip(("width", "height"), SIZES["1280"])))
        self.page.emulate_media(color_scheme="light")

    def close(self):
        self.context.close()
        assert not self.faults, "\n".join(self.faults)


@pytest.fixture
def tab(browser, service):
    tab = Watched(browser, service)
    yield tab
    tab.close()
