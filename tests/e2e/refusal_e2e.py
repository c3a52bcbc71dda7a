"""Bad input and bad surroundings: one clear sentence with place and remedy, a distinct exit status,
nothing lost, nothing started."""
import json
import re
import signal
import unittest

from harness import TestCase, serve_job


IDLE = """\
apiVersion: rackmark/v1
kind: Job
metadata: {name: idle}
spec:
  gang: {devices: 1, device: cpu}
  workload: {"null": {duration: 500ms}}
"""


class BadJobs(TestCase):
    def refused(self, text, pattern, code=10, nodes=2):
        cli = self.run_local(text, nodes=nodes)
        self.assertEqual(cli.wait_exit(30), code, cli.text())
        self.assertRegex(cli.text(), pattern)
        # One sentence: no second line, no stack, and what to do about it.
        self.assertEqual(len(cli.text().strip().splitlines()), 1, cli.text())
        self.assertFalse((self.dir / "data" / "events.db").exists(), "something was started")
        self.assert_nothing_left()

    def test_unknown_key_names_the_nearest(self):
        self.refused(serve_job().replace("duration:", "duraton:"),
                     r"job\.yaml:\d+:\d+: .*duraton.*did you mean.*duration")

    def test_duplicate_key(self):
        self.refused(serve_job().replace("  seed: 7\n", "  seed: 7\n  seed: 8\n"),
                     r"job\.yaml:\d+:\d+: .*seed.*(twice|duplicate)")

    def test_wrong_type(self):
        self.refused(serve_job().replace("seed: 7", "seed: many"), r"job\.yaml:6:\d+: spec\.seed: .*many.*; write ")

    def test_missing_unit(self):
        self.refused(serve_job(duration="4"), r"job\.yaml:\d+:\d+: spec\.load\.duration: .*unit")

    def test_unit_of_another_kind(self):
        self.refused(serve_job(duration="4MiB"), r"job\.yaml:\d+:\d+: spec\.load\.duration: .*MiB")

    def test_unknown_model(self):
        self.refused(serve_job().replace("nano-1m", "nano-2m"),
                     r"job\.yaml:\d+:\d+: spec\.workload\.serve\.model: .*nano-2m.*nano-1m")

    def test_not_yaml(self):
        self.refused("spec: [1, 2\n", r"job\.yaml:\d+:\d+: ")

    def test_impossible_gang(self):
        job = serve_job().replace("devices: 2, per_node: 1", "devices: 4, per_node: 2")
        cli = self.run_local(job, "--cpu-slots", 1)
        self.assertEqual(cli.wait_exit(30), 11, cli.text())
        self.assertRegex(cli.text(), r"job\.yaml:7:\d+: spec\.gang: .*needs 2 .*offers 1; use ")
        self.assertFalse((self.dir / "data").exists(), "something was started")
        self.assert_nothing_left()

    def test_gang_that_no_local_cluster_can_have_does_not_wait(self):
        fits = IDLE.replace("{devices: 1, device: cpu}", "{devices: 2, device: cpu, within: node}")
        cli = self.run_local(fits)
        self.assertEqual(cli.wait_exit(60), 0, cli.text())
        for wish, says in (("within: rack", "within one rack"), ("nodes: [n8, n9]", "that it names"),
                           ("labels: {pool: a}", "with its labels"),
                           ("models: [h100]", "of its models"),
                           ("quarantined: true", "nodes in quarantine have 0; ")):
            with self.subTest(wish):
                job = IDLE.replace("{devices: 1, device: cpu}",
                                   "{devices: 2, per_node: 1, device: cpu, " + wish + "}")
                cli = self.run_local(job)
                self.assertEqual(cli.wait_exit(60), 11, cli.text())
                self.assertRegex(cli.text(), r"job\.yaml:5:\d+: spec\.gang: .*" + says)
                self.assert_nothing_left()
        part = {"gang": {"devices": 2, "per_node": 1, "device": "cpu", "within": "rack"},
                "workload": {"null": {"duration": "500ms"}}}
        suite = {"apiVersion": "rackmark/v1", "kind": "Suite", "metadata": {"name": "far"},
                 "spec": {"jobs": [{"name": "away", "job": part}]}}
        cli = self.run_local(json.dumps(suite))
        self.assertEqual(cli.wait_exit(60), 11, cli.text())
        self.assertRegex(cli.text(), r"job\.yaml: part away: .*within one rack.* cancelled; change ")
        self.assert_nothing_left()

    def test_gang_that_no_known_node_of_a_coordinator_can_hold(self):
        cluster = self.start("rackmark", "local", 2, "--cpu-slots", 1, "--data", self.dir / "data")
        where = ["--coordinator", cluster.wait_line(r"^unix:")]
        self.assert_nothing_booked(*where)
        job = serve_job().replace("devices: 2, per_node: 1", "devices: 8")
        code, text = self.run_cli("run", self.write_job(job), *where)
        self.assertEqual(code, 11, text)
        self.assertRegex(text, r"job\.yaml:7:\d+: spec\.gang: .*needs 8 .*have 2; use ")
        self.assertEqual(self.lists("jobs", *where), [])

    def test_no_such_file(self):
        code, text = self.run_cli("run", self.dir / "none.yaml", "--local", 2)
        self.assertEqual(code, 10, text)
        self.assertIn("none.yaml", text)


