"""A coordinator and its workers as processes of the test itself, so that each can be struck and
started again alone; and the event log as the coordinator has committed it.

One Cluster is one test's or one thread's. Times are short: silence is told within seconds.
"""
import os
import pathlib
import re
import select
import signal
import sqlite3
import time

from harness import TestCase

TIMES = {"sync-interval": "500ms", "suspect-after": "2500ms", "lost-after": "6s",
         "fence-after": "8s", "release-after": "10s"}
FENCE_SECONDS = 8

# Field numbers of event.proto, the words that the tests read.
CHANGES = {8: "NodeChanged", 9: "JobSubmitted", 11: "JobEnded", 12: "LeasePlaced", 13: "LeaseGo",
           14: "LeaseActive", 15: "LeaseReleasing", 16: "LeaseEnded", 17: "RunPreparing",
           18: "RunMeasuring", 19: "RunDraining", 20: "RunRequeued", 21: "RunJudging",
           22: "RunJudged", 7: "NodeJoined", 6: "LeadershipTaken", 5: "ClusterCreated",
           10: "JobCancelRequested"}
VERDICTS = ["UNKNOWN", "PASS", "FAIL", "INVALID", "SKIPPED", "ERROR", "TIMEOUT", "CANCELLED"]
KINDS = ["UNKNOWN", "RANK_DIED", "RANK_FAILED", "NODE_LOST", "NODE_RESTARTED", "SETUP_TIMEOUT",
         "PREPARE_TIMEOUT", "MEASURE_TIMEOUT", "DRAIN_TIMEOUT", "SAMPLES_LOST", "UNSUPPORTED",
         "CANCELLED", "VERIFY", "FENCED"]
NODE_PHASES = ["UNKNOWN", "UP", "SUSPECT", "LOST"]


def fields(data):
    """{number: last value} of one serialised message; text and messages as bytes."""
    found, at = {}, 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(data):
        key = varint()
        wire = key & 7
        if wire == 0:
            found[key >> 3] = varint()
        else:
            size = varint() if wire == 2 else {1: 8, 5: 4}[wire]
            found[key >> 3] = data[at:at + size]
            at += size
    return found


def failure_of(data):
    """What a Failure says: kind, and whom it blames ("" = nobody)."""
    if data is None:
        return None
    said = fields(data)
    return {"kind": KINDS[said.get(1, 0)], "rank": said.get(2), "node": said.get(3, b"").decode(),
            "detail": said.get(5, b"").decode(errors="replace")}


class Event:
    """One committed change: its name, and its fields by number."""

    def __init__(self, payload):
        outer = fields(payload)
        self.seq = outer[2]
        self.unix_ns = outer.get(3, 0)
        number = max(n for n in outer if n >= 5)
        self.name = CHANGES.get(number, str(number))
        self.fields = fields(outer[number])

    @property
    def failure(self):
        return failure_of(self.fields.get(2)) if self.name in (
            "LeaseReleasing", "RunRequeued", "RunJudging") else None

    def __repr__(self):
        why = f" because {self.failure}" if self.failure else ""
        return f"{self.seq} {self.name}{why}"


