"""Collectives between hosts: daemons of one machine that play several, by --host-id."""
import json
import os
import signal
import unittest

from cluster import Cluster, VERDICTS, wait_gone
from harness import serve_job

NULL = """\
apiVersion: rackmark/v1
kind: Job
metadata: {name: gloo-null}
spec:
  gang: {devices: 3, per_node: 1, device: cpu}
  workload:
    null: {duration: 1s}
"""


class Gloo(unittest.TestCase):
    def setUp(self):
        self.cluster = Cluster().open(workers=0)
        self.addCleanup(self.cluster.close)

    def hosts(self, *flags_of_workers):
        for index, flags in enumerate(flags_of_workers):
            self.cluster.start_worker(f"w{index}", *flags)
        self.cluster.wait_joined(len(flags_of_workers))

    def passes(self, job):
        """The first run of its report."""
        cli = self.cluster.run_job(job)
        self.assertEqual(cli.wait_exit(180), 0, cli.text() + self.cluster.story())
        run = self.cluster.report()["runs"][0]
        self.cluster.stop_all()
        self.assertEqual(run["verdict"], "PASS")
        self.text = cli.text()
        return run

    def assert_verified(self, run, travels, sentence):
        self.assertEqual({c["transport"] for c in run["collectives"]}, {travels})
        self.assertEqual(len(run["transports"]), 1, run["transports"])
        self.assertIn(sentence, run["transports"][0])
        self.assertIn("transport: ", self.text)
        self.assertIn(sentence, (self.cluster.dir / "out" / "report.html").read_text())
        verified = [c for c in run["checks"] if c["name"] == "wrong tokens"]
        self.assertTrue(verified, run["checks"])
        self.assertEqual({c["verdict"] for c in verified}, {"PASS"}, verified)

    def test_two_hosts_serve_over_gloo(self):
        self.hosts(["--host-id", "host-a"], ["--host-id", "host-b"])
        run = self.passes(serve_job(rate="5/s"))
        self.assert_verified(run, "gloo", "Gloo over lo: hosts host-a and host-b differ")

    def test_gloo_can_be_forced_inside_a_host(self):
        self.hosts(["--transport", "gloo"], ["--transport", "gloo"])
        run = self.passes(serve_job(rate="5/s"))
        self.assert_verified(run, "gloo", "forced")

    def test_hosts_of_two_ranks_share_memory_inside(self):
        self.hosts(*(["--host-id", host] for host in ("a", "a", "b", "b")))
        run = self.passes(serve_job(rate="3/s").replace("devices: 2", "devices: 4"))
        self.assert_verified(run, "gloo+shm", "between 2 hosts, shared memory inside them")

    def test_one_host_shares_memory(self):
        self.hosts([], [])
        run = self.passes(serve_job(rate="5/s"))
        self.assert_verified(run, "shm", "shared memory of one host, proven by its nonce")

    def test_a_gang_without_a_common_transport_is_skipped_and_says_why(self):
        self.hosts(["--transport", "shm", "--host-id", "a"], ["--transport", "shm", "--host-id", "b"])
        cli = self.cluster.run_job(serve_job(attempts=1))
        self.assertNotEqual(cli.wait_exit(120), 0, cli.text())
        run = self.cluster.report()["runs"][0]
        self.assertEqual(run["verdict"], "SKIPPED", run)
        self.assertIn("hosts a and b differ", json.dumps(run))
        self.assertIn("--transport", json.dumps(run))
        self.cluster.stop_all()

    def test_a_killed_rank_of_another_host_ends_the_attempt_and_is_blamed(self):
        self.hosts(["--host-id", "a"], ["--host-id", "b"], ["--host-id", "c"])
        cli = self.cluster.run_job(NULL.replace("1s", "4s"))
        self.cluster.wait(self.cluster.chunks, "an acked chunk")
        victim = self.cluster.rank_of("w1")
        os.kill(victim, signal.SIGKILL)
        wait_gone(victim)
        ended = self.cluster.wait_event("JobEnded")
        self.assertEqual(VERDICTS[ended.fields[2]], "PASS", self.cluster.story())
        blamed = [e.failure for e in self.cluster.events() if e.name == "RunRequeued"]
        self.assertEqual([(f["kind"], f["node"]) for f in blamed], [("RANK_DIED", "w1")])
        self.assertEqual(cli.wait_exit(60), 0, cli.text())
        self.cluster.stop_all()

    def test_cards_are_in_no_event(self):
        self.hosts(["--host-id", "a"], ["--host-id", "b"], ["--host-id", "c"])
        self.passes(NULL)
        log = b"".join((self.cluster.dir / "data" / name).read_bytes()
                       for name in ("events.db", "events.db-wal")
                       if (self.cluster.dir / "data" / name).exists())
        self.assertIn(b"Gloo over lo", log)
        # The name of a segment and an address of the channel: what only cards hold.
        self.assertNotIn(b"/rackmark-", log)
        self.assertNotRegex(log, rb"127\.0\.0\.1:\d+")


if __name__ == "__main__":
    unittest.main()
