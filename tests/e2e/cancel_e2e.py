"""Ctrl-C and SIGTERM: the job is cancelled, everything is cleaned up, the exit status is 130."""
import os
import signal
import unittest

from cluster import Cluster
from harness import TestCase, serve_job


class Cancel(TestCase):
    def cancelled(self, cli, number):
        cli.signal(number)
        self.assertEqual(cli.wait_exit(30), 130, cli.text())
        run = self.report()["runs"][0]
        self.assertEqual(run["verdict"], "CANCELLED")
        self.assertEqual(run["failure"]["kind"], "CANCELLED")
        self.assert_nothing_left()
        self.assert_streams_whole()
        self.assert_usable_again()

    def test_ctrl_c_while_measuring(self):
        cli = self.run_local(serve_job(duration="60s"))
        cli.wait_line(r"measuring")
        cli.wait_until(self.chunks, "an acked chunk")
        self.cancelled(cli, signal.SIGINT)

    def test_sigterm_while_measuring(self):
        cli = self.run_local(serve_job(duration="60s"))
        cli.wait_line(r"measuring")
        cli.wait_until(self.chunks, "an acked chunk")
        self.cancelled(cli, signal.SIGTERM)

    def test_ctrl_c_while_preparing(self):
        # A model whose weights take a while; nothing is measured of it.
        cli = self.run_local(serve_job().replace("nano-1m", "small-110m").replace("8MiB", "64MiB"))
        cli.wait_line(r"preparing")
        cli.signal(signal.SIGINT)
        self.assertEqual(cli.wait_exit(30), 130, cli.text())
        self.assertNotRegex(cli.text(), r"measuring")
        self.assertEqual(self.report()["runs"][0]["verdict"], "CANCELLED")
        self.assert_nothing_left()
        self.assert_usable_again()

    def test_ctrl_c_before_the_cluster_is_up(self):
        cli = self.run_local(serve_job())
        cli.wait_until(lambda: self.alive("rackmark-coordinator"), "the coordinator's process")
        cli.signal(signal.SIGINT)
        self.assertEqual(cli.wait_exit(30), 130, cli.text())
        self.assert_nothing_left()

    def test_second_ctrl_c_does_not_wait_for_a_coordinator_that_hangs(self):
        # The coordinator never hears of the cancel, so the next cluster on this data folder runs
        # the job's second attempt: short, because the devices are free only after it.
        cli = self.run_local(serve_job(duration="6s"))
        cli.wait_line(r"measuring")
        os.kill(self.alive("rackmark-coordinator")[0], signal.SIGSTOP)
        cli.signal(signal.SIGINT)
        cli.wait_line(r"cancelling the job \(once more to leave now\)")
        cli.signal(signal.SIGINT)
        # Far below the 20 s that it waits for a confirmation.
        self.assertEqual(cli.wait_exit(12), 130, cli.text())
        self.assertRegex(cli.text(), r"left before the coordinator confirmed")
        self.assert_nothing_left()
        self.assert_usable_again()


class CoordinatorHangs(unittest.TestCase):
    def test_ctrl_c_ends_a_call_that_nobody_answers(self):
        cluster = Cluster()
        self.addCleanup(cluster.doCleanups)
        cluster.open(workers=0)
        cluster.freeze(cluster.coordinator.pid)
        cli = cluster.run_job(serve_job())
        # It has dialled, so it is inside its first call.
        cluster.wait(lambda: has_socket(cli.pid), "the CLI to dial")
        cli.signal(signal.SIGINT)
        self.assertEqual(cli.wait_exit(60), 130, cli.text())
        # Said only by a call that the signal has ended, not by one whose deadline came.
        self.assertRegex(cli.text(), r"stopped before the coordinator had answered")
        os.kill(cluster.coordinator.pid, signal.SIGCONT)
        cluster.stop_all()


def has_socket(pid):
    try:
        links = [os.readlink(entry.path) for entry in os.scandir(f"/proc/{pid}/fd")]
    except OSError:
        return False
    return any(link.startswith("socket:") for link in links)


if __name__ == "__main__":
    unittest.main()
