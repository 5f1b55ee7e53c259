"""Webhooks, verified by the library that receivers use (`standardwebhooks` from PyPI)."""

import json
import threading
from base64 import b64encode
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from service import SAMPLES, Service, start, stop
from standardwebhooks import Webhook, WebhookVerificationError

SECRETS = [
    "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",
    "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
]
PATIENCE = 60


class Receiver:
    """Answers with the statuses it was told to, then takes what comes."""

    def __init__(self):
        self.came = []
        self.statuses = []
        self.arrived = threading.Condition()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                with outer.arrived:
                    status = outer.statuses.pop(0) if outer.statuses else 204
                    outer.came.append((status, dict(self.headers), body))
                    outer.arrived.notify_all()
                self.send_response(status)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/in"

    def wait(self, count):
        with self.arrived:
            assert self.arrived.wait_for(lambda: len(self.came) >= count, PATIENCE), self.came
            return list(self.came)

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def receiver():
    receiver = Receiver()
    yield receiver
    receiver.close()


def settings(folder, receiver):
    file = folder / "reasonedit.toml"
    file.write_text(
        "[server.webhooks]\nretry_first_ms = 20\nretry_longest_ms = 200\n[server.webhooks.endpoints.audit]\n"
        f"url = {json.dumps(receiver.url)}\nsecret = {json.dumps(SECRETS[0])}\nold_secret = {json.dumps(SECRETS[1])}\nallow_private = true\n",
        encoding="utf-8",
    )
    return "--config", str(file)


def edit(service, number):
    return service.call("POST", "/edits?verify=false", {
        "image": {"data": b64encode((SAMPLES / "specimen.jpg").read_bytes()).decode()},
        "question": f"What is specimen {number} called?", "answer": "pumpkin",
    })["id"]


def test_the_library_verifies_what_is_sent_and_nothing_else(tmp_path, receiver):
    process, url = start(tmp_path, *settings(tmp_path, receiver))
    receiver.statuses = [500, 503, 429]
    id = edit(Service(url), 1)
    came = receiver.wait(4)
    assert [status for status, _, _ in came] == [500, 503, 429, 204]
    assert len({headers["webhook-id"] for _, headers, _ in came}) == 1, "the same message again"
    for secret in SECRETS:
        for _, headers, body in came:
            message = Webhook(secret).verify(body, headers)
            assert (message["type"], message["data"]["edit"]["id"]) == ("edit.created", id)
    _, headers, body = came[-1]
    for wrong in (body.replace(b"created", b"deleted"), b"{}"):
        with pytest.raises(WebhookVerificationError):
            Webhook(SECRETS[0]).verify(wrong, headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRETS[0]).verify(body, {**headers, "webhook-id": "msg_another"})
    with pytest.raises(WebhookVerificationError):
        Webhook("whsec_" + SECRETS[1][6:][::-1]).verify(body, headers)
    stop(process)
    log = (tmp_path / "server.log").read_text(errors="replace")
    assert all(secret[6:] not in log for secret in SECRETS) and "/in" not in log, "no secret, and no address"


def test_what_was_acknowledged_arrives_after_a_kill(tmp_path, receiver):
    process, url = start(tmp_path, *settings(tmp_path, receiver))
    service = Service(url)
    receiver.statuses = [503] * 10_000
    ids = [edit(service, number) for number in range(3)]
    service.call("DELETE", f"/edits/{ids[1]}")
    receiver.wait(1)
    process.kill()
    process.wait()
    with receiver.arrived:
        receiver.statuses = []
        before = len(receiver.came)
    process, _ = start(tmp_path, *settings(tmp_path, receiver))
    taken = [Webhook(SECRETS[0]).verify(body, headers) for status, headers, body in receiver.wait(before + 4) if status == 204]
    assert [(message["type"], message["data"]["edit"]["id"]) for message in taken] == [
        *(("edit.created", id) for id in ids), ("edit.reverted", ids[1]),
    ]
    stop(process)