class BadSurroundings(TestCase):
    def coordinator(self, *args, data="data", sock="c.sock"):
        return self.start("rackmark-coordinator", "--data", self.dir / data, "--listen",
                          f"unix:{self.dir / sock}", *args)

    def up(self, process):
        process.wait_line(r"(listening|serving|ready)", 20)
        return process

    def test_socket_in_use(self):
        self.up(self.coordinator())
        second = self.coordinator(data="other")
        self.assertEqual(second.wait_exit(20), 13, second.text())
        self.assertRegex(second.text(), r"c\.sock.*in use")

    def test_data_folder_in_use(self):
        self.up(self.coordinator())
        second = self.coordinator(sock="d.sock")
        self.assertEqual(second.wait_exit(20), 13, second.text())
        self.assertRegex(second.text(), r"in use")

    def test_unreadable_database_is_left_as_it_is(self):
        (self.dir / "data").mkdir()
        path = self.dir / "data" / "events.db"
        path.write_bytes(b"this is no database, it is a diary" * 40)
        before = path.read_bytes()
        process = self.coordinator()
        self.assertEqual(process.wait_exit(20), 14, process.text())
        self.assertRegex(process.text(), r"events\.db.*; ")
        self.assertEqual(path.read_bytes(), before)

    def test_local_run_tells_why_its_coordinator_refused(self):
        (self.dir / "data").mkdir()
        path = self.dir / "data" / "events.db"
        path.write_bytes(b"this is no database, it is a diary" * 40)
        cli = self.run_local(serve_job())
        self.assertEqual(cli.wait_exit(30), 14, cli.text())
        self.assertRegex(cli.text(), r"events\.db")
        self.assert_nothing_left()

    def test_foreign_database_is_left_as_it_is(self):
        import sqlite3
        (self.dir / "data").mkdir()
        path = self.dir / "data" / "events.db"
        database = sqlite3.connect(path)
        database.execute("CREATE TABLE diary (entry)")
        database.commit()
        database.close()
        before = path.read_bytes()
        process = self.coordinator()
        self.assertEqual(process.wait_exit(20), 14, process.text())
        self.assertRegex(process.text(), r"events\.db.*; ")
        self.assertEqual(path.read_bytes(), before)

    def test_worker_of_another_protocol(self):
        self.up(self.coordinator())
        worker = self.start("rackmark-worker", "--coordinator", f"unix:{self.dir / 'c.sock'}",
                            "--name", "odd", "--data", self.dir / "w", "--protocol", 9)
        self.assertEqual(worker.wait_exit(30), 15, worker.text())
        self.assertRegex(worker.text(), r"protocol.*9")

    def test_out_that_cannot_be_written_is_told_before_the_job_is_submitted(self):
        (self.dir / "taken").write_text("")
        for place, reason in (("taken", "Not a directory"), ("taken/x", "Not a directory"),
                              ("holds", "Is a directory")):
            (self.dir / "holds" / "report.md").mkdir(parents=True, exist_ok=True)
            cli = self.start("rackmark", "run", self.write_job(IDLE), "--local", 1, "--data",
                             self.dir / "data", "--out", self.dir / place)
            self.assertEqual(cli.wait_exit(60), 2, cli.text())
            self.assertRegex(cli.text(), rf"^rackmark: --out .*{place}.*: {reason}; name a folder "
                                         "that you may write to$")
            self.assert_nothing_left()
        cluster = self.start("rackmark", "local", 1, "--data", self.dir / "data")
        where = ["--coordinator", cluster.wait_line(r"^unix:")]
        self.assertEqual(self.lists("jobs", *where), [])

    def test_a_report_that_cannot_be_written_at_the_end_is_not_lost(self):
        cli = self.start("rackmark", "run", self.write_job(IDLE), "--local", 1, "--data",
                         self.dir / "data", "--out", self.dir / "out")
        job = re.search(r"\w{8}-j1", cli.wait_line(r"^job \w{8}-j1: ")).group()
        (self.dir / "out" / "report.json").mkdir()
        self.assertEqual(cli.wait_exit(90), 4, cli.text())
        self.assertRegex(cli.text(), rf"report.json: cannot be written: Is a directory; get the report "
                                     rf"again: start rackmark local 1 --data .*, then rackmark report {job} ")
        # As it was told.
        cluster = self.start("rackmark", "local", 1, "--data", self.dir / "data")
        code, text = self.run_cli("report", job, "--output", "html", "--out", self.dir / "r.html",
                                  "--coordinator", cluster.wait_line(r"^unix:"))
        self.assertEqual((code, text), (0, ""))
        self.assertIn("<!DOCTYPE html>", (self.dir / "r.html").read_text())

    def test_worker_with_a_word_that_is_none(self):
        for flag, allowed in (("transport", "auto, shm or gloo"), ("gpus", "auto or none"),
                              ("log-level", "debug, info, warning or error")):
            worker = self.start("rackmark-worker", "--coordinator", "unix:/nowhere", "--data",
                                self.dir / "w", "--" + flag, "frob")
            self.assertEqual(worker.wait_exit(30), 2, worker.text())
            self.assertIn(f'--{flag} "frob" is unknown; write {allowed}', worker.text())

    def test_worker_on_a_network_that_is_not_there(self):
        worker = self.start("rackmark-worker", "--coordinator", f"unix:{self.dir / 'c.sock'}",
                            "--data", self.dir / "w", "--interface", "nope0")
        self.assertEqual(worker.wait_exit(20), 2, worker.text())
        self.assertRegex(worker.text(), r"^rackmark-worker: --interface: nope0: .*; use one of .*\blo\b")
        self.assertEqual(len(worker.text().strip().splitlines()), 1, worker.text())
        self.assertFalse((self.dir / "w").exists(), "something was started")

    def test_beyond_loopback_without_tls(self):
        process = self.start("rackmark-coordinator", "--data", self.dir / "data", "--listen",
                             "0.0.0.0:0")
        self.assertEqual(process.wait_exit(20), 16, process.text())
        self.assertRegex(process.text(), r"--tls-cert")

    def test_nobody_there(self):
        code, text = self.run_cli("nodes", "--coordinator", f"unix:{self.dir / 'none.sock'}")
        self.assertEqual(code, 12, text)
        self.assertRegex(text, r"no coordinator answers.*rackmark local")
        self.assertIn("none.sock", text)

    def test_unknown_flag_names_the_nearest(self):
        code, text = self.run_cli("run", "--locl", 2)
        self.assertEqual(code, 2, text)
        self.assertIn("--local", text)


