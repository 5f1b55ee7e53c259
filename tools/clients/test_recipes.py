"""Every recipe of docs/ runs as it stands there, in order, and prints what the page says."""

import functools
import http.server
import os
import re
import shutil
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest
from recipes import anchors, blocks, matches, steps
from service import ROOT, SAMPLES, free_port, program, start, stop

DOCS = ROOT / "docs"
SERVICE = "http://127.0.0.1:8080"
ORIGIN = "http://localhost:8000"
# Needs a program that has a stage of its own in .ci/run.
ELSEWHERE: dict[str, str] = {"label-studio.md": "labelstudio"}
PAGES = [page for page in sorted(DOCS.glob("*.md")) if page.name not in ELSEWHERE]
MARK = "---- end of block ----"
ENDINGS = {
    "sh": f"\necho; echo '{MARK}'\n",
    "python": f"\nprint('\\n{MARK}', flush=True)\n",
    "js": f"\nconsole.log('\\n{MARK}');\n",
}
COMMANDS = {"sh": ["bash", "-euo", "pipefail"], "python": [sys.executable, "-W", "error"], "js": ["node"]}
SUFFIXES = {"sh": ".sh", "python": ".py", "js": ".mjs"}


class Reader:
    """Somebody who goes through a page, in a folder that has what the repository's has."""

    def __init__(self, page, folder):
        self.page = page
        self.folder = folder / "repository"
        self.folder.mkdir()
        for name in ("models", "docs", "openapi.yaml"):
            (self.folder / name).symlink_to(ROOT / name)
        self.data = folder
        # The data folder that a page means is the service's.
        (self.folder / "data").symlink_to(folder / "data")
        self.port = free_port()
        self.origin_port = free_port()
        self.process, self.url = start(self.data, port=self.port)
        # The program as it would be installed.
        programs = folder / "bin"
        programs.mkdir()
        (programs / "reasonedit").symlink_to(program())
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("REASONEDIT_", "OPENAI_"))},
            "PATH": f"{programs}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        }

    def text(self, block):
        """A block with the addresses that this run has."""
        return block.text.replace(SERVICE, self.url).replace(ORIGIN, f"http://localhost:{self.origin_port}")

    def settle(self, block):
        """The service, started again with these settings."""
        stop(self.process)
        settings = self.data / "reasonedit.toml"
        settings.write_text(self.text(block), encoding="utf-8")
        self.process, self.url = start(self.data, "--config", str(settings), port=self.port)

    def run(self, step):
        """Runs a program; block by block, what it printed is what stands on the page."""
        name = f"line-{step.blocks[0].line}{SUFFIXES[step.language]}"
        program = self.folder / name
        program.write_text("".join(self.text(block) + ENDINGS[step.language] for block in step.blocks), encoding="utf-8")
        done = subprocess.run(
            [*COMMANDS[step.language], name], cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, encoding="utf-8", timeout=300,
        )
        *whole, rest = re.split(rf"\n?^{re.escape(MARK)}\n?", done.stdout, flags=re.MULTILINE)
        for block, printed in zip(step.blocks, whole):
            self.compare(block, printed)
        assert len(whole) == len(step.blocks) and done.returncode == 0, (
            f"{self.place(step.blocks[min(len(whole), len(step.blocks) - 1)])} ended with {done.returncode}:\n{rest[-2000:]}\n{done.stderr[-4000:]}"
        )

    def compare(self, block, printed):
        if block.printed is not None:
            assert matches(printed, block.printed), f"{self.place(block)} printed:\n{printed}\nand not:\n{block.printed}"

    def place(self, block):
        return f"{self.page.name}:{block.line}"

    def browse(self, block):
        """Opens a web page from its own origin, gives it a picture, and presses its buttons one after the other."""
        from playwright.sync_api import sync_playwright

        site = self.data / f"site-{block.line}"
        site.mkdir()
        (site / "index.html").write_text(self.text(block), encoding="utf-8")
        chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
        assert chromium, "needs chromium"
        faults = []
        with serving(site, self.origin_port), sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
            tab = browser.new_page()
            tab.on("console", lambda message: faults.append(message.text) if message.type in ("error", "warning") else None)
            tab.on("pageerror", lambda error: faults.append(str(error)))
            tab.goto(f"http://localhost:{self.origin_port}/")
            tab.set_input_files("input[type=file]", str(SAMPLES / "specimen.jpg"))
            for button in tab.locator("button").all():
                button.click()
                tab.wait_for_function("document.querySelector('output').getAttribute('aria-busy') === 'false'")
            printed = tab.inner_text("output")
            browser.close()
        assert not faults, f"{self.place(block)}: {faults}"
        self.compare(block, printed)

    def leave(self):
        stop(self.process)


