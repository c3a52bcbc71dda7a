"""kill -9 of each process while a run measures, and of the worker while it prepares.

After each: the run fails with blame, is retried within its limits, or resumes; no acked sample is
lost, no process is orphaned, no device stays booked.
"""
import os
import signal
import unittest

from harness import TestCase, serve_job


class KillWhileMeasuring(TestCase):
    def measuring(self, **job):
        """A run in its measured window, of which some samples have been acked already."""
        cli = self.run_local(serve_job(duration="6s", **job))
        cli.wait_line(r"measuring")
        cli.wait_until(self.chunks, "an acked chunk")
        self.acked = self.chunks()
        return cli

    def assert_nothing_lost(self):
        self.assert_nothing_left()
        self.assert_streams_whole()
        after = self.chunks()
        self.assertEqual({key: after.get(key) for key in self.acked}, self.acked)
        self.assert_usable_again()

    def end_well(self, cli, attempt):
        """The job ended PASS in this attempt, its samples are whole, nothing is left."""
        self.assertEqual(cli.wait_exit(120), 0, cli.text())
        run = self.report()["runs"][0]
        self.assertEqual(run["verdict"], "PASS")
        self.assertEqual(run["attempt"], attempt)
        self.assertEqual(len(run["earlier_failures"]), attempt - 1)
        self.assert_nothing_lost()
        return run

    def test_coordinator_dies_and_the_run_resumes(self):
        cli = self.measuring()
        self.kill_one("rackmark-coordinator")
        self.end_well(cli, 1)
        self.assertRegex(cli.text(), r"coordinator was killed by signal 9; started it again")

    def test_worker_dies_and_the_run_is_retried_with_blame(self):
        cli = self.measuring()
        self.kill_one("rackmark-worker", 1)
        failure = self.end_well(cli, 2)["earlier_failures"][0]
        self.assertEqual(failure["kind"], "NODE_RESTARTED")
        self.assertRegex(failure["node"], r"^local-[01]$")

    def test_rank_dies_and_the_run_is_retried_with_blame(self):
        cli = self.measuring()
        self.kill_one("rackmark-rank", 1)
        failure = self.end_well(cli, 2)["earlier_failures"][0]
        self.assertEqual(failure["kind"], "RANK_DIED")
        self.assertIn(failure["rank"], (0, 1))
        self.assertEqual(failure["phase"], "MEASURING")
        self.assertRegex(failure["detail"], r"signal 9")

    def test_rank_dies_without_attempts_left(self):
        cli = self.measuring(attempts=1)
        self.kill_one("rackmark-rank", 0)
        self.assertEqual(cli.wait_exit(120), 4, cli.text())
        run = self.report()["runs"][0]
        self.assertEqual(run["verdict"], "ERROR")
        self.assertEqual(run["failure"]["kind"], "RANK_DIED")
        self.assertIn(run["failure"]["rank"], (0, 1))
        self.assertRegex(run["failure"]["node"], r"^local-[01]$")
        self.assert_nothing_lost()

    def test_cli_dies_and_takes_everything_with_it(self):
        cli = self.measuring()
        cli.signal(signal.SIGKILL)
        self.assertEqual(cli.wait_exit(20), -signal.SIGKILL)
        self.assert_nothing_left(seconds=20)
        self.assert_nothing_lost()


class KillWhilePreparing(TestCase):
    def test_worker_dies_and_the_run_is_retried(self):
        # A larger model: its weights take long enough to be killed in.
        job = serve_job(duration="1s").replace("nano-1m", "tiny-30m").replace("8MiB", "64MiB")
        cli = self.run_local(job.replace("20/s", "1/s"))
        # The view shows what is so when it looks: on a busy machine it may miss the phase's first half.
        cli.wait_line(r"preparing|warming up")
        self.kill_one("rackmark-worker", 0)
        self.assertEqual(cli.wait_exit(180), 0, cli.text())
        run = self.report()["runs"][0]
        self.assertEqual((run["verdict"], run["attempt"]), ("PASS", 2))
        self.assertEqual(run["earlier_failures"][0]["kind"], "NODE_RESTARTED")
        self.assertRegex(run["earlier_failures"][0]["node"], r"^local-[01]$")
        self.assert_nothing_left()
        self.assert_streams_whole()
        self.assert_usable_again()


class Stall(TestCase):
    def test_a_gang_that_gets_nowhere_ends_long_before_its_wall_clock_limit(self):
        """A stopped rank leaves the others in a collective: its daemon would speak after 30 s, the limit
        of the phase is minutes away, and the job's own word is 4 s."""
        job = serve_job(duration="60s", attempts=1).replace("attempts: 1", "attempts: 1, stall: 4s")
        cli = self.run_local(job)
        cli.wait_line(r"measuring")
        cli.wait_until(self.chunks, "an acked chunk")
        os.kill(self.alive("rackmark-rank")[0], signal.SIGSTOP)
        self.assertEqual(cli.wait_exit(120), 5, cli.text())
        failure = self.report()["runs"][0]["failure"]
        self.assertEqual(failure["kind"], "STALLED", failure)
        self.assertRegex(failure["detail"], r"nobody got on for 4 s")
        self.assert_nothing_left()
        self.assert_usable_again()


if __name__ == "__main__":
    unittest.main()
