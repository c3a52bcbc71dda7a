"""Backups of a coordinator at work, restored as another cluster; retention; restarts from snapshots."""
import json
import shutil
import signal
import sqlite3
import unittest

from harness import TestCase

NULL = """\
apiVersion: rackmark/v1
kind: Job
metadata:
  name: %s
spec:
  gang: {devices: 2, per_node: 1, device: cpu}
  workload:
    null: {duration: %s, samples_per_step: 4}
"""


class Cluster(TestCase):
    def coordinator(self, data, *args):
        process = self.start("rackmark-coordinator", "--data", data, *args)
        line = process.wait_line(r"serving unix:", 60)
        return process, ["--coordinator", line.rsplit("serving ", 1)[1].split()[0]]

    def worker(self, name, where):
        return self.start("rackmark-worker", *where, "--name", name, "--data", self.dir / name,
                          "--cpu-slots", 1)

    def cluster(self, data, *args):
        process, where = self.coordinator(data, *args)
        return process, where, self.workers(where)

    def workers(self, where):
        workers = [self.worker(name, where) for name in ("w0", "w1")]
        self.assert_nothing_booked(*where)
        return workers

    def stop(self, *processes):
        for process in processes:
            process.signal(signal.SIGTERM)
        for process in processes:
            process.wait_exit(60)
        self.assert_nothing_left(30)

    def run_job(self, where, name, duration="500ms"):
        job = self.write_job(NULL % (name, duration), name + ".yaml")
        cli = self.start("rackmark", "run", job, *where, "--out", self.dir / ("out-" + name))
        self.assertEqual(cli.wait_exit(120), 0, cli.text())

    def report_of(self, where, job=1):
        """Of the job, with the cluster's id cut out; and that id."""
        jobs = {j["job_id"]: j for j in self.lists("jobs", *where)}
        self.assertIn(job, jobs)
        code, text = self.run_cli("report", f"j{job}", *where, "--output", "json")
        document = json.loads(text)
        return text.replace(document["cluster_id"], "X" * 32), document["cluster_id"]

    def backup(self, to, *args):
        code, text = self.run_cli("backup", "--data", self.dir / "data", "--to", to, *args)
        self.assertEqual(code, 0, text)
        return text


class Backup(Cluster):
    def test_a_backup_of_a_cluster_at_work_is_restored_as_another_cluster(self):
        coordinator, where, workers = self.cluster(self.dir / "data")
        self.run_job(where, "older")
        before, old_id = self.report_of(where)
        job = self.write_job(NULL % ("busy", "600s"), "busy.yaml")
        busy = self.start("rackmark", "run", job, *where, "--out", self.dir / "out-busy")
        busy.wait_line(r"measuring", 60)

        told = json.loads(self.backup(self.dir / "saved", "--output", "json"))
        self.assertEqual(told["cluster_id"], old_id)
        self.assertGreater(told["last_seq"], 10)
        manifest = json.loads((self.dir / "saved" / "manifest.json").read_text())
        self.assertEqual([f["name"] for f in manifest["files"]][:2], ["events.db", "samples.db"])
        # It went on as if nothing were.
        self.assertEqual(self.report_of(where)[0], before)

        # The spools of workers that were cut off belong to the old cluster.
        coordinator.signal(signal.SIGKILL)
        coordinator.close()
        busy.signal(signal.SIGKILL)
        busy.close()
        spools = lambda: [p for name in ("w0", "w1")
                          for p in (self.dir / name / "spool").rglob("*")
                          if p.is_file() and p.stat().st_size > 0]
        workers[0].wait_until(spools, "a chunk in a spool", 60)
        for worker in workers:
            worker.signal(signal.SIGKILL)
            worker.close()

        code, text = self.run_cli("restore", self.dir / "saved", "--data", self.dir / "new")
        self.assertEqual(code, 0, text)
        self.assertIn("it is cluster", text)
        second, there = self.coordinator(self.dir / "new")
        after, new_id = self.report_of(there)
        self.assertEqual(after, before)
        self.assertNotEqual(new_id, old_id)
        # The job that was at work would begin again; its old samples are nobody's.
        code, text = self.run_cli("cancel", "j2", *there)
        self.assertEqual(code, 0, text)
        workers = self.workers(there)
        aside = lambda: [p for name in ("w0", "w1") for p in (self.dir / name).rglob("*")
                         if "aside" in str(p) and p.is_file()]
        workers[0].wait_until(aside, "a spool set aside", 90)
        self.run_job(there, "younger")
        self.stop(second, *workers)

    def test_damaged_backups_and_folders_in_use_are_refused(self):
        coordinator, where, workers = self.cluster(self.dir / "data")
        self.run_job(where, "older")
        self.backup(self.dir / "saved")
        code, text = self.run_cli("backup", "--data", self.dir / "data", "--to", self.dir / "saved")
        self.assertEqual(code, 13, text)
        code, text = self.run_cli("restore", self.dir / "saved", "--data", self.dir / "data")
        self.assertEqual(code, 16, text)
        self.assertIn("not an empty folder", text)
        self.stop(coordinator, *workers)

        for name, change in (("events.db", lambda b: b[:5000] + bytes([b[5000] ^ 1]) + b[5001:]),
                             ("samples.db", lambda b: b[:-4096]), ("samples.db", None)):
            bad = self.dir / "bad"
            shutil.copytree(self.dir / "saved", bad)
            if change is None:
                (bad / name).unlink()
            else:
                (bad / name).write_bytes(change((bad / name).read_bytes()))
            code, text = self.run_cli("restore", bad, "--data", self.dir / "new")
            self.assertEqual(code, 14, text)
            self.assertIn(name, text)
            self.assertFalse((self.dir / "new").exists())
            shutil.rmtree(bad)
        code, text = self.run_cli("restore", self.dir / "nothing", "--data", self.dir / "new")
        self.assertEqual(code, 2, text)
        code, text = self.run_cli("backup", "--data", self.dir / "nothing", "--to", self.dir / "x")
        self.assertEqual(code, 2, text)


