"""Starts real Rackmark processes, watches their lines, kills them, and counts what is left.

Nothing here sleeps: a test waits for a line of output or for the end of a process (pidfd), each with
a deadline.
"""
import json
import os
import pathlib
import re
import select
import signal
import sqlite3
import subprocess
import tempfile
import time
import unittest
import uuid

BIN = pathlib.Path(os.environ["RACKMARK_BIN"])
SOURCE = pathlib.Path(os.environ["RACKMARK_SOURCE"])

SERVE = """\
apiVersion: rackmark/v1
kind: Job
metadata:
  name: e2e
spec:
  seed: 7
  gang: {devices: 2, per_node: 1, device: cpu}
  workload:
    serve: {model: nano-1m, kv_block_tokens: 16, kv_memory: 8MiB, max_batch: 8, prefill_chunk: 64}
  load:
    arrivals: poisson
    rate: %(rate)s
    %(share)s
    duration: %(duration)s
    warmup: %(warmup)s
    %(calibration)s
    prompt_tokens: {min: 4, max: 16}
    output_tokens: {min: 4, max: 16}
  limits: {attempts: %(attempts)d}
"""


# Far below what nano-1m can do anywhere: what a test expects to PASS must not depend on speed.
LOW_RATE = "20/s"


def serve_job(duration="2s", rate=LOW_RATE, share="20%", attempts=2, warmup="300ms"):
    auto = rate == "auto"
    return SERVE % {"duration": duration, "rate": rate, "attempts": attempts, "warmup": warmup,
                    "share": "auto_share: " + share if auto else "",
                    "calibration": "calibration: 700ms" if auto else ""}


class Process:
    """A started program whose output lines can be waited for."""

    def __init__(self, argv, env, cwd, name, pass_fds=()):
        self.name = name
        self.lines = []
        self._partial = b""
        self.popen = subprocess.Popen([str(a) for a in argv], env=env, cwd=cwd,
                                      stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                      stderr=subprocess.STDOUT, start_new_session=True,
                                      pass_fds=pass_fds)
        self._fd = self.popen.stdout.fileno()
        os.set_blocking(self._fd, False)

    @property
    def pid(self):
        return self.popen.pid

    def _pump(self, timeout):
        """Reads what arrives within timeout; False at the end of the output."""
        if not select.select([self._fd], [], [], max(0, timeout))[0]:
            return True
        data = os.read(self._fd, 65536)
        *whole, self._partial = (self._partial + data).split(b"\n")
        self.lines += [line.decode(errors="replace") for line in whole]
        return bool(data)

    def wait_line(self, pattern, seconds=60, after=0):
        """The first line from index `after` that matches; fails the test if it never comes."""
        deadline = time.monotonic() + seconds
        while True:
            for line in self.lines[after:]:
                if re.search(pattern, line):
                    return line
            left = deadline - time.monotonic()
            if left <= 0 or not self._pump(left):
                raise AssertionError(f"{self.name}: no line like {pattern!r} in:\n{self.text()}")

    def wait_until(self, done, what, seconds=30):
        """Until done() is true, asked again whenever this process prints and 20 times a second."""
        deadline = time.monotonic() + seconds
        while not done():
            if time.monotonic() > deadline or not self._pump(0.05):
                raise AssertionError(f"{self.name}: {what} did not come in:\n{self.text()}")

    def wait_exit(self, seconds=60):
        deadline = time.monotonic() + seconds
        while self._pump(deadline - time.monotonic()):
            if time.monotonic() > deadline:
                raise AssertionError(f"{self.name} did not end within {seconds} s:\n{self.text()}")
        code = self.popen.wait(timeout=max(1, deadline - time.monotonic()))
        self.popen.stdout.close()
        return code

    def signal(self, number):
        os.kill(self.pid, number)

    def close(self):
        self.popen.wait()
        self.popen.stdout.close()

    def text(self):
        return "\n".join(self.lines + [self._partial.decode(errors="replace")])


