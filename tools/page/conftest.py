"""A service on the demo model, and a browser that looks at its page."""

import os
import re
import shutil

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import sync_playwright
from service import ROOT, Service, start, stop

SHOTS = ROOT / "target" / "screenshots"
SIZES = {"1280": (1280, 900), "820": (820, 1180), "390": (390, 844), "zoomed": (640, 450)}
"""Widths of a desk, a tablet and a phone, and the desk at 200 %."""
# Each size once, and each scheme twice: what differs between them is seen, in half the time.
SCHEMES = {"1280": ("light",), "820": ("dark",), "390": ("light",), "zoomed": ("dark",)}
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


# What of the fields can't be seen when it has the focus, since something else lies upon it (WCAG 2.4.11), and buttons whose text is cut off.
COVERED = """() => {
  const within = document.querySelector("dialog[open], .menu[open] .panel") ?? document;
  const before = document.activeElement;
  const faults = [];
  for (const node of within.querySelectorAll("input, textarea, select, button, a[href], summary")) {
    if (!node.checkVisibility({ visibilityProperty: true }) || node.disabled || node.closest(".hidden-text, .skip")) continue;
    if (node.matches("button") && node.scrollWidth > node.clientWidth + 1) faults.push(`cut off: ${node.textContent}`);
    if (node.matches(".skip, .hidden-text")) continue;
    node.focus();
    node.scrollIntoView({ block: "nearest" });
    const box = node.getClientRects()[0];
    if (!box) continue;
    const [x, y] = [box.left + box.width / 2, box.top + box.height / 2];
    if (x < 0 || y < 0 || x >= innerWidth || y >= innerHeight) continue;
    const top = document.elementFromPoint(x, y);
    const own = top && (node.contains(top) || top.contains(node) || [...(node.labels ?? [])].some((label) => label.contains(top)));
    if (!own) faults.push(`${node.outerHTML.slice(0, 90)} under ${top?.outerHTML.slice(0, 90)}`);
  }
  before?.focus?.({ preventScroll: true });
  window.scrollTo(0, 0);
  return faults.join("; ");
}"""


class Watched:
    """A tab in which nothing may go wrong unseen."""

    def __init__(self, browser, service, locale="en-GB", **options):
        self.context = browser.new_context(viewport=dict(zip(("width", "height"), SIZES["1280"])), locale=locale, **options)
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

    def expert(self):
        """With the expert view on, as if it had been chosen before."""
        self.context.add_init_script("localStorage.setItem('reasonedit.expert', 'yes')")

    def open(self, path=""):
        self.page.goto(self.service.url + "/" + path)
        return self.page

    def shot(self, name):
        """Pictures of the page at every size, light and dark; no serious accessibility fault, nothing cut off or covered."""
        SHOTS.mkdir(parents=True, exist_ok=True)
        assert not re.search(r"\[object |undefined|NaN", self.page.inner_text("body")), self.page.inner_text("body")
        for size, (width, height) in SIZES.items():
            self.page.set_viewport_size({"width": width, "height": height})
            for scheme in SCHEMES[size]:
                self.page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
                self.page.evaluate("window.scrollTo(0, 0)")
                self.page.wait_for_timeout(120)
                self.page.screenshot(path=SHOTS / f"{name}-{size}-{scheme}.png", full_page=True)
                over = self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
                assert over <= 0, f"{name} at {size} is {over} pixels too wide"
                assert not (hidden := self.page.evaluate(COVERED)), f"{name} at {size}: {hidden}"
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