@contextmanager
def serving(folder, port):
    """Files of a folder over HTTP."""
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def send_head(self):
            if self.path == "/favicon.ico":
                self.send_response(204)
                self.end_headers()
                return None
            return super().send_head()

    server = http.server.ThreadingHTTPServer(("localhost", port), functools.partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_texts_are_sent_as_they_stand():
    """curl cuts what `-F` sends at a semicolon, and takes what begins with `@` or `<` for a file: whoever puts a text of their own into a recipe must not lose it."""
    for page in [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]:
        for given in re.findall(r"\s-F (?:'([^']*)'|\"([^\"]*)\"|(\S+))", page.read_text(encoding="utf-8")):
            name, value = "".join(given).split("=", 1)
            assert value.startswith(("@", "<")) or value.endswith(";type=application/json") or value in ("true", "false"), f"{page.name}: -F {name}={value}"


def test_what_counts_as_printed():
    assert matches("a 1 b  \nc\n\n", "a … b\nc\n") and matches("a\nb\nc", "a\n…\nc") and matches("", "")
    assert not matches("a 1 b\nc", "a … b") and not matches("b", "a") and not matches("a.b", "a…c") and not matches("axb", "a.b")


@pytest.mark.parametrize("text", [
    "```sh\ntrue", "```\ntrue\n```", "```ruby\nputs\n```", "```text\nnothing printed this\n```", "- x\n  ```sh\n  true\n  ```",
    "```sh\necho a\n```\nSomething else\n```text\na\n```", "```sh\necho a\n```\n```text\na\n```\n```text\na\n```",
])
def test_pages_that_could_not_be_run_are_refused(text, tmp_path):
    page = tmp_path / "page.md"
    page.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match="page.md:"):
        blocks(page)


@pytest.mark.parametrize(("text", "told"), [
    ("```sh\necho a\n```\n```text\nb\n```", "page.md:2 printed"),
    ("```sh\nfalse | true\necho a\n```", "page.md:2 ended with 1"),
    ("```python\nx = 1\n```\n```python\nraise SystemExit(x)\n```", "page.md:5 ended with 1"),
    ("```js\nawait fetch('http://127.0.0.1:8080/health/live')\n```\n```js\nthrow 1\n```", "page.md:5 ended with 1"),
])
def test_a_page_that_is_wrong_fails(text, told, tmp_path):
    page = tmp_path / "page.md"
    page.write_text(text, encoding="utf-8")
    with pytest.raises(AssertionError, match=told):
        test_a_page(page, tmp_path)


def test_node_is_there():
    version = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout
    assert int(re.match(r"v(\d+)", version)[1]) >= 18, f"fetch, FormData and Blob come with Node 18; this is {version}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page(page, tmp_path):
    made = steps(page)
    if not made:
        return
    reader = Reader(page, tmp_path)
    try:
        for step in made:
            if step.language == "toml":
                reader.settle(step.blocks[0])
            elif step.language == "html":
                reader.browse(step.blocks[0])
            else:
                reader.run(step)
    finally:
        reader.leave()


@pytest.mark.parametrize("page", [ROOT / "README.md", *sorted(DOCS.glob("*.md"))], ids=lambda page: page.stem)
def test_links_lead_somewhere(page):
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), f"{page.name} links to {target}"
        if anchor:
            assert anchor in anchors(there), f"{page.name} links to {target}"


def test_every_page_is_in_the_index():
    index = (DOCS / "README.md").read_text(encoding="utf-8")
    for page in DOCS.glob("*.md"):
        assert page.name == "README.md" or f"]({page.name}" in index, f"docs/README.md doesn't name {page.name}"


def test_the_table_of_problems_is_the_services_own():
    """The one in docs/errors.md has a row for every kind that the service can answer with, with its status."""
    snapshot = next((ROOT / "crates" / "http" / "src").rglob("*the_table_of_statuses_types_and_titles.snap"))
    known = re.findall(r"^(\d{3}) ([a-z-]+): ", snapshot.read_text(encoding="utf-8"), re.MULTILINE)
    told = re.findall(r"^\| (\d{3}) \| `([a-z-]+)` \|", (DOCS / "errors.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert known and sorted(told) == sorted(known)
