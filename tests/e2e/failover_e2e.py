"""Two coordinators on one PostgreSQL database and their workers: whatever becomes of the one that leads,
the other one goes on, and nothing is run twice or lost.

Prints, for each kind of fault, after how long another one led and after how long all workers were back.
RACKMARK_ROUNDS=5 repeats each fault, and prints the medians.
"""
import os
import signal
import statistics
import subprocess
import time
import unittest

from cluster import Event
from harness import TestCase
from postgres import Postgres, programs
from proxy import Proxy

# It lasts longer than any failover here, so that the fault is always in its midst.
LONG = """\
apiVersion: rackmark/v1
kind: Job
metadata:
  name: long
spec:
  gang: {devices: 2, per_node: 1, device: cpu}
  workload:
    null: {duration: 20s, samples_per_step: 2}
  limits: {attempts: 3}
"""
SHORT = LONG.replace("long", "short").replace("20s", "300ms")
EXIT_FENCED = 17
WORKERS = 3  # one more than the job needs: it comes back, too
ROUNDS = int(os.environ.get("RACKMARK_ROUNDS", "1"))
STRIKES = 10  # at what is only there for moments


class Duo(TestCase):
    """Coordinators a and b, of which a leads, and their workers. A TestCase only for what it can do."""

    def __init__(self, case=None, ttl="5s"):
        super().__init__()
        self.ttl = ttl

    def open(self):
        self.setUp()
        self.postgres = Postgres(self)
        # The leader's way to the database, so that it can be cut; the standby has its own.
        (self.dir / "pg").mkdir()
        socket = ".s.PGSQL.5432"
        self.line = Proxy(f"unix:{self.postgres.folder}/{socket}", f"unix:{self.dir}/pg/{socket}")
        self.addCleanup(self.line.close)
        self.a = self.coordinator("a", f"postgresql:///postgres?host={self.dir}/pg&user=rackmark")
        self.a.wait_line("serving unix:", 90)
        self.b = self.coordinator("b", self.postgres.target)
        self.b.wait_line("standing by at unix:", 90)
        self.where = ["--coordinator", f"{self.address('a')},{self.address('b')}"]
        self.workers = [self.start("rackmark-worker", *self.where, "--name", f"w{i}", "--data",
                                   self.dir / f"w{i}", "--cpu-slots", 1, "--interface", "lo",
                                   name=f"w{i}") for i in range(WORKERS)]
        for worker in self.workers:
            worker.wait_line("follows the coordinator at .*/a.sock, epoch 1", 90)
        return self

    def close(self):
        self.doCleanups()

    def address(self, name):
        return f"unix:{self.dir}/{name}.sock"

    def coordinator(self, name, store):
        return self.start("rackmark-coordinator", "--data", self.dir / name, "--store", store,
                          "--listen", self.address(name), "--leader-ttl", self.ttl, name=name)

    def events(self):
        rows = self.postgres.sql("SELECT encode(payload, 'hex') FROM rackmark.event ORDER BY seq")
        return [Event(bytes.fromhex(row)) for row in rows]

    def count(self, name):
        return sum(event.name == name for event in self.events())

    def run_job(self, text, name):
        return self.start("rackmark", "run", self.write_job(text, f"{name}.yaml"), *self.where, "--out",
                          self.dir / name, name=name)

    def wait_measuring(self, process):
        process.wait_until(lambda: self.count("RunMeasuring") == 1, "a run that is measured", 90)

    def back(self, struck):
        """Seconds from the strike until b led, and until the last worker was back at it."""
        self.b.wait_line("leads in term 2", 120)
        led = time.monotonic() - struck
        for worker in self.workers:
            worker.wait_line("follows the coordinator at .*/b.sock, epoch 2", 120)
        return led, time.monotonic() - struck

    def check_all_is_there(self, job):
        """The job has passed, measured once; every chunk is there; each node has come back."""
        self.assertEqual(job.wait_exit(180), 0, job.text())
        events = self.events()
        names = [event.name for event in events]
        measured = [event.fields for event in events if event.name == "RunPreparing"]
        self.assertEqual([(run[1], run[3]) for run in measured], [(1, 1)], names)
        for once in ("RunMeasuring", "RunJudged", "JobEnded", "LeasePlaced"):
            self.assertEqual(names.count(once), 1, names)
        self.assertEqual(names.count("LeadershipTaken"), 2, names)
        self.assertNotIn("RunRequeued", names)
        self.assertEqual([event.seq for event in events], list(range(1, len(events) + 1)))
        self.assert_streams_have_no_gap()
        nodes = self.lists("nodes", *self.where)
        self.assertEqual([(n["phase"], n["silent_ns"] is not None) for n in nodes],
                         [("UP", True)] * WORKERS, nodes)

    def assert_streams_have_no_gap(self):
        rows = self.postgres.sql(
            "SELECT s.stream, count(*), max(c.seq), max(s.seq) FROM rackmark.watermark s JOIN "
            "rackmark.chunk c USING (run, attempt, kind, stream) GROUP BY s.run, s.attempt, s.kind, "
            "s.stream")
        self.assertGreaterEqual(len(rows), 3)  # two ranks, and nodes
        for row in rows:
            _, chunks, last, mark = row.split("|")
            self.assertEqual((chunks, last), (mark, mark), rows)

    def next_job_passes(self):
        code, text = self.run_cli("run", self.write_job(SHORT, "next.yaml"), *self.where, "--out",
                                  self.dir / "next", seconds=180)
        self.assertEqual(code, 0, text)

    def assert_fenced(self, process):
        self.assertEqual(process.wait_exit(120), EXIT_FENCED, process.text())
        self.assertIn("fenced itself", process.text())


