"""The pages below a path of another host's, as a reverse proxy shows them: nothing may be asked for outside of that path."""

import http.client
import json
import re
import threading
import urllib.request
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from conftest import TOKEN, Watched
from service import Service, start, stop
from test_page import CHOICES, QUESTION, REASONS, answer, ask, statement, until

PREFIX = "/tools/reasonedit"
HOPS = {"connection", "keep-alive", "transfer-encoding", "host", "content-length"}


@contextmanager
def proxy(target, strips, *headers):
    """A reverse proxy that shows a service below the path, which it takes off or not. Everything else of its host is a 404 that is kept."""
    host, port = target.removeprefix("http://").split(":")
    strays = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def forward(self):
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            if not self.path.startswith(PREFIX + "/"):
                strays.append(self.path)
                self.send_error(404)
                return
            upstream = http.client.HTTPConnection(host, int(port), timeout=120)
            passed = {name: value for name, value in self.headers.items() if name.lower() not in HOPS}
            passed.update(headers, Host=self.headers["host"])
            upstream.request(self.command, self.path.removeprefix(PREFIX) if strips else self.path, body or None, passed)
            reply = upstream.getresponse()
            self.send_response(reply.status)
            for name, value in reply.getheaders():
                if name.lower() not in HOPS:
                    self.send_header(name, value)
            self.send_header("Connection", "close")
            self.end_headers()
            while piece := reply.read1(65536):
                self.wfile.write(piece)
                self.wfile.flush()
            upstream.close()
            self.close_connection = True

        do_GET = do_POST = do_DELETE = do_HEAD = forward

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}{PREFIX}", strays
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


# Taken off and told, taken off and not told, left in and set. Without a token pictures are fetched by the browser itself.
WAYS = {
    "told": (True, TOKEN, ["--set", 'server.trusted_proxies=["127.0.0.1"]'], [("X-Forwarded-Prefix", PREFIX)]),
    "untold": (True, None, [], []),
    "kept": (False, None, ["--set", f'server.path_prefix="{PREFIX}"'], []),
}


@pytest.mark.parametrize("way", WAYS)
def test_the_pages_work_below_a_path(browser, tmp_path, way):
    strips, token, options, headers = WAYS[way]
    if token:
        options = [*options, "--set", f'server.auth_tokens=["{token}"]']
    process, url = start(tmp_path, *options)
    try:
        with proxy(url, strips, *headers) as (address, strays):
            tab = Watched(browser, Service(address, token))
            # The first answer asks for the token.
            tab.expected.append("401")
            correct(tab)
            try_the_contract(tab, address)
            tab.close()
            assert strays == [], "asked for outside of the path"
            names_itself(tab.service, address, PREFIX if way != "untold" else "")
    finally:
        stop(process)


def correct(tab):
    tab.expert()
    page = tab.open()
    if tab.service.token:
        page.get_by_label("Token", exact=True).fill(tab.service.token)
        page.get_by_role("button", name="Use it").click()
        page.get_by_role("dialog").wait_for(state="detached")
    ask(page, "specimen.jpg", QUESTION, CHOICES)
    assert answer(page) == "triangle"
    page.get_by_role("button", name="Correct it").click()
    page.get_by_role("radio", name="pumpkin").check()
    statement(page, 1).fill(REASONS[2])
    page.get_by_role("button", name="Save the correction").click()
    page.get_by_role("heading", name="Correction saved").wait_for()
    page.get_by_role("link", name="Open the correction").click()
    page.locator(".page .frame .shot img").wait_for()
    until(lambda: page.evaluate("document.querySelector('.page .frame .shot img').naturalWidth > 0"))
    page.get_by_role("link", name="Status").click()
    page.get_by_role("heading", name="Queue").wait_for()


def try_the_contract(tab, address):
    page = tab.page
    page.get_by_role("link", name="HTTP interface").click()
    page.wait_for_url(address + "/docs")
    page.fill("#token", tab.service.token or "")
    listing = page.locator("details.operation").filter(has=page.locator(".method.get")).filter(has=page.get_by_text("/edits", exact=True))
    listing.locator("summary").first.click()
    listing.get_by_role("button", name="As curl").click()
    assert f"{address}/edits" in listing.locator("pre").last.inner_text()
    listing.get_by_role("button", name="Send").click()
    listing.locator(".status", has_text="200").wait_for()


def names_itself(service, address, prefix):
    """What the service says of where it is."""
    assert [server["url"] for server in service.call("GET", "/openapi.json").get("servers", [])] == ([prefix] if prefix else [])
    image = service.call("GET", "/edits")["edits"][0]["image"]["id"]
    body = json.dumps({"image": {"id": image}, "question": QUESTION, "answer": "gourd"}).encode()
    headers = {"content-type": "application/json"} | ({"authorization": f"Bearer {service.token}"} if service.token else {})
    with urllib.request.urlopen(urllib.request.Request(address + "/edits?verify=false", body, headers), timeout=120) as made:
        assert re.match(f"{prefix}/edits/[0-9A-Z]{{26}}$", made.headers["location"])
