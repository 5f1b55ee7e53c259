"""What the flood is made of: clients of every kind, on raw sockets so that each may do what no library would let it.

`flood.py` starts this as a program of its own, at a lower priority than the service: it reads a plan as JSON from its input, does
it and prints what became of the requests as JSON.
"""

import asyncio
import base64
import collections
import json
import os
import resource
import socket
import ssl
import struct
import sys
import time

from png import GREY, png

PORT, DEADLINE, TLS = 0, 125, None
BODY_BYTES = 20_000_000
BOUNDARY = "flood"


def bmp(width, height):
    """A BMP in two parts: what stands before the pixels, and these. Its first pixels make it another picture."""
    size = width * height * 3
    return struct.pack("<2sIHHI", b"BM", 54 + size, 0, 0, 54) + struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, size, 0, 0, 0, 0), size


class Large:
    """Bodies of 20 MB with a picture in them, no two alike, of which all but the first bytes is held once."""

    def __init__(self):
        self.head, size = bmp(2580, 2580)
        self.pixels = memoryview(os.urandom(1 << 16) * (size // (1 << 16) + 1))[:size - 6]
        small, size = bmp(2240, 2220)
        # 60 bytes are 80 characters of base64, so that what follows is the same in all.
        self.small, self.encoded = small, memoryview(base64.b64encode(self.pixels[:size - 6]))

    def form(self):
        part = f"--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"question\"\r\n\r\nWhat is it?\r\n"
        for choice in ("a square", "a circle"):
            part += f"--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"choices\"\r\n\r\n{choice}\r\n"
        part += f"--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"image\"; filename=\"a.bmp\"\r\n\r\n"
        return f"multipart/form-data; boundary={BOUNDARY}", [part.encode() + self.head + os.urandom(6), self.pixels, f"\r\n--{BOUNDARY}--\r\n".encode()]

    def json(self):
        before = b'{"question": "What is it?", "choices": ["a square", "a circle"], "image": {"data": "'
        return "application/json", [before + base64.b64encode(self.small + os.urandom(6)), self.encoded, b'"}}']


class Told:
    """What became of the requests."""

    def __init__(self):
        self.kinds = collections.Counter()
        self.refused_ms, self.answered_s = [], []
        self.without_retry = 0

    def answer(self, status, headers, since_head):
        if status == 200:
            self.answered_s.append(since_head)
        elif status in (429, 503):
            self.refused_ms.append(1000 * since_head)
            self.without_retry += "retry-after" not in headers
        self.kinds[f"large: {status}"] += 1


class Wire:
    """A connection, behind TLS where the service asks for it; each may be as slow as it likes."""

    def __init__(self, sock):
        self.sock, self.tls = sock, None

    async def shake_hands(self):
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = TLS.wrap_bio(self.incoming, self.outgoing, server_hostname="127.0.0.1")
        await self.until(self.tls.do_handshake, 1 << 16)

    async def until(self, what, size):
        """Does what TLS has to, reading so much at a time while it wants more."""
        while True:
            try:
                return what()
            except ssl.SSLWantReadError:
                await self.flush()
                more = await asyncio.get_running_loop().sock_recv(self.sock, size)
                self.incoming.write(more) if more else self.incoming.write_eof()
            except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
                raise
            except ssl.SSLError as error:
                raise ConnectionError(str(error)) from error
            finally:
                await self.flush()

    async def flush(self):
        data = self.outgoing.read()
        if data:
            await asyncio.get_running_loop().sock_sendall(self.sock, data)

    async def send(self, data):
        if not self.tls:
            await asyncio.get_running_loop().sock_sendall(self.sock, data)
            return
        self.tls.write(data)
        await self.flush()

    async def receive(self, size):
        if not self.tls:
            return await asyncio.get_running_loop().sock_recv(self.sock, size)
        try:
            return await self.until(lambda: self.tls.read(size), size)
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
            return b""

    def close(self):
        self.sock.close()

    def reset(self):
        """Ends it as a machine that is switched off does: without a word."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


async def connect(source, buffer=None, tls=True):
    sock = socket.socket()
    sock.setblocking(False)
    if buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    sock.bind((source, 0))
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", PORT))
    wire = Wire(sock)
    if TLS and tls:
        try:
            await wire.shake_hands()
        except BaseException:
            sock.close()
            raise
    return wire


def request(method, path, kind=None, length=None, more=""):
    head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{PORT}\r\n{more}"
    if kind:
        head += f"Content-Type: {kind}\r\nContent-Length: {length}\r\n"
    return (head + "\r\n").encode()


async def read_answer(sock):
    """Status, headers and when the first byte came; the body is read and thrown away."""
    data, first = b"", None
    while b"\r\n\r\n" not in data:
        more = await sock.receive(65536)
        if not more:
            raise ConnectionError("closed")
        first = first or time.monotonic()
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    left = int(headers.get("content-length", 0)) - len(body)
    while left > 0:
        more = await sock.receive(min(left, 1 << 18))
        if not more:
            raise ConnectionError("cut")
        left -= len(more)
    return int(lines[0].split()[1]), headers, first


async def large(source, made, told):
    """One question with a large body, on a connection of its own."""
    kind, parts = made
    sock = None
    try:
        sock = await connect(source)
        await sock.send(request("POST", "/query", kind, sum(map(len, parts)), "Connection: close\r\n"))
        began = time.monotonic()

        async def send():
            for part in parts:
                for at in range(0, len(part), 1 << 18):
                    await sock.send(part[at:at + (1 << 18)])

        sending = asyncio.ensure_future(send())
        try:
            status, headers, first = await asyncio.wait_for(read_answer(sock), DEADLINE)
            told.answer(status, headers, first - began)
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
    except asyncio.TimeoutError:
        told.kinds["large: no answer in time"] += 1
    except OSError:
        told.kinds["large: connection broke without an answer"] += 1
    finally:
        if sock:
            sock.close()


async def again(until, told, name, client, *args):
    """Does the same until the flood ends; each time counts."""
    while time.monotonic() < until:
        try:
            await asyncio.wait_for(client(*args), max(0.1, until - time.monotonic()))
        except (asyncio.TimeoutError, OSError):
            pass
        told.kinds[name] += 1
        await asyncio.sleep(0.05)


async def slow_writer(source):
    sock = await connect(source)
    try:
        await sock.send(request("POST", "/query", "application/json", BODY_BYTES))
        while True:
            await sock.send(b" ")
            await asyncio.sleep(1)
    finally:
        sock.close()


async def half_open(source, made):
    """Sends a quarter of a body and then nothing, until the service ends it."""
    sock = await connect(source)
    try:
        kind, parts = made
        await sock.send(request("POST", "/query", kind, sum(map(len, parts))))
        await sock.send(parts[0])
        await sock.send(parts[1][:5_000_000])
        while await sock.receive(65536):
            pass
    finally:
        sock.close()


async def gone(source, made):
    """Is cut off in the middle of a body; and in the middle of an answer, without reading it."""
    kind, parts = made
    sock = await connect(source)
    try:
        await sock.send(request("POST", "/query", kind, sum(map(len, parts))))
        await sock.send(parts[0])
        await sock.send(parts[1][:10_000_000])
    finally:
        sock.reset()
    sock = await connect(source)
    try:
        body = json.dumps({"image": {"data": base64.b64encode(small_picture()).decode()}, "question": "What is it?"}).encode()
        await sock.send(request("POST", "/query", "application/json", len(body), "Accept: text/event-stream\r\n") + body)
        await sock.receive(100)
    finally:
        sock.reset()


def small_picture():
    head, size = bmp(64, 64)
    return head + os.urandom(size)


async def bomb(source, number):
    """A file of 14 kB with a picture of 150 MB in it."""
    width, height = 7000, 7100
    row, line = b"\xff" * ((width + 7) // 8), b"\0" * ((width + 7) // 8)
    file = png(width, height, (line if at == number else row for at in range(height)), depth=1, kind=GREY)
    body = json.dumps({"image": {"data": base64.b64encode(file).decode()}, "question": "What is it?", "choices": ["a square", "a circle"]}).encode()
    sock = await connect(source)
    try:
        while True:
            await sock.send(request("POST", "/query", "application/json", len(body)) + body)
            await read_answer(sock)
    finally:
        sock.close()


async def slow_reader(source, path):
    sock = await connect(source, 4096)
    try:
        await sock.send(request("GET", path))
        while await sock.receive(1024):
            await asyncio.sleep(1)
    finally:
        sock.close()


def frame(kind, flags, stream, payload=b""):
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def text(value):
    return bytes([len(value)]) + value.encode()


async def h2_reader(source, path, streams, trickle):
    """Asks for a picture on many streams at once and gives no room to send it in, or 1 KiB a second for all."""
    sock = await connect(source)
    try:
        assert len(path) < 127
        head = b"\x82\x86\x04" + text(path) + b"\x01" + text(f"127.0.0.1:{PORT}")
        await sock.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0)
                                + b"".join(frame(1, 5, 1 + 2 * number, head) for number in range(streams)))

        async def read():
            data = b""
            while True:
                more = await sock.receive(1 << 16)
                if not more:
                    return
                data += more
                while len(data) >= 9 and len(data) >= 9 + int.from_bytes(data[:3], "big"):
                    length, kind, flags = int.from_bytes(data[:3], "big"), data[3], data[4]
                    payload, data = data[9:9 + length], data[9 + length:]
                    if kind == 4 and not flags:
                        await sock.send(frame(4, 1, 0))
                    elif kind == 6 and not flags:
                        await sock.send(frame(6, 1, 0, payload))

        async def give():
            while trickle:
                await asyncio.sleep(1)
                room = (1024).to_bytes(4, "big")
                await sock.send(frame(8, 0, 0, room) + frame(8, 0, 1, room))

        giving = asyncio.ensure_future(give())
        try:
            await read()
        finally:
            giving.cancel()
            await asyncio.gather(giving, return_exceptions=True)
    finally:
        sock.close()


async def silent(source):
    sock = await connect(source, tls=False)
    try:
        await sock.receive(1)
    finally:
        sock.close()


def trusting():
    """What a client takes whose service has a certificate of its own making."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def percentiles(values):
    values = sorted(values)
    at = lambda share: round(values[min(len(values) - 1, int(share * len(values)))], 1)  # noqa: E731
    return {"count": len(values), "p50": at(0.5), "p90": at(0.9), "p99": at(0.99), "max": at(1)} if values else {"count": 0}


async def sustainable(plan, bodies, told):
    """Answers a second to a few clients that each wait for theirs."""
    until = time.monotonic() + plan["seconds"]

    async def client(number):
        while time.monotonic() < until:
            await large(f"127.0.1.{number + 1}", bodies.form() if number % 2 else bodies.json(), told)

    began = time.monotonic()
    await asyncio.gather(*(client(number) for number in range(plan["clients"])))
    return len(told.answered_s) / (time.monotonic() - began)


async def flood(plan, bodies, told):
    until = time.monotonic() + plan["seconds"]
    path, loops, number = plan["path"], [], 0
    kinds = [
        ("slow writer", lambda source: (slow_writer, source)),
        ("half-open upload", lambda source: (half_open, source, bodies.form())),
        ("gone in mid-stream", lambda source: (gone, source, bodies.form())),
        ("slow reader of HTTP/1.1", lambda source: (slow_reader, source, path)),
        ("reader of HTTP/2 that gives no room", lambda source: (h2_reader, source, path, plan["streams"], False)),
        ("reader of HTTP/2 that gives 1 KiB a second", lambda source: (h2_reader, source, path, plan["streams"], True)),
    ]
    for name, made in kinds:
        for _ in range(4):
            number += 1
            loops.append(again(until, told, name, *made(f"127.0.2.{number}")))
    loops += [again(until, told, "silent", silent, "127.0.3.1") for _ in range(plan["silent"])]
    loops += [again(until, told, "picture bomb", bomb, f"127.0.4.{bombs + 1}", bombs) for bombs in range(plan["bombs"])]
    background = [asyncio.ensure_future(loop) for loop in loops]
    running, sent, began = set(), 0, time.monotonic()
    senders = 64 - number
    while time.monotonic() < until:
        task = asyncio.ensure_future(large(f"127.0.1.{sent % senders + 1}", bodies.form() if sent % 2 else bodies.json(), told))
        running.add(task)
        task.add_done_callback(running.discard)
        sent += 1
        await asyncio.sleep(max(0, began + sent / plan["rate"] - time.monotonic()))
    await asyncio.gather(*running, *background)
    return sent


def main():
    global PORT, TLS
    os.nice(10)
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    plan = json.load(sys.stdin)
    PORT = plan["port"]
    TLS = trusting() if plan.get("tls") else None
    told = Told()
    came_to = asyncio.run((flood if plan["what"] == "flood" else sustainable)(plan, Large(), told))
    json.dump({"came_to": came_to, "kinds": told.kinds, "refused_ms": percentiles(told.refused_ms), "answered_s": percentiles(told.answered_s),
               "without_retry": told.without_retry}, sys.stdout)


if __name__ == "__main__":
    main()
