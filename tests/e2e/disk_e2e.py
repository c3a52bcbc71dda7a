"""A full disk: under the coordinator's databases, and under a worker's spool."""
import contextlib
import subprocess
import unittest

from cluster import Cluster, VERDICTS
from proxy import Proxy

# Nobody is to be lost while a disk is full: the waits are the test's own.
PATIENT = {"suspect-after": "40s", "lost-after": "50s", "fence-after": "60s", "release-after": "70s"}
FENCED = 17

JOB = """\
apiVersion: rackmark/v1
kind: Job
metadata: {name: disk}
spec:
  gang: {devices: 2, per_node: 1, device: cpu}
  workload:
    null: {duration: %s, samples_per_step: 50}
  limits: {drain: %s}
"""


class Disk:
    """A small file system of the test's own, in memory."""

    def __init__(self, folder, size):
        self.folder = folder
        folder.mkdir(mode=0o700)
        made = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "rackmark-e2e",
                               folder], capture_output=True, text=True)
        if made.returncode != 0:
            raise unittest.SkipTest("no file system can be mounted here: " + made.stderr.strip())

    def fill(self):
        """Not one block is left."""
        with open(self.folder / "filler", "ab", buffering=0) as filler:
            for block in (65536, 4096):
                with contextlib.suppress(OSError):
                    while True:
                        filler.write(bytes(block))

    def free(self):
        (self.folder / "filler").unlink()

    def close(self):
        subprocess.run(["umount", "--lazy", self.folder], check=True)


class FullDisk(unittest.TestCase):
    def make(self, where, size):
        """A cluster with one folder, "data" or a worker's name, on a disk of its own."""
        cluster = Cluster(times=PATIENT)
        cluster.setUp()
        self.addCleanup(cluster.doCleanups)
        disk = Disk(cluster.dir / where, size)
        # Before the folder is removed, after the processes are gone.
        cluster._cleanups.insert(1, (disk.close, (), {}))
        cluster.endpoint = f"unix:{cluster.dir}/c.sock"
        cluster.start_coordinator()
        return cluster, disk

    def passed(self, cluster, attempts=1):
        ended = cluster.wait_event("JobEnded")
        self.assertEqual(VERDICTS[ended.fields[2]], "PASS", cluster.story())
        started = sum(e.name == "RunPreparing" for e in cluster.events())
        self.assertEqual(started, attempts, cluster.story())

    def test_under_the_samples_of_a_run(self):
        cluster, disk = self.make("data", "16m")
        for name in ("w0", "w1"):
            cluster.start_worker(name)
        cluster.wait_joined(2)
        cli = cluster.run_job(JOB % ("5s", "60s"))
        cluster.wait(cluster.chunks, "an acked chunk")
        disk.fill()
        self.assertEqual(cluster.coordinator.wait_exit(120), FENCED, cluster.story())
        self.assertRegex(cluster.coordinator.text(), r"fenced itself: .*full")
        acked = cluster.chunks()
        disk.free()
        cluster.start_coordinator()
        self.passed(cluster)
        self.assertEqual(cli.wait_exit(60), 0, cli.text())
        after = cluster.chunks()
        self.assertEqual({key: after.get(key) for key in acked}, acked)
        cluster.assert_streams_whole()
        cluster.assert_nothing_booked(*cluster.where)
        cluster.stop_all()

    def test_under_the_event_log(self):
        cluster, disk = self.make("data", "16m")
        for name in ("w0", "w1"):
            cluster.start_worker(name)
        cluster.wait_joined(2)
        disk.fill()
        # Some commits fit into what the databases hold already; then one does not, and who asked
        # for it is not told that it was done.
        told = []
        while cluster.coordinator.popen.poll() is None:
            code, text = cluster.run_cli("submit", cluster.write_job(JOB % ("200ms", "60s")),
                                         *cluster.where)
            if code == 0:
                told.append(text)
            self.assertLess(len(told), 500)
        self.assertEqual(cluster.coordinator.wait_exit(60), FENCED, cluster.story())
        disk.free()
        cluster.start_coordinator()
        known = len(cluster.lists("jobs", *cluster.where))
        # The one that was not told may be there or not.
        self.assertIn(known - len(told), (0, 1))
        if known:
            cluster.wait_event("JobEnded", count=known, seconds=300)
        cluster.assert_nothing_booked(*cluster.where)
        cluster.stop_all()

    def ended_invalid(self, cluster, cli, disk_word):
        self.assertEqual(cli.wait_exit(120), 3, cli.text() + cluster.story())
        failures = [e.failure for e in cluster.events() if e.name == "RunJudging"]
        self.assertEqual([(f["kind"], f["node"]) for f in failures], [("SAMPLES_LOST", "w1")])
        told = " ".join(cli.text().split())  # its lines are broken where they fill
        self.assertRegex(told, r"results overflowed a bound on w1, or found no room on its disk")
        self.assertRegex(cluster.workers["w1"].text(), disk_word)
        # The same process still works.
        cluster.assert_nothing_booked(*cluster.where)
        again = cluster.start("rackmark", "run", cluster.write_job(JOB % ("500ms", "60s"), "next.yaml"),
                              *cluster.where, "--out", cluster.dir / "next")
        self.assertEqual(again.wait_exit(120), 0, again.text())
        cluster.stop_all()

    def test_under_the_spool(self):
        cluster, disk = self.make("w1", "4m")
        cluster.start_worker("w0")
        # No ack reaches w1: what it has sealed stays, so that nothing frees a block.
        proxy = Proxy(cluster.endpoint, f"unix:{cluster.dir}/p.sock")
        self.addCleanup(proxy.close)
        cluster.worker_endpoint = proxy.endpoint
        cluster.start_worker("w1")
        cluster.wait_joined(2)
        cli = cluster.run_job(JOB % ("6s", "60s"))
        cluster.wait(lambda: [k for k in cluster.chunks() if k[3] == 1], "an acked chunk of w1")
        proxy.cut()
        disk.fill()
        cluster.workers["w1"].wait_line(r"results of run 1 dropped: .*No space left", 60)
        disk.free()
        proxy.heal()
        self.ended_invalid(cluster, cli, r"No space left")
        # What may be lost is given up as well, and counted.
        self.assertRegex(cli.text(), r"warning: [0-9]+ telemetry points were dropped")

    def test_under_the_spool_to_the_end(self):
        # Not even the last words of a stream find room: the run ends at its drain limit, and what
        # was lost is told as the reason, not the time.
        cluster, disk = self.make("w1", "2m")
        for name in ("w0", "w1"):
            cluster.start_worker(name)
        cluster.wait_joined(2)
        cli = cluster.start("rackmark", "run", cluster.write_job(JOB % ("3s", "2s")), *cluster.where,
                            "--out", cluster.dir / "out")
        cluster.wait_event("RunPreparing")
        disk.fill()
        cluster.wait_event("RunJudging")
        disk.free()
        self.ended_invalid(cluster, cli, r"No space left")


if __name__ == "__main__":
    unittest.main()
