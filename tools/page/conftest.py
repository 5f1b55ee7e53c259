"""A service on the demo model, and a browser that looks at its page."""

import os
import re
import shutil

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import sync_playwright
from service import ROOT, Service, start, stop

SHOTS = ROOT / "target" / "screenshots"
SIZES = {"1280": (1280, 900), "820": (820, 1180)}
TOKEN = "a-token-for-the-test"


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
