"""Servers that are started to be killed, and what is done to them (side_by_side.py)."""

import contextlib
import os
import random
import re
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path


def alive(process):
    """Whether it is more than a name that nobody asked for yet."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    return False


def wait(what, seconds=30):
    """Seconds until it came true; None where it didn't in time."""
    began = time.monotonic()
    while time.monotonic() < began + seconds:
        if what():
            return time.monotonic() - began
        time.sleep(0.1)
    return None


def flip(path, place):
    with open(path, "r+b") as file:
        file.seek(place)
        byte = file.read(1)[0]
        file.seek(place)
        file.write(bytes([byte ^ 0x10]))


def fill(folder):
    """To the last byte."""
    for size in (65536, 1):
        with contextlib.suppress(OSError), open(folder / "filler", "ab", buffering=0) as file:
            while file.write(b"x" * size):
                pass


@contextlib.contextmanager
def disk(folder, size):
    """A disk in memory."""
    folder.mkdir()
    folder.chmod(0o777)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tried", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def counted(kinds):
    return ", ".join(f"{kinds.count(kind)} times {kind}" for kind in sorted(set(kinds)))


def found(folder, text):
    """The files that have it."""
    files = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file() and text in path.read_bytes()]
    return ", ".join(map(str, sorted(files))) or "no file"


class Server:
    """A process with a log, its rows told under its name and version."""

    port = 0

    def __init__(self, name, version, folder):
        self.who, self.folder, self.process, self.log = f"{name} {version}", folder, None, folder / "log"

    def tell(self, row, seen):
        print(f"{self.who} | {row} | {' '.join(seen.split())}", flush=True)

    def launch(self, command, answers, wanted, **how):
        with open(self.log, "w") as out:
            self.process = subprocess.Popen(command, stdout=out, stderr=out, cwd=self.folder, **how)
        wait(lambda: answers() or self.process.poll() is not None)
        up = self.process.poll() is None
        assert up or not wanted, self.log.read_text()
        return up

    def kill(self):
        """The process and its children at once: stopped first, so that none sees another one go."""
        children = []
        with contextlib.suppress(ProcessLookupError, FileNotFoundError):
            self.process.send_signal(signal.SIGSTOP)
            children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
            for child in children:
                os.kill(int(child), signal.SIGKILL)
        self.process.kill()
        self.process.wait()
        # PostgreSQL doesn't start while one of them still holds its memory.
        wait(lambda: not any(alive(child) for child in children))

    def stop(self, how=signal.SIGINT):
        if self.process.poll() is None:
            self.process.send_signal(how)
        self.process.wait(60)

    def said(self, pattern):
        """What the log says first of it."""
        lines = self.log.read_text(errors="replace").splitlines()
        return next((re.sub(r"^.*?\[\d+\] ", "", line)[:200] for line in lines if re.search(pattern, line)), "nothing of it")

    def addresses(self):
        """Which it listens on."""
        lines = subprocess.run(["ss", "-ltnH", f"sport = :{self.port}"], capture_output=True, text=True).stdout.splitlines()
        return ", ".join(sorted(line.split()[3] for line in lines)) or "nothing"

    def silent(self, half):
        with socket.create_connection(("127.0.0.1", self.port), timeout=100) as connection:
            connection.sendall(half)
            began, seen = time.monotonic(), "closed"
            try:
                connection.recv(1000)
            except OSError as error:
                seen = str(error)
            self.tell("connection that sends half a beginning", f"{seen} after {time.monotonic() - began:.0f} s")

    def killed(self, write, start, kills):
        """What was acknowledged to three writers while the process was killed time and again."""
        made = {}

        def one(ended):
            with contextlib.suppress(OSError, ValueError):
                for key, value in write(ended):
                    made[key] = value
        for _ in range(kills):
            ended = threading.Event()
            threads = [threading.Thread(target=one, args=(ended,)) for _ in range(3)]
            for thread in threads:
                thread.start()
            time.sleep(random.uniform(0.3, 1.2))
            self.kill()
            ended.set()
            for thread in threads:
                thread.join()
            start()
        return made

    def guessed(self, ask):
        began = time.monotonic()
        refused = sum(not ask(f"wrong{number}") for number in range(30))
        took = time.monotonic() - began
        self.tell("wrong passwords", f"{refused} of 30 refused in {took:.2f} s; the right one then {'let in' if ask('right') else 'refused'}")