class Retention(Cluster):
    def test_samples_go_and_the_report_stays(self):
        data = self.dir / "data"
        coordinator, where, workers = self.cluster(data)
        self.run_job(where, "older")
        before, _ = self.report_of(where)
        self.assertTrue(self.samples("SELECT 1 FROM chunk LIMIT 1"))
        self.stop(coordinator, *workers)
        coordinator, where = self.coordinator(data, "--keep-samples", "1s", "--sweep-interval",
                                              "200ms", "--snapshot-events", "5")
        coordinator.wait_line(r"let go of .* [1-9]\d* chunks", 60)
        gone = lambda: not self.samples("SELECT 1 FROM chunk LIMIT 1")
        coordinator.wait_until(gone, "the end of the samples", 60)
        self.assertEqual(self.report_of(where)[0], before)
        self.stop(coordinator)

    def test_the_log_is_cut_behind_snapshots_and_a_restart_knows_everything(self):
        data = self.dir / "data"
        small = ("--snapshot-events", "8", "--sweep-interval", "100ms")
        coordinator, where, workers = self.cluster(data, *small)
        for i in range(3):
            self.run_job(where, f"job{i}")
        before = self.lists("jobs", *where)
        report, _ = self.report_of(where)
        coordinator.wait_line(r"let go of [1-9]\d* events", 60)
        coordinator.signal(signal.SIGKILL)
        coordinator.close()
        with sqlite3.connect(f"file:{data}/events.db?mode=ro", uri=True) as database:
            first, last, count = database.execute("SELECT min(seq), max(seq), count(*) FROM event"
                                                  ).fetchone()
            snapshots = database.execute("SELECT seq FROM snapshot ORDER BY seq").fetchall()
        database.close()
        self.assertGreater(first, 1)
        self.assertEqual(count, last - first + 1)
        self.assertEqual(len(snapshots), 2)
        # The newest snapshot is damaged: the one before it and more of the log do as well.
        with sqlite3.connect(data / "events.db") as database:
            database.execute("UPDATE snapshot SET payload = x'00' WHERE seq = ?", snapshots[-1])
        database.close()
        coordinator, where = self.coordinator(data, *small)
        self.assertRegex(coordinator.text(), r"snapshot \d+ of the event log is damaged")
        self.assertEqual(self.lists("jobs", *where), before)
        self.assertEqual(self.report_of(where)[0], report)
        self.stop(coordinator, *workers)


if __name__ == "__main__":
    unittest.main()
