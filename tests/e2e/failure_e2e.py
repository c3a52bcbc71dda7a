"""kill -9 of each process while a run measures, and of the worker while it prepares; Ctrl-C.

After each: the run fails with blame, is retried within its limits, or resumes; no acked sample is
lost, no process is orphaned, no device stays booked.
"""
import signal
import unittest

from harness import TestCase, serve_job


class KillWhileMeasuring(TestCase):
    def measuring(self, **job):
        cli = self.run_local(serve_job(duration="6s", **job))
        cli.wait_line(r"measuring")
        return cli

    def end_well(self, cli, attempts):
        """The job ended PASS in one of these attempts, its samples are whole, nothing is left."""
        code = cli.wait_exit(120)
        self.assertEqual(code, 0, cli.text())
        run = self.report()["runs"][0]
        self.assertIn(run["attempt"], attempts)
        self.assert_nothing_left()
        self.assert_streams_whole()
        return run

    def test_coordinator_dies_and_the_run_resumes(self):
        cli = self.measuring()
        self.kill_one("rackmark-coordinator")
        run = self.end_well(cli, {1})
        self.assertEqual(run.get("earlier_failures", []), [])

    def test_worker_dies_and_the_run_is_retried_with_blame(self):
        cli = self.measuring()
        self.kill_one("rackmark-worker", 1)
        run = self.end_well(cli, {2})
        self.assertRegex(run["earlier_failures"][0]["node"], r"^local-[01]$")

    def test_rank_dies_and_the_run_is_retried_with_blame(self):
        cli = self.measuring()
        self.kill_one("rackmark-rank", 1)
        run = self.end_well(cli, {2})
        failure = run["earlier_failures"][0]
        self.assertEqual(failure["kind"], "RANK_DIED")
        self.assertIn("rank", failure)

    def test_rank_dies_without_attempts_left(self):
        cli = self.measuring(attempts=1)
        self.kill_one("rackmark-rank", 0)
        self.assertEqual(cli.wait_exit(120), 4, cli.text())
        run = self.report()["runs"][0]
        self.assertEqual(run["verdict"], "ERROR")
        self.assertEqual(run["failure"]["kind"], "RANK_DIED")
        self.assert_nothing_left()
        # No device stays booked: the same data folder takes the next job.
        again = self.run_local(serve_job(duration="1s"))
        self.assertEqual(again.wait_exit(90), 0, again.text())

    def test_cli_dies_and_takes_everything_with_it(self):
        cli = self.measuring()
        cli.signal(signal.SIGKILL)
        cli.popen.wait()
        self.assert_nothing_left(seconds=20)
        again = self.run_local(serve_job(duration="1s"))
        self.assertEqual(again.wait_exit(120), 0, again.text())

    def test_ctrl_c_cancels_and_cleans_up(self):
        cli = self.measuring()
        cli.signal(signal.SIGINT)
        self.assertEqual(cli.wait_exit(30), 130, cli.text())
        self.assertEqual(self.report()["runs"][0]["verdict"], "CANCELLED")
        self.assert_nothing_left()


class KillWhilePreparing(TestCase):
    def test_worker_dies_and_the_run_is_retried(self):
        # A larger model: its weights take long enough to be killed in.
        job = serve_job(duration="1s").replace("nano-1m", "tiny-30m").replace("8MiB", "64MiB")
        cli = self.run_local(job)
        cli.wait_line(r"preparing")
        self.kill_one("rackmark-worker", 0)
        self.assertEqual(cli.wait_exit(180), 0, cli.text())
        self.assert_nothing_left()
        self.assert_streams_whole()


if __name__ == "__main__":
    unittest.main()