class Psql:
    """A session of somebody else, with a transaction that it keeps open."""

    def __init__(self, duo, sql):
        postgres = duo.postgres
        self.popen = subprocess.Popen(
            [programs() / "psql", "-h", str(postgres.folder), "-U", "rackmark", "-d", "postgres", "-Atq"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=duo.env)
        self.popen.stdin.write(f"BEGIN;\n{sql};\nSELECT 'held';\n")
        self.popen.stdin.flush()
        if self.popen.stdout.readline().strip() != "held":
            raise AssertionError("psql holds no lock")

    def end(self):
        self.popen.stdin.write("ROLLBACK;\n")
        self.popen.stdin.close()
        self.popen.wait()
        self.popen.stdout.close()


class FailoverTest(unittest.TestCase):
    def each_round(self, what, ttl="5s"):
        """Yields a fresh pair whose run is measured; prints what note() was told."""
        self.figures = []
        for _ in range(ROUNDS):
            duo = Duo(ttl=ttl).open()
            try:
                duo.job = duo.run_job(LONG, "out")
                duo.wait_measuring(duo.job)
                yield duo
            finally:
                duo.close()
        led, back = (statistics.median(column) for column in zip(*self.figures))
        print(f"\n{what}: another leads after {led:.1f} s, all {WORKERS} workers are back after "
              f"{back:.1f} s (of {ROUNDS}; --leader-ttl {ttl})", flush=True)

    def test_the_leader_is_killed(self):
        for duo in self.each_round("killed"):
            struck = time.monotonic()
            duo.a.signal(signal.SIGKILL)
            self.figures.append(duo.back(struck))
            duo.check_all_is_there(duo.job)
            # It comes back as the standby, and says so.
            again = duo.coordinator("a", duo.postgres.target)
            again.wait_line("standing by: term 2 is led from unix:.*/b.sock", 90)
            code, text = duo.run_cli("nodes", "--coordinator", duo.address("a"))
            self.assertEqual(code, 12, text)
            self.assertIn(f"the one that leads is {duo.address('b')}", text)
            duo.next_job_passes()

    def test_the_leader_is_stopped_and_goes_on(self):
        for duo in self.each_round("stopped"):
            struck = time.monotonic()
            duo.a.signal(signal.SIGSTOP)
            self.figures.append(duo.back(struck))
            duo.check_all_is_there(duo.job)
            events = len(duo.events())
            duo.a.signal(signal.SIGCONT)
            duo.assert_fenced(duo.a)
            duo.next_job_passes()
            self.assertEqual(duo.count("LeadershipTaken"), 2)
            self.assertGreater(len(duo.events()), events)

    def test_the_leader_is_stopped_in_an_open_transaction(self):
        """Its samples wait for a table's lock that somebody holds: its transaction has begun, and holds
        the leader's row. A short lease, because the server ends a wait for a lock after 3 s."""
        waiting = ("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'rackmark term 1' AND "
                   "wait_event_type = 'Lock' AND xact_start IS NOT NULL")
        for duo in self.each_round("stopped inside a transaction", "2s"):
            somebody = Psql(duo, "LOCK TABLE rackmark.chunk IN SHARE MODE")
            for _ in range(STRIKES):
                duo.job.wait_until(lambda: duo.postgres.sql(waiting) != ["0"], "a transaction that waits")
                struck = time.monotonic()
                duo.a.signal(signal.SIGSTOP)
                held = int(duo.postgres.sql(waiting)[0])
                if held > 0:
                    break
                duo.a.signal(signal.SIGCONT)  # it was over just then: strike again
            self.assertGreater(held, 0, f"none was open when it was stopped, {STRIKES} times")
            duo.b.wait_line("leads in term 2", 120)
            somebody.end()
            self.figures.append(duo.back(struck))
            duo.check_all_is_there(duo.job)
            duo.a.signal(signal.SIGCONT)
            duo.assert_fenced(duo.a)
            duo.next_job_passes()
            print(f"\ntransactions open when it was stopped: {held}", flush=True)

    def test_the_leader_loses_its_database_and_nobody_tells_it(self):
        for duo in self.each_round("cut off from its database, in silence"):
            struck = time.monotonic()
            duo.line.stall()
            self.figures.append(duo.back(struck))
            duo.assert_fenced(duo.a)
            duo.check_all_is_there(duo.job)
            duo.line.heal()
            duo.next_job_passes()

    def test_the_leaders_connections_to_its_database_are_reset(self):
        for duo in self.each_round("cut off from its database, connections reset"):
            struck = time.monotonic()
            duo.line.cut()
            self.figures.append(duo.back(struck))
            duo.assert_fenced(duo.a)
            duo.check_all_is_there(duo.job)

    def test_the_leader_is_asked_to_end(self):
        for duo in self.each_round("ended in order"):
            struck = time.monotonic()
            duo.a.signal(signal.SIGTERM)
            self.figures.append(duo.back(struck))
            self.assertEqual(duo.a.wait_exit(60), 0, duo.a.text())
            duo.check_all_is_there(duo.job)


if __name__ == "__main__":
    unittest.main()
