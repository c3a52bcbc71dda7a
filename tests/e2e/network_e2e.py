"""The line between a worker and its coordinator: cut, half closed, slow, and silent, by a proxy."""
import json
import unittest

from cluster import Cluster, VERDICTS
from proxy import Proxy

JOB = """\
apiVersion: rackmark/v1
kind: Job
metadata: {name: network}
spec:
  gang: {devices: 2, per_node: 1, device: cpu}
  workload:
    null: {duration: %s}
"""


class Network(unittest.TestCase):
    def setUp(self):
        self.cluster = Cluster().open_tcp()
        self.addCleanup(self.cluster.close)
        self.cluster.start_worker("w0")

    def link_w1(self):
        """w1 reaches the coordinator through the proxy only."""
        proxy = Proxy(self.cluster.endpoint)
        self.addCleanup(proxy.close)
        self.cluster.worker_endpoint = proxy.endpoint
        self.cluster.start_worker("w1")
        self.cluster.wait_joined(2)
        return proxy

    def streams_of_w1(self):
        return [key for key in self.cluster.chunks() if key[3] == 1]

    def measure(self, duration="4s"):
        cli = self.cluster.run_job(JOB % duration)
        self.cluster.wait(self.streams_of_w1, "an acked chunk of w1")
        return cli

    def end(self, cli, attempts, failure=None):
        """The job passed in so many attempts; nothing is lost, doubled, or left."""
        cluster = self.cluster
        ended = cluster.wait_event("JobEnded")
        story = cluster.story()
        self.assertEqual(VERDICTS[ended.fields[2]], "PASS", story)
        events = cluster.events()
        self.assertEqual(sum(e.name == "RunPreparing" for e in events), attempts, story)
        causes = {(e.failure["kind"], e.failure["node"], e.failure["rank"])
                  for e in events if e.failure}
        self.assertEqual(causes, {failure} if failure else set(), story)
        self.assertEqual(cli.wait_exit(60), 0, cli.text())
        # A chunk that came twice is one row; a gap or a watermark ahead of its rows would show here.
        cluster.assert_streams_whole()
        cluster.assert_nothing_booked(*cluster.where)
        cluster.stop_all()

    def test_cut_and_healed_within_the_limit(self):
        proxy = self.link_w1()
        cli = self.measure()
        proxy.cut()
        # It is the broken stream that is seen, long before any silence.
        self.cluster.wait_node("SUSPECT")
        # The worker tries again, and is refused again, before the line is back.
        self.cluster.wait(lambda: proxy.refused >= 2, "the worker to dial")
        proxy.heal()
        self.end(cli, attempts=1)

    def test_connections_that_break_again_and_again(self):
        proxy = self.link_w1()
        cli = self.measure()
        for _ in range(5):
            dialled = proxy.accepted
            proxy.sever()
            self.cluster.wait(lambda: proxy.accepted > dialled, "the worker to dial again")
        self.end(cli, attempts=1)

    def half_closed(self, way):
        proxy = self.link_w1()
        cli = self.measure()
        dialled = proxy.accepted
        proxy.half_close(way)
        self.cluster.wait(lambda: proxy.accepted > dialled, "the worker to dial again")
        self.end(cli, attempts=1)

    def test_half_closed_towards_the_coordinator(self):
        self.half_closed("up")

    def test_half_closed_towards_the_worker(self):
        self.half_closed("down")

    def test_a_slow_line_is_only_slow(self):
        proxy = Proxy(self.cluster.endpoint)
        self.addCleanup(proxy.close)
        proxy.delay(0.3)
        self.cluster.worker_endpoint = proxy.endpoint
        self.cluster.start_worker("w1")
        self.cluster.wait_joined(2)
        cli = self.measure("1s")
        self.cluster.wait_event("JobEnded")
        # The clocks are known no better than the line allows: half of the way there and back.
        clocks = {n["info"]["name"]: n["clock"] for n in self.cluster.lists("nodes", *self.cluster.where)}
        self.assertGreaterEqual(int(clocks["w1"]["uncertainty_ns"]), 300_000_000, clocks)
        self.assertLess(int(clocks["w0"]["uncertainty_ns"]), 300_000_000, clocks)
        self.end(cli, attempts=1)

    def test_silent_past_the_limit(self):
        proxy = self.link_w1()
        cli = self.measure("2s")
        proxy.stall()
        self.cluster.wait_node("LOST")
        proxy.heal()
        self.end(cli, attempts=2, failure=("NODE_LOST", "w1", None))

    def test_a_worker_that_hears_nothing_fences_itself(self):
        # Its Reports come, so that it is never silent; but no answer reaches it.
        proxy = self.link_w1()
        cli = self.measure("40s")
        proxy.stall("down")
        self.cluster.wait_event("RunRequeued")
        proxy.heal()
        cli.signal(2)
        self.assertEqual(cli.wait_exit(60), 130, cli.text())
        failures = [e.failure for e in self.cluster.events() if e.name == "RunRequeued"]
        self.assertEqual([(f["kind"], f["node"], f["rank"]) for f in failures],
                         [("FENCED", "w1", None)])
        self.cluster.assert_streams_whole()
        self.cluster.assert_nothing_booked(*self.cluster.where)
        self.cluster.stop_all()

    def test_report_says_so(self):
        """What people read of a lost node is what the log says."""
        proxy = self.link_w1()
        cli = self.measure("2s")
        proxy.stall()
        self.cluster.wait_node("LOST")
        proxy.heal()
        self.assertEqual(cli.wait_exit(120), 0, cli.text())
        run = json.loads((self.cluster.dir / "out" / "report.json").read_text())["runs"][0]
        self.assertEqual(run["attempt"], 2)
        self.assertEqual([f["node"] for f in run["earlier_failures"]], ["w1"])
        self.assertRegex(run["earlier_failures"][0]["detail"], r"no report for 6 s")


if __name__ == "__main__":
    unittest.main()
