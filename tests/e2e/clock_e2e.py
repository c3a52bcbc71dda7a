"""A wall clock that is set by hours in mid-run: only displayed times may know of it."""
import json
import os
import struct
import unittest

from cluster import Cluster, NODE_PHASES, VERDICTS

SHIM = os.environ.get("RACKMARK_CLOCK_SHIM", "")
HOUR = 3600 * 10**9
WINDOW_SECONDS = 4

JOB = f"""\
apiVersion: rackmark/v1
kind: Job
metadata: {{name: clock}}
spec:
  gang: {{devices: 2, per_node: 1, device: cpu}}
  workload:
    null: {{duration: {WINDOW_SECONDS}s}}
"""


@unittest.skipUnless(SHIM, "the shim that steps the clock was not built (no sanitizer lets it in)")
class SteppedClock(unittest.TestCase):
    def setUp(self):
        self.cluster = Cluster()
        self.addCleanup(self.cluster.doCleanups)
        self.cluster.setUp()
        self.clock = self.cluster.dir / "clock"
        self.clock.write_bytes(struct.pack("<q", 0))
        self.cluster.env.update(LD_PRELOAD=SHIM, RACKMARK_TEST_CLOCK=str(self.clock))
        self.cluster.endpoint = f"unix:{self.cluster.dir}/c.sock"
        self.cluster.start_coordinator()
        for name in ("w0", "w1"):
            self.cluster.start_worker(name)
        self.cluster.wait_joined(2)

    def step(self, hours):
        # In place: the processes have this very file mapped.
        with open(self.clock, "r+b") as file:
            file.write(struct.pack("<q", hours * HOUR))

    def stamps(self):
        """Wall-clock ns of each event, in order."""
        return [e.unix_ns for e in self.cluster.events()]

    def check(self, cli, order):
        ended = self.cluster.wait_event("JobEnded")
        story = self.cluster.story()
        self.assertEqual(VERDICTS[ended.fields[2]], "PASS", story)
        events = self.cluster.events()
        self.assertEqual(sum(e.name == "RunPreparing" for e in events), 1, story)
        phases = [NODE_PHASES[e.fields[2]] for e in events if e.name == "NodeChanged"]
        self.assertEqual(phases, [], "a step of the wall clock made a node look silent")
        self.assertEqual(cli.wait_exit(60), 0, cli.text())
        run = json.loads((self.cluster.dir / "out" / "report.json").read_text())["runs"][0]
        # Two ranks, a step each millisecond: the window was as long as it was asked for.
        self.assertEqual(run["null"]["steps"], 2 * 1000 * WINDOW_SECONDS)
        # The shim worked: people see the steps.
        self.assertTrue(order(self.stamps()), self.stamps())
        self.cluster.assert_streams_whole()
        self.cluster.assert_nothing_booked(*self.cluster.where)
        self.cluster.stop_all()

    def measuring(self):
        cli = self.cluster.run_job(JOB)
        self.cluster.wait(self.cluster.chunks, "an acked chunk")
        return cli

    def test_forward(self):
        cli = self.measuring()
        self.step(5)
        self.check(cli, lambda s: s[-1] - s[0] > 4 * HOUR)

    def test_back(self):
        cli = self.measuring()
        self.step(-5)
        self.check(cli, lambda s: s[-1] - s[0] < -4 * HOUR)

    def test_to_and_fro_while_the_coordinator_starts_again(self):
        cli = self.measuring()
        self.step(30)
        self.cluster.coordinator.signal(9)
        self.cluster.coordinator.wait_exit(30)
        self.step(-30)
        self.cluster.start_coordinator()
        self.check(cli, lambda s: s[-1] - s[0] < -29 * HOUR)


if __name__ == "__main__":
    unittest.main()
