"""What PostgreSQL and Orthanc do, where docs/promises.md says that it was tried.

    python3 tools/qualify/side_by_side.py [--only postgresql|orthanc] [--postgres-bin DIR] [--kills 10]

As root on Linux. Starts a throw-away PostgreSQL and Orthanc, where they are installed (Debian's `postgresql`, `orthanc`), in name
spaces of mounts and network of its own, kills, flips, cuts, fills and moves, and prints a line a row. Nothing is judged.
"""

import argparse
import base64
import glob
import hashlib
import http.client
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from dicom import dicom
from throwaway import Server, counted, disk, fill, flip, found, wait

INSIDE = "SIDE_BY_SIDE_INSIDE"
PLACES = 20


class Postgres(Server):
    port = 5432

    def __init__(self, binaries, folder):
        self.bin, self.data = Path(binaries), None
        super().__init__("PostgreSQL", self.run("postgres", "--version").stdout.split()[2], folder)
        self.as_owner = {"user": "postgres", "group": "postgres", "extra_groups": []}
        shutil.chown(folder, "postgres", "postgres")

    def run(self, command, *args, **more):
        return subprocess.run([str(self.bin / command), *map(str, args)], capture_output=True, text=True, **more)

    def init(self, data, checksums=False):
        # Version 18 makes them unless told otherwise.
        how = ["--data-checksums"] if checksums else ["--no-data-checksums"] if int(self.who.split()[1].split(".")[0]) >= 18 else []
        made = self.run("initdb", "-D", data, "-U", "postgres", "-A", "trust", "--locale=C", *how, **self.as_owner)
        assert made.returncode == 0, made.stderr
        self.data = data

    def start(self, *settings, wanted=True):
        args = [arg for setting in settings for arg in ("-c", setting)]
        command = [str(self.bin / "postgres"), "-D", str(self.data), "-k", str(self.folder), *args]
        return self.launch(command, lambda: self.sql("select 1").returncode == 0, wanted, **self.as_owner)

    def psql(self, *args):
        return [str(self.bin / "psql"), "-XAtq", "-h", str(self.folder), "-U", "postgres", *args]

    def sql(self, text):
        return subprocess.run(self.psql("-c", text), capture_output=True, text=True, timeout=60)

    def count(self):
        return int(self.sql("select count(*) from rows").stdout or -1)

    def write(self, ended):
        """Inserts a row at a time, and gives each that was answered."""
        client = subprocess.Popen(self.psql(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        name, number = random.randrange(10**9), 0
        while not ended.is_set():
            key, number = f"{name}-{number}", number + 1
            client.stdin.write(f"insert into rows values ('{key}', repeat('{key}', 20)) returning id;\n")
            client.stdin.flush()
            if client.stdout.readline().strip() != key:
                break
            yield key, None
        client.kill()

    def tried(self, kills):
        self.init(self.folder / "data")
        self.start()
        self.sql("create table rows (id text primary key, text text)")
        self.sql("create role doctor login password 'right'")
        (self.data / "pg_hba.conf").write_text("local all,replication postgres trust\nhost all all 127.0.0.1/32 scram-sha-256\n")
        self.sql("select pg_reload_conf()")
        time.sleep(0.5)
        login = [str(self.bin / "psql"), "-XAtq", "-h", "127.0.0.1", "-U", "doctor", "postgres", "-c", "select 1"]
        self.guessed(lambda word: not subprocess.run(login, capture_output=True, env={**os.environ, "PGPASSWORD": word}).returncode)
        self.silent(b"\0\0")
        made = self.killed(self.write, self.start, kills)
        lost = len(set(made) - set(self.sql("select id from rows").stdout.split()))
        self.tell("kill -9 during inserts", f"{kills} kills, {len(made)} acknowledged, {lost} lost")
        self.erased()
        self.backup(made)
        self.cut()
        self.stop()
        for checksums in (False, True):
            self.flipped(checksums)
        self.full_disk()
        self.moved()
        (self.data / "pg_hba.conf").write_text("local all all trust\nhost all all all trust\n")
        up = self.start("listen_addresses=*", wanted=False)
        self.tell("listens for everybody without passwords", f"{'starts' if up else 'refuses'}, on {self.addresses()}; log: {self.said('WARN|trust')}")
        self.stop()

    def table(self):
        return self.sql("select pg_relation_filepath('rows')").stdout.strip()

    def erased(self):
        self.sql("insert into rows values ('erased', 'effusion in the left lung')")
        for text in ("checkpoint", "delete from rows where id = 'erased'", "vacuum rows", "checkpoint"):
            self.sql(text)
        self.tell("what was deleted", f"after vacuum and checkpoint its text is in {found(self.data, b'effusion in the left lung')}")

    def backup(self, before):
        ended, beside, mine, target = threading.Event(), [], self.data, self.folder / "backup"
        writer = threading.Thread(target=lambda: beside.extend(self.write(ended)))
        writer.start()
        made = self.run("pg_basebackup", "-h", self.folder, "-U", "postgres", "-D", target, "-c", "fast", **self.as_owner)
        ended.set()
        writer.join()
        sound = self.run("pg_verifybackup", target)
        flip(target / self.table(), 5000)
        damaged = self.run("pg_verifybackup", target)
        flip(target / self.table(), 5000)
        self.stop()
        self.data = target
        self.start()
        missing = len(set(before) - set(self.sql("select id from rows").stdout.split()))
        self.tell("backup while serving", f"pg_basebackup {made.returncode} beside {len(beside)} inserts, pg_verifybackup {sound.returncode}, with a flipped byte "
                  f"{damaged.returncode} ({damaged.stderr.strip()[-120:]}); restored: {missing} of {len(before)} rows from before missing")
        self.stop()
        self.data = mine
        self.start()

    def cut(self):
        """The log of a killed server ends where half of what was acknowledged since the last checkpoint had been written."""
        self.sql("truncate rows")
        self.sql("checkpoint")
        for row in range(1000):
            if row == 500:
                name, place = self.sql("select * from pg_walfile_name_offset(pg_current_wal_insert_lsn())").stdout.strip().split("|")
            self.sql(f"insert into rows values ('{row}', repeat('x', 200))")
        self.kill()
        os.truncate(self.data / "pg_wal" / name, int(place))
        up = self.start(wanted=False)
        self.tell("log cut off", f"{'starts' if up else 'does not start'}; {self.count()} of 1000 acknowledged rows; log: {self.said('could not read|invalid|unexpected')}; "
                  f"{self.said('redo done')}; warnings: {self.said('WARNING|PANIC|FATAL:  (?!the database system)')}")

    def flipped(self, checksums):
        """One byte of the table's file, at random places."""
        self.init(self.folder / f"flipped-{checksums}", checksums)
        self.start("autovacuum=off")
        self.sql("create table rows (id int primary key, text text)")
        self.sql("insert into rows select n, repeat(md5(n::text), 8) from generate_series(1, 3000) n")
        self.sql("vacuum rows")
        whole = "select md5(string_agg(id || text, ',' order by ctid)) from rows"
        table, before, seen, said = self.data / self.table(), self.sql(whole).stdout, [], ""
        self.stop()
        for _ in range(PLACES):
            place = random.randrange(table.stat().st_size)
            flip(table, place)
            checked = self.run("pg_checksums", "--check", "-D", self.data)
            self.start("autovacuum=off")
            got = self.sql(whole)
            kind = "read as before" if got.stdout == before else "read, other content, no error"
            if got.returncode:
                said = got.stderr.strip().splitlines()[-1]
                others = self.sql(f"select count(text) from rows where ctid < '({place // 8192},0)'")
                kind = f"refused, pages before it {'not ' * bool(others.returncode)}read"
            if checksums:
                kind += f", pg_checksums ends with {checked.returncode}"
            seen.append(kind)
            self.stop()
            flip(table, place)
        self.tell(f"flipped byte, checksums {'on' if checksums else 'off'}", f"{counted(seen)}{said and f' ({said})'}")

    def full_disk(self):
        row = "insert into rows select 'x', repeat(md5(random()::text), 60) from generate_series(1, {})"
        with disk(self.folder / "disk", "130m") as place:
            self.init(place / "data")
            for what, number in (("a table", 20), ("its log", 400)):
                self.start()
                self.sql("create table if not exists rows (id text, text text)")
                if what == "its log":
                    # Pages that are free again take rows without another one.
                    for text in (row.format(12000), "delete from rows", "vacuum (truncate off) rows"):
                        self.sql(text)
                self.sql(row.format(100))
                fill(place)
                errors, kept = [], self.count()
                while len(errors) < 6:
                    got = self.sql(row.format(number))
                    kept += 0 if got.returncode else number
                    errors += [re.sub(r"\d+|.*socket \"[^\"]*\"", "…", got.stderr.strip().splitlines()[0])] if got.returncode else []
                asked = self.sql("select count(*) from rows").returncode
                # Whether it is still there after a while, since an operator takes one.
                time.sleep(10)
                ready = self.run("pg_isready", "-h", self.folder, "-U", "postgres").stdout.strip().split(" - ")[-1]
                log = f"{self.said('PANIC')}; {self.said('shutting down|aborting')}"
                (place / "filler").unlink()
                healed = wait(lambda: self.process.poll() is None and self.sql(row.format(20)).returncode == 0, 15)
                after = f"inserts again after {healed or 0:.1f} s by the same process"
                if healed is None:
                    after = f"no inserts in 15 s (the server {'runs' if self.process.poll() is None else 'had ended'}); started anew"
                    self.stop(signal.SIGQUIT)
                    self.start()
                self.tell(f"full disk, no room for {what}", f"{counted(errors)}; a question meanwhile {'failed' if asked else 'answered'}; ten seconds later "
                          f"pg_isready: {ready}; log: {log}; room again: {after}; {max(0, kept - self.count())} of {kept} acknowledged rows lost")
                self.stop()

    def moved(self):
        self.data, elsewhere = self.folder / "data", self.folder / "elsewhere"
        self.start()
        self.data.rename(elsewhere)
        told = ["taken" if self.sql(f"insert into rows values ('moved{n}', 'x')").returncode == 0 else "refused" for n in range(10)]
        # It looks at its lock file every minute, and writes a checkpoint every five.
        ended = wait(lambda: self.process.poll() is not None, 70)
        when = "by itself"
        if ended is None:
            self.sql("checkpoint")
            ended, when = wait(lambda: self.process.poll() is not None, 20), "at the next checkpoint"
        log = self.said("FATAL|PANIC|could not open file|lock file")
        elsewhere.rename(self.data)
        back = wait(lambda: self.sql("select 1").returncode == 0, 5)
        self.stop(signal.SIGQUIT)
        self.start()
        kept = self.sql("select count(*) from rows where id like 'moved%'").stdout.strip()
        self.tell("data folder moved away", f"10 inserts: {counted(told)}; server {'runs on' if ended is None else f'ends {when}'}; log: {log}; put back: "
                  f"{'serves' if back is not None else 'does not serve'}; started anew: {kept} of {told.count('taken')} acknowledged rows")
        self.stop()


class Orthanc(Server):
    port = 8042

    def __init__(self, program, folder):
        self.program = program
        super().__init__("Orthanc", subprocess.run([program, "--version"], capture_output=True, text=True).stdout.split()[1], folder)

    def start(self, data, wanted=True, **settings):
        config = self.folder / "orthanc.json"
        # Without its cache: what was read before would be answered from memory.
        own = {"StorageDirectory": str(data), "IndexDirectory": str(data), "DicomServerEnabled": False, "MaximumStorageCacheSize": 0, "Plugins": []}
        config.write_text(json.dumps({**own, **settings}))
        return self.launch([self.program, str(config)], lambda: self.ask("GET", "/system")[0], wanted)

    def ask(self, method, path, body=None, headers={}, host="127.0.0.1"):
        """Status and answer; 0 where there was none."""
        connection = http.client.HTTPConnection(host, self.port, timeout=120)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException):
            return 0, b""
        finally:
            connection.close()

    def upload(self):
        file = dicom()
        status, answer = self.ask("POST", "/instances", file)
        return status, (json.loads(answer)["ID"], hashlib.md5(file).hexdigest()) if status == 200 else answer

    def write(self, ended):
        while not ended.is_set():
            status, made = self.upload()
            if status != 200:
                break
            yield made

    def file(self, key):
        status, got = self.ask("GET", f"/instances/{key}/file")
        return status, hashlib.md5(got).hexdigest()

    def lost(self, made):
        return sum(self.file(key) != (200, digest) for key, digest in made.items())

    def listed(self):
        return len(json.loads(self.ask("GET", "/instances")[1] or b"[]"))

    def stored(self, data):
        """Files by the sum of what is in them."""
        contents = ((Path(path), Path(path).read_bytes()) for path in glob.glob(f"{data}/??/??/*"))
        return {hashlib.md5(content).hexdigest(): path for path, content in contents}

    def peak(self):
        return int(re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{self.process.pid}/status").read_text())[1]) // 1024

    def tried(self, kills):
        data = self.folder / "data"
        self.start(data)
        # An address that isn't loopback's, of this name space alone.
        subprocess.run(["ip", "addr", "add", "10.9.9.9/32", "dev", "lo"], check=True)
        self.tell("listens as it comes", f"on {self.addresses()}; from another address than loopback's {self.ask('GET', '/system', host='10.9.9.9')[0]}")
        self.silent(b"POST /instances HTTP/1.1\r\nHost: a\r\n")
        before = self.peak()
        status, _ = self.ask("POST", "/instances", bytes(400 << 20))
        self.tell("one body of 400 MiB that is no picture", f"{status}; peak of resident memory {before} MiB, then {self.peak()}")
        made = self.killed(self.write, lambda: self.start(data), kills)
        self.tell("kill -9 during uploads", f"{kills} kills, {len(made)} acknowledged, {self.lost(made)} lost or other; {self.listed()} in the index, "
                  f"{len(self.stored(data))} files")
        self.flipped(data, made)
        self.erased(data)
        self.stop()
        self.cut()
        self.locked()
        with disk(self.folder / "disk", "24m") as place:
            self.trouble("full disk", place / "data", lambda: fill(place), lambda: (place / "filler").unlink())
        data, elsewhere, anew = (self.folder / name for name in ("moved", "elsewhere", "anew"))
        self.trouble("data folder moved away", data, lambda: data.rename(elsewhere), lambda: (data.exists() and data.rename(anew), elsewhere.rename(data)))

    def flipped(self, data, made):
        seen, files = [], self.stored(data)
        for key, digest in random.sample(sorted(made.items()), PLACES):
            place = random.randrange(132, files[digest].stat().st_size)
            flip(files[digest], place)
            status, got = self.file(key)
            verified, _ = self.ask("POST", f"/instances/{key}/attachments/dicom/verify-md5", b"")
            seen.append(f"GET {status} {'with other bytes' if got != digest else 'with the right bytes'}, verify-md5 {verified}")
            flip(files[digest], place)
        self.tell("flipped byte of a stored file", counted(seen))

    def erased(self, data):
        file = dicom(b"Effusion^Left")
        key = json.loads(self.ask("POST", "/instances", file)[1])["ID"]
        status, _ = self.ask("DELETE", f"/instances/{key}")
        self.tell("what was deleted", f"DELETE {status}; its patient's name is in {found(data, b'Effusion^Left')}")

    def cut(self):
        """The log of the index of a killed server loses its second half."""
        data = self.folder / "cut"
        self.start(data)
        log, made = data / "index-wal", 0
        # Short of what SQLite begins its log anew at.
        while log.stat().st_size < 2 << 20:
            self.upload()
            made += 1
        self.kill()
        size = log.stat().st_size
        os.truncate(log, size // 2)
        up = self.start(data, wanted=False)
        self.tell("log cut off", f"{size} bytes of index-wal, then half; {'starts' if up else 'does not start'}; {self.listed()} of {made} acknowledged instances, "
                  f"{len(self.stored(data))} files; log: {self.said('^[EW].*(corrupt|recover|missing|malformed|integrity)')}")
        self.stop()

    def locked(self):
        self.start(self.folder / "locked", RemoteAccessAllowed=True, RegisteredUsers={"doctor": "right"})
        word = lambda word: {"Authorization": "Basic " + base64.b64encode(f"doctor:{word}".encode()).decode()}  # noqa: E731
        self.guessed(lambda guess: self.ask("GET", "/instances", headers=word(guess))[0] == 200)
        self.stop()
        for row, settings in (("listens for everybody, authentication off", {"AuthenticationEnabled": False}), ("listens for everybody, authentication not mentioned", {})):
            up = self.start(self.folder / "open", wanted=False, RemoteAccessAllowed=True, **settings)
            self.tell(row, f"{'starts' if up else 'refuses'}, on {self.addresses()}; without a password {self.ask('GET', '/instances')[0]}; log: "
                      f"{self.said('(?i)authentication|insecure')}")
            self.stop()

    def trouble(self, name, data, begin, end):
        self.start(data)
        made = dict(self.upload()[1] for _ in range(20))
        begin()
        statuses, said = [], b""
        for _ in range(12):
            status, answer = self.upload()
            statuses.append(str(status))
            if status == 200:
                made.update([answer])
            else:
                said = answer
        told, meanwhile, system = json.loads(said or b"{}").get("Message", "nothing"), self.lost(made), self.ask("GET", "/system")[0]
        end()
        healed = wait(lambda: self.upload()[0] == 200, 15)
        after = self.lost(made)
        self.stop()
        self.start(data)
        self.tell(name, f"uploads: {counted(statuses)} ({told}); meanwhile {meanwhile} of {len(made)} acknowledged not served, /system {system}; over: "
                  f"{'no uploads in 15 s' if healed is None else f'uploads again after {healed:.1f} s'}, {after} lost; started anew: {self.lost(made)} lost")
        self.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=["postgresql", "orthanc"])
    parser.add_argument("--postgres-bin", help="the folder of initdb and postgres; Debian's newest unless given")
    parser.add_argument("--kills", type=int, default=10)
    args = parser.parse_args()
    if not os.environ.get(INSIDE):
        sys.exit(subprocess.run(["unshare", "-m", "-n", sys.executable, *sys.argv], env={**os.environ, INSIDE: "1"}).returncode)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    installed = [args.postgres_bin or max(glob.glob("/usr/lib/postgresql/*/bin"), default=None), shutil.which("Orthanc", path="/usr/sbin:" + os.environ["PATH"])]
    for name, found, kind in zip(["postgresql", "orthanc"], installed, [Postgres, Orthanc]):
        if args.only not in (None, name):
            continue
        if not found:
            print(f"{name} | all | not installed, not tried")
            continue
        with tempfile.TemporaryDirectory(dir="/var/tmp", ignore_cleanup_errors=True) as folder:
            os.chmod(folder, 0o755)
            product = kind(found, Path(folder))
            try:
                product.tried(args.kills)
            finally:
                if product.process:
                    product.kill()


if __name__ == "__main__":
    main()