class TestCase(unittest.TestCase):
    """One private folder and one mark for each test; afterwards nothing may be left running."""

    def setUp(self):
        self._folder = tempfile.TemporaryDirectory(prefix="rm-e2e-")
        self.dir = pathlib.Path(self._folder.name)
        self.mark = uuid.uuid4().hex
        self.env = dict(os.environ, RACKMARK_E2E_MARK=self.mark, XDG_RUNTIME_DIR=str(self.dir))
        self._segments = self.segments()
        self._started = []
        self.addCleanup(self._folder.cleanup)
        self.addCleanup(self.kill_all)

    def start(self, program, *args, name=None, pass_fds=()):
        process = Process([BIN / program, *args], self.env, self.dir, name or program, pass_fds)
        self._started.append(process)
        return process

    def run_cli(self, *args, seconds=60):
        process = self.start("rackmark", *args)
        code = process.wait_exit(seconds)
        return code, process.text()

    def write_job(self, text, name="job.yaml"):
        path = self.dir / name
        path.write_text(text)
        return path

    def run_local(self, job_text, *args, nodes=2):
        return self.start("rackmark", "run", self.write_job(job_text), "--local", nodes, "--data",
                          self.dir / "data", "--out", self.dir / "out", *args)

    def report(self):
        return json.loads((self.dir / "out" / "report.json").read_text())

    # Who is alive of what this test started: found by the mark in the environment.
    def alive(self, program=None):
        found = []
        for entry in pathlib.Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                if self.mark.encode() not in (entry / "environ").read_bytes():
                    continue
                state = (entry / "stat").read_text().rsplit(")", 1)[1].split()[0]
                command = (entry / "cmdline").read_bytes().split(b"\0")[0].decode()
            except OSError:
                continue
            if state != "Z" and (program is None or os.path.basename(command) == program):
                found.append(int(entry.name))
        return sorted(found)

    def kill_all(self):
        for pid in self.alive():
            try:
                fd = os.pidfd_open(pid)
                os.kill(pid, signal.SIGKILL)
                select.select([fd], [], [], 10)
                os.close(fd)
            except ProcessLookupError:
                pass
        for process in self._started:
            process.close()

    def kill_one(self, program, index=0):
        pids = self.alive(program)
        self.assertTrue(pids, f"no {program} is running")
        os.kill(pids[index], signal.SIGKILL)
        return pids[index]

    def assert_nothing_left(self, seconds=10):
        deadline = time.monotonic() + seconds
        for pid in self.alive():
            try:
                fd = os.pidfd_open(pid)
            except ProcessLookupError:
                continue
            ended = select.select([fd], [], [], max(0, deadline - time.monotonic()))[0]
            os.close(fd)
            if not ended:
                raise AssertionError(f"still running: {pathlib.Path(f'/proc/{pid}/cmdline').read_bytes()}")
        self.assertEqual(self.alive(), [])
        # A name lives only until all ranks have attached, and other clusters on this machine make
        # names too: only one that stays was left behind.
        left = self.segments() - self._segments
        while left and time.monotonic() < deadline:
            select.select([], [], [], 0.05)
            left &= self.segments()
        self.assertEqual(left, set(), "shared memory was left behind")

    @staticmethod
    def segments():
        return {p.name for p in pathlib.Path("/dev/shm").iterdir() if p.name.startswith("rackmark")}

    def samples(self, sql):
        path = self.dir / "data" / "samples.db"
        if not path.exists():
            return []
        database = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)
        try:
            return database.execute(sql).fetchall()
        except sqlite3.OperationalError:
            return []  # being made just now
        finally:
            database.close()

    def chunks(self):
        """{(run, attempt, kind, stream, seq): payload}: every sample that was ever acked."""
        rows = self.samples("SELECT run, attempt, kind, stream, seq, payload FROM chunk")
        return {row[:5]: row[5] for row in rows}

    def assert_streams_whole(self):
        """No stream has a gap, and none was acked further than it is stored."""
        streams = {}
        for *key, seq in sorted(self.chunks()):
            streams.setdefault(tuple(key), []).append(seq)
        self.assertTrue(streams)
        for key, seqs in streams.items():
            self.assertEqual(seqs, list(range(1, len(seqs) + 1)), f"gap in stream {key}")
        marks = self.samples("SELECT run, attempt, kind, stream, seq FROM watermark")
        self.assertEqual({tuple(key): seq for *key, seq in marks},
                         {key: len(seqs) for key, seqs in streams.items()})
        return streams

    def lists(self, what, *where):
        """The JSON of a list command."""
        code, text = self.run_cli(what, *where, "--output", "json")
        self.assertEqual(code, 0, text)
        return json.loads(text)[what]

    def assert_nothing_booked(self, *where):
        """Every device of every node is free, on both nodes, after a bounded time."""
        deadline = time.monotonic() + 20
        while True:
            nodes = self.lists("nodes", *where)
            up = [n for n in nodes if n["phase"] == "UP" and n["silent_ns"] is not None]
            free = [d for n in up for d in n["devices"] if d["lease_id"] == 0 and d["healthy"]]
            if len(up) == 2 and len(free) == 2:
                return
            self.assertLess(time.monotonic(), deadline, f"not all is free again: {nodes}")

    def assert_usable_again(self):
        """A new cluster on the same data folder has every device free and passes the next job."""
        cluster = self.start("rackmark", "local", 2, "--cpu-slots", 1, "--data", self.dir / "data")
        endpoint = cluster.wait_line(r"^unix:")
        self.assert_nothing_booked("--coordinator", endpoint)
        again = self.start("rackmark", "run", self.write_job(serve_job(duration="1s"), "next.yaml"),
                           "--coordinator", endpoint, "--out", self.dir / "next")
        self.assertEqual(again.wait_exit(90), 0, again.text())
        self.assert_nothing_booked("--coordinator", endpoint)
        cluster.signal(signal.SIGTERM)
        self.assertEqual(cluster.wait_exit(30), 0, cluster.text())
        self.assert_nothing_left()
