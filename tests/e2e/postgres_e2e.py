"""Coordinators on one PostgreSQL database: one leads, the other stands by; killed, stopped, asked to
end, and without a database."""
import signal
import unittest

from harness import TestCase
from postgres import Postgres

NULL = """\
apiVersion: rackmark/v1
kind: Job
metadata:
  name: shared
spec:
  gang: {devices: 2, per_node: 1, device: cpu}
  workload:
    null: {duration: 500ms, samples_per_step: 4}
"""
EXIT_USAGE, EXIT_BAD_DATABASE, EXIT_FENCED = 2, 14, 17


class PostgresTest(TestCase):
    def setUp(self):
        super().setUp()
        self.postgres = Postgres(self)

    def coordinator(self, name, store=None):
        return self.start("rackmark-coordinator", "--data", self.dir / name, "--store",
                          store or self.postgres.target, "--leader-ttl", "4s", name=name)

    def serving(self, process):
        line = process.wait_line(r"serving unix:", 90)
        return ["--coordinator", line.rsplit("serving ", 1)[1].split()[0]]

    def stop(self, process):
        process.signal(signal.SIGTERM)
        self.assertEqual(process.wait_exit(60), 0, process.text())

    def test_a_job_its_samples_and_its_report_outlive_the_coordinator(self):
        first = self.coordinator("a")
        where = self.serving(first)
        for name in ("w0", "w1"):
            self.start("rackmark-worker", *where, "--name", name, "--data", self.dir / name,
                       "--cpu-slots", 1)
        self.assert_nothing_booked(*where)
        code, text = self.run_cli("run", self.write_job(NULL), *where, "--out", self.dir / "out",
                                  seconds=180)
        self.assertEqual(code, 0, text)
        before = self.run_cli("report", "j1", *where, "--output", "json")
        self.assertEqual(before[0], 0, before[1])
        self.assertFalse((self.dir / "a" / "events.db").exists())
        streams = self.postgres.sql("SELECT count(*) = max(seq) FROM rackmark.chunk GROUP BY run, "
                                    "attempt, kind, stream")
        self.assertTrue(streams)
        self.assertEqual(set(streams), {"t"}, "a gap")
        first.signal(signal.SIGKILL)
        first.wait_exit()
        # It leads again when its own lease is over; its workers come back to it.
        again = self.coordinator("a")
        self.assertEqual(self.serving(again), where)
        self.assertEqual([j["verdict"] for j in self.lists("jobs", *where)], ["PASS"])
        self.assertEqual(self.run_cli("report", "j1", *where, "--output", "json"), before)
        code, text = self.run_cli("run", self.write_job(NULL), *where, "--out", self.dir / "out2",
                                  seconds=180)
        self.assertEqual(code, 0, text)
        self.assertEqual(self.postgres.sql("SELECT term FROM rackmark.leader"), ["2"])

    def test_a_stopped_leader_is_replaced_and_fences_itself_when_it_goes_on(self):
        first = self.coordinator("a")
        where = self.serving(first)
        second = self.coordinator("b")
        second.wait_line(r"standing by: term 1 is led from unix:.*/a/coordinator.sock")
        code, text = self.run_cli("submit", self.write_job(NULL), *where)
        self.assertEqual(code, 0, text)
        first.signal(signal.SIGSTOP)
        second.wait_line("leads in term 2")
        after = self.serving(second)
        self.assertEqual([j["name"] for j in self.lists("jobs", *after)], ["shared"])
        first.signal(signal.SIGCONT)
        self.assertEqual(first.wait_exit(), EXIT_FENCED, first.text())
        # In order, the next one need not wait.
        third = self.coordinator("c")
        third.wait_line(r"standing by: term 2 is led from unix:.*/b/coordinator.sock")
        self.stop(second)
        self.assertEqual([j["name"] for j in self.lists("jobs", *self.serving(third))], ["shared"])
        self.stop(third)

    def test_a_standby_stops_when_it_is_told_to(self):
        first = self.coordinator("a")
        self.serving(first)
        second = self.coordinator("b")
        second.wait_line("standing by")
        self.stop(second)
        self.stop(first)

    def test_a_leader_without_its_database_ends_and_nothing_acked_is_lost(self):
        first = self.coordinator("a")
        where = self.serving(first)
        code, text = self.run_cli("submit", self.write_job(NULL), *where)
        self.assertEqual(code, 0, text)
        self.postgres.server.signal(signal.SIGINT)  # fast shutdown: its sessions are ended
        self.postgres.server.wait_exit()
        self.assertEqual(first.wait_exit(), EXIT_FENCED, first.text())
        refused = self.coordinator("a")
        self.assertEqual(refused.wait_exit(), EXIT_BAD_DATABASE, refused.text())
        self.assertIn("PostgreSQL database postgres at", refused.text())
        self.postgres.start()
        again = self.coordinator("a")
        self.assertEqual([j["name"] for j in self.lists("jobs", *self.serving(again))], ["shared"])
        self.stop(again)

    def test_what_cannot_be_meant_is_refused(self):
        for store in ("postgresql://u:s3cret@h/db", "mysql://h/db"):
            process = self.coordinator("a", store)
            self.assertEqual(process.wait_exit(), EXIT_USAGE, process.text())
            self.assertNotIn("s3cret", process.text())
            self.assertIn("--store", process.text())


if __name__ == "__main__":
    unittest.main()