class Cluster(TestCase):
    """Made and ended by open() and close(): a TestCase only for what it can do."""

    def __init__(self, case=None, times=None):
        super().__init__()
        self.times = dict(TIMES, **(times or {}))
        self.coordinator = None
        self.workers = {}
        self.worker_endpoint = None  # another way to the coordinator, for workers to come
        self.credentials = {}  # role -> flags

    def open(self, workers=2):
        self.setUp()
        self.endpoint = f"unix:{self.dir}/c.sock"
        self.start_coordinator()
        for index in range(workers):
            self.start_worker(f"w{index}")
        self.wait_joined(workers)
        return self

    def open_tcp(self):
        """The coordinator alone, on loopback TCP, with a token for each role."""
        self.setUp()
        tokens = {role: role[0] * 20 for role in ("operator", "worker")}
        self.secret("tokens", "".join(f"{r} {r}-1 {t}\n" for r, t in tokens.items()))
        for role, token in tokens.items():
            self.credentials[role] = ["--token-file", self.secret(role, token + "\n")]
        self.start_coordinator("--token-file", self.dir / "tokens", listen="127.0.0.1:0")
        return self

    def secret(self, name, text):
        path = self.dir / name
        path.touch(0o600)
        path.write_text(text)
        return path

    @property
    def where(self):
        return ["--coordinator", self.endpoint, *self.credentials.get("operator", [])]

    def close(self):
        self.doCleanups()

    def start_coordinator(self, *args, listen=None):
        times = [word for name, value in self.times.items() for word in (f"--{name}", value)]
        ready, write = os.pipe()
        os.set_inheritable(write, True)
        try:
            self.coordinator = self.start(
                "rackmark-coordinator", "--data", self.dir / "data", "--listen",
                listen or self.endpoint, "--ready-fd", write, *times, *args, pass_fds=(write,))
        finally:
            os.close(write)
        try:
            line = os.read(ready, 200) if select.select([ready], [], [], 60)[0] else b""
            if not line:
                raise AssertionError("the coordinator did not start:\n" + self.coordinator.text())
            self.endpoint = line.decode().strip()
        finally:
            os.close(ready)

    def start_worker(self, name, *args):
        if name not in self.workers:
            # Nodes get their ids, and gangs their ranks, in the order of joining.
            self.wait_joined(len(self.workers))
        if "--interface" not in args:
            args = ("--interface", "lo", *args)
        self.workers[name] = self.start(
            "rackmark-worker", "--coordinator", self.worker_endpoint or self.endpoint, "--name", name,
            "--data", self.dir / name, "--cpu-slots", 1, *self.credentials.get("worker", []), *args,
            name=name)

    def wait(self, done, what, seconds=90):
        """Until done() is true; asked 20 times a second, because files and /proc tell nobody."""
        deadline = time.monotonic() + seconds
        while True:
            value = done()
            if value:
                return value
            if time.monotonic() > deadline:
                raise AssertionError(f"waited {seconds} s for {what}; {self.story()}")
            for process in self._started:
                if not process.popen.stdout.closed:
                    process._pump(0)
            select.select([], [], [], 0.05)

    def events(self):
        path = self.dir / "data" / "events.db"
        if not path.exists():
            return []
        database = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)
        try:
            rows = database.execute("SELECT payload FROM event ORDER BY seq").fetchall()
        except sqlite3.OperationalError:
            return []  # being made just now
        finally:
            database.close()
        return [Event(payload) for (payload,) in rows]

    def wait_event(self, name, count=1, seconds=90):
        return self.wait(lambda: [e for e in self.events() if e.name == name][count - 1:],
                         f"{count} times {name}", seconds)[0]

    def wait_node(self, phase, seconds=60):
        def there():
            return any(e.name == "NodeChanged" and NODE_PHASES[e.fields[2]] == phase
                       for e in self.events())
        self.wait(there, f"a node to be {phase}", seconds)

    def story(self):
        text = "events:\n" + "\n".join(map(str, self.events()))
        for process in self._started:
            text += f"\n{process.name}:\n{process.text()[-2000:]}"
        return text

    def runs(self):
        return self.lists("runs", *self.where)

    def run_job(self, text):
        """The CLI that submits it and follows it."""
        return self.start("rackmark", "run", self.write_job(text), *self.where, "--out",
                          self.dir / "out")

    def wait_joined(self, count):
        self.wait(lambda: sum(e.name == "NodeJoined" for e in self.events()) >= count,
                  "the workers to join")

    # The rank that this worker has started, once it is a rank's program.
    def rank_of(self, worker):
        for pid in self.alive("rackmark-rank"):
            try:
                stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
            except OSError:
                continue
            if int(stat.rsplit(")", 1)[1].split()[1]) == self.workers[worker].pid:
                return pid
        return None

    def freeze(self, pid):
        """Returns when the process does not run any more."""
        os.kill(pid, signal.SIGSTOP)
        self.wait(lambda: state_of(pid) in ("T", None), f"{pid} to stop")

    def segments_of_ranks(self):
        """Names in /dev/shm that ranks of this cluster have mapped."""
        names = set()
        for pid in self.alive("rackmark-rank"):
            try:
                maps = pathlib.Path(f"/proc/{pid}/maps").read_text()
            except OSError:
                continue
            names |= set(re.findall(r"/dev/shm/(rackmark\S*)$", maps, re.M))
        return names

    def stop_all(self):
        """In order, as an operator would; every process says that it ended well."""
        for worker in self.workers.values():
            worker.signal(signal.SIGTERM)
        for worker in self.workers.values():
            self.assertEqual(worker.wait_exit(30), 0, worker.text())
        self.coordinator.signal(signal.SIGTERM)
        self.assertEqual(self.coordinator.wait_exit(30), 0, self.coordinator.text())
        self.assertEqual(self.alive(), [], "processes were left behind")


def state_of(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return None


def wait_gone(pid, seconds=60):
    """Until the process has ended; a zombie has."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    ended = select.select([fd], [], [], seconds)[0]
    os.close(fd)
    if not ended:
        raise AssertionError(f"process {pid} did not end within {seconds} s")


def outlives(pid, seconds):
    """Watches for so long that the process does not end."""
    fd = os.pidfd_open(pid)
    ended = select.select([fd], [], [], seconds)[0]
    os.close(fd)
    if ended:
        raise AssertionError(f"process {pid} ended within {seconds} s")