class Remote(TestCase):
    def test_submit_leaves_the_job_running_and_lists_answer(self):
        coordinator = self.start("rackmark-coordinator", "--data", self.dir / "data", "--listen",
                                 f"unix:{self.dir / 'c.sock'}")
        coordinator.wait_line(r"(listening|serving|ready)", 20)
        where = ["--coordinator", f"unix:{self.dir / 'c.sock'}"]
        workers = [self.start("rackmark-worker", *where, "--name", f"n{i}", "--data",
                              self.dir / f"w{i}", "--cpu-slots", 1) for i in range(2)]
        code, text = self.run_cli("submit", self.write_job(serve_job(duration="1s")), *where)
        self.assertEqual(code, 0, text)
        # A second job waits for the first one's devices, whole, and then runs.
        cli = self.start("rackmark", "run", self.write_job(serve_job(duration="1s"), "b.yaml"),
                         *where, "--out", self.dir / "out")
        self.assertEqual(cli.wait_exit(120), 0, cli.text())
        jobs = self.lists("jobs", *where)
        self.assertEqual([(j["phase"], j["verdict"]) for j in jobs], [("ENDED", "PASS")] * 2)
        nodes = self.lists("nodes", *where)
        self.assertEqual(sorted(n["info"]["name"] for n in nodes), ["n0", "n1"])
        runs = self.lists("runs", *where)
        self.assertEqual([(r["phase"], r["verdict"]) for r in runs], [("ENDED", "PASS")] * 2)
        self.assert_nothing_booked(*where)
        code, text = self.run_cli("report", "1", *where, "--output", "json")
        self.assertEqual(json.loads(text)["verdict"], "PASS")
        for process in [*workers, coordinator]:
            process.signal(signal.SIGTERM)
            self.assertEqual(process.wait_exit(20), 0, process.text())
        self.assert_nothing_left()


if __name__ == "__main__":
    unittest.main()
