"""What people do with a fleet, with real processes: suites behind a gate, parts that are missing or
excluded, a schedule that comes due, nodes that are cordoned and drained under a job, and a job of
higher priority that takes a preemptible one's devices.
"""
import json
import signal
import unittest

from cluster import Cluster


def job_spec(devices=1, duration="1s", hold="", more=""):
    return f"""\
gang: {{devices: {devices}, per_node: 1, device: cpu}}
workload:
  "null": {{duration: {duration}, samples_per_step: 2{", hold: " + hold if hold else ""}}}
limits: {{setup: 30s, prepare: 30s, drain: 30s, attempts: 1}}
{more}"""


def null_job(name, **said):
    spec = job_spec(**said)
    return ("apiVersion: rackmark/v1\nkind: Job\nmetadata: {name: %s}\nspec:\n" % name
            + indent(spec, 2))


def indent(text, by):
    return "".join(" " * by + line + "\n" for line in text.splitlines())


# A rank that stays in the window for longer than the limit allows is TIMEOUT on any machine.
HOLDING = job_spec(hold="{phase: measuring, for: 60s}")
FAILING = HOLDING.replace("attempts: 1", "attempts: 1, measure: 2s")
PASSING = job_spec()


def suite(gate, expect=""):
    return ("apiVersion: rackmark/v1\nkind: Suite\nmetadata: {name: rack, labels: {team: a}}\nspec:\n"
            + (f"  expect: {expect}\n" if expect else "")
            + "  jobs:\n"
            + "    - name: serve\n      after: [smoke]\n      job: beside.yaml\n"
            + "    - name: smoke\n      gate: true\n      job:\n" + indent(gate, 8)
            + "    - name: last\n      after: [serve]\n      when: any\n      job:\n"
            + indent(PASSING, 8))


class Fleet(unittest.TestCase):
    def open(self, workers=2):
        cluster = Cluster()
        self.addCleanup(cluster.doCleanups)
        cluster.open(workers=workers)
        cluster.write_job(null_job("beside"), "beside.yaml")
        return cluster

    def call(self, cluster, *args, code=0):
        got, text = cluster.run_cli(*args, *cluster.where)
        self.assertEqual(got, code, text)
        return text

    def run_suite(self, cluster, text, *args):
        path = cluster.write_job(text, "suite.yaml")
        return cluster.start("rackmark", "run", path, *cluster.where, "--out", cluster.dir / "out",
                             *args)

    def ended(self, cluster, job_id):
        return [e for e in cluster.events() if e.name == "JobEnded" and e.fields[1] == job_id]

    def submitted_id(self, text):
        return int(text.strip().splitlines()[-1].rsplit("-j", 1)[1])


class Suites(Fleet):
    def test_a_gate_that_passes_lets_the_others_run(self):
        cluster = self.open()
        cli = self.run_suite(cluster, suite(PASSING, "{node_count: 2, device: cpu, alike: true}"))
        self.assertEqual(cli.wait_exit(120), 0, cli.text())
        text = cli.text()
        self.assertRegex(text, r"what is expected was looked at: all of it is there")
        self.assertRegex(text, r"suite \S+-s1: rack ended with PASS")
        for part in ("smoke", "serve", "last"):
            report = json.loads((cluster.dir / "out" / part / "report.json").read_text())
            self.assertEqual(report["verdict"], "PASS", part)
        self.assertLess(text.index("smoke: ended with PASS"), text.index("serve: ended with PASS"))
        self.assertRegex(self.call(cluster, "suites"), r"-s1 +rack +PASS +3/3 +0 ")
        [listed] = cluster.lists("suites", *cluster.where)
        self.assertEqual([j["part"] for j in listed["jobs"]], ["smoke", "serve", "last"])
        self.assertRegex(self.call(cluster, "suites", "s1", "--output", "yaml"), r"outcome: PASS")
        self.assertRegex(self.call(cluster, "jobs"), r"SUITE +PART\n")
        self.assertRegex(self.call(cluster, "suites", "s7", code=2), r"there is no suite 7")
        cluster.stop_all()

    def test_a_gate_that_fails_keeps_the_others_from_beginning(self):
        cluster = self.open()
        cli = self.run_suite(cluster, suite(FAILING), "--output", "json")
        self.assertEqual(cli.wait_exit(120), 1, cli.text())
        [listed] = cluster.lists("suites", *cluster.where)
        self.assertEqual(listed["outcome"], "FAIL")
        self.assertEqual({j["part"]: j["verdict"] for j in listed["jobs"]},
                         {"smoke": "TIMEOUT", "serve": "SKIPPED", "last": "SKIPPED"})
        # One lease was placed: the gate's.
        self.assertEqual(sum(e.name == "LeasePlaced" for e in cluster.events()), 1)
        cluster.stop_all()

    def test_what_is_missing_fails_and_what_is_excluded_is_incomplete(self):
        cluster = self.open()
        cli = self.run_suite(cluster, suite(PASSING, "{node_count: 3, wait: 0s}"))
        self.assertEqual(cli.wait_exit(60), 1, cli.text())
        self.assertRegex(cli.text(), r"missing +\S+")
        self.assertEqual([e for e in cluster.events() if e.name == "LeasePlaced"], [])
        self.call(cluster, "cordon", "w0", "--reason", "a fan")
        cli = self.run_suite(cluster, suite(PASSING, "{node_count: 2, wait: 0s}"))
        self.assertEqual(cli.wait_exit(120), 7, cli.text())
        self.assertRegex(cli.text(), r"ended with INCOMPLETE")
        self.assertRegex(cli.text(), r"excluded +w0")
        cluster.stop_all()

    def test_files_that_are_wrong_are_told_before_anything_runs(self):
        cluster = self.open(workers=1)
        bad = cluster.write_job(suite(PASSING).replace("after: [smoke]", "after: [smkoe]"), "bad.yaml")
        for command in ("run", "submit", "validate"):
            where = cluster.where if command != "validate" else []
            code, text = cluster.run_cli(command, bad, *where)
            self.assertEqual(code, 10, text)
            self.assertRegex(text, r'bad.yaml:7:14: spec.jobs\[0\].after: "smkoe" is no part of this '
                                   r'suite; did you mean "smoke"\?')
        cluster.write_job("kind: Job\n", "beside.yaml")
        code, text = cluster.run_cli("submit", cluster.write_job(suite(PASSING), "s.yaml"),
                                     *cluster.where)
        self.assertEqual(code, 10, text)
        self.assertRegex(text, r"beside.yaml:1:1: apiVersion: is missing")
        self.assertEqual(cluster.lists("suites", *cluster.where), [])

    def test_ctrl_c_cancels_what_is_left_of_it(self):
        cluster = self.open()
        cli = self.run_suite(cluster, suite(HOLDING))
        cluster.wait_event("RunMeasuring")
        cli.signal(signal.SIGINT)
        self.assertEqual(cli.wait_exit(60), 130, cli.text())
        self.assertRegex(cli.text(), r"cancelling the jobs of the suite")
        [listed] = cluster.lists("suites", *cluster.where)
        self.assertNotIn(listed["outcome"], ("PASS", "UNKNOWN"))
        cluster.stop_all()


class Schedules(Fleet):
    SCHEDULE = ("apiVersion: rackmark/v1\nkind: Schedule\nmetadata: {name: minutely}\nspec:\n"
                '  schedule: "* * * * *"\n  concurrencyPolicy: Forbid\n  jobTemplate: beside.yaml\n')

    def test_a_schedule_submits_when_it_is_due_and_rests_when_told(self):
        cluster = self.open(workers=1)
        path = cluster.write_job(self.SCHEDULE, "schedule.yaml")
        self.assertRegex(self.call(cluster, "schedule", path), r"schedule minutely is set; next at")
        self.assertRegex(self.call(cluster, "schedule", path), r"was so already")
        made = cluster.wait_event("JobSubmitted")  # at the next full minute
        cluster.wait_event("JobEnded")
        self.assertRegex(self.call(cluster, "schedule", "suspend", "minutely"),
                         r"it is suspended, and begins nothing")
        jobs = cluster.lists("jobs", *cluster.where)
        self.assertRegex(jobs[-1]["name"], r"^minutely-\d+")
        self.assertEqual(jobs[-1]["schedule_id"], 1)
        self.assertEqual(int(jobs[-1]["name"].rsplit("-", 1)[1]) % 60, 0)
        self.assertGreaterEqual(made.unix_ns // 10**9, int(jobs[-1]["name"].rsplit("-", 1)[1]))
        text = self.call(cluster, "schedule", "list")
        self.assertRegex(text, r"minutely +\* \* \* \* \* +UTC +suspended")
        listed = json.loads(self.call(cluster, "schedule", "list", "--output", "json"))
        self.assertTrue(listed["schedules"][0]["schedule"]["suspend"])
        self.assertRegex(self.call(cluster, "schedule", "resume", "minutely"), r"next at")
        self.assertRegex(self.call(cluster, "schedule", "remove", "minutely"), r"is removed")
        self.assertRegex(self.call(cluster, "schedule", "remove", "minutely", code=2),
                         r"there is no schedule")
        self.assertEqual(len(self.call(cluster, "schedule", "list").splitlines()), 1)
        # What it had begun went on, and is a job like any other.
        self.assertEqual(self.call(cluster, "watch", "j1").splitlines()[-1].split(";")[0][-4:], "PASS")
        self.assertRegex(self.call(cluster, "run", path, code=10), r"use rackmark schedule")
        self.assertRegex(self.call(cluster, "schedule", "list", "x", code=2), r"takes FILE, list")
        cluster.stop_all()


class Nodes(Fleet):
    def states(self, cluster):
        return {n["info"]["name"]: (n["cordoned"], n["drain"], n["standing"])
                for n in cluster.lists("nodes", *cluster.where)}

    def placed_on(self, cluster, run):
        return [r["node"] for r in run["placement"]["ranks"]]

    def test_cordon_drain_and_uncordon_while_a_job_runs(self):
        cluster = self.open()
        self.assertRegex(self.call(cluster, "cordon", "w0", "--reason", "a fan"),
                         r"node w0: now cordoned")
        self.assertRegex(self.call(cluster, "cordon", "w0"), r"nothing changed")
        self.assertRegex(self.call(cluster, "nodes"), r"w0 +up +cordoned ")
        job = self.call(cluster, "submit", cluster.write_job(
            null_job("drained", hold="{phase: measuring, for: 60s}"))).strip()
        cluster.wait_event("RunMeasuring")
        [run] = cluster.runs()
        self.assertEqual(self.placed_on(cluster, run), ["w1"])
        self.assertRegex(self.call(cluster, "drain", "w1", "--grace", "1s"),
                         r"node w1: now draining")
        # Cut short after its grace, it goes back to the queue, where no node may take it.
        cluster.wait_event("RunRequeued")
        cluster.wait_event("LeaseEnded")
        self.assertRegex(self.call(cluster, "why", job), r"cordon")
        self.assertRegex(self.call(cluster, "uncordon", "w0"), r"node w0: now in use")
        cluster.wait_event("JobEnded")
        [run] = cluster.runs()
        self.assertEqual(self.placed_on(cluster, run), ["w0"])
        self.assertEqual(run["verdict"], "PASS")
        self.assertRegex(self.call(cluster, "drain", "w7", code=2), r"w7")
        self.assertRegex(self.call(cluster, "drain", "w0", "--grace", "3", code=2), r"no unit")
        self.assertEqual(self.states(cluster)["w1"][:2], (True, True))
        cluster.stop_all()

    def test_a_node_in_quarantine_takes_checks_alone(self):
        cluster = self.open(workers=1)
        self.assertRegex(self.call(cluster, "quarantine", "w0", "--reason", "xid 79"),
                         r"node w0: now quarantined")
        self.assertRegex(self.call(cluster, "nodes"), r"w0 +up +quarantined .*xid 79")
        job = self.call(cluster, "submit", cluster.write_job(null_job("waits"))).strip()
        self.assertRegex(self.call(cluster, "why", job), r"quarantine")
        check = null_job("check").replace("device: cpu}", "device: cpu, quarantined: true}")
        cli = cluster.start("rackmark", "run", cluster.write_job(check, "check.yaml"),
                            *cluster.where, "--out", cluster.dir / "check")
        self.assertEqual(cli.wait_exit(60), 0, cli.text())
        self.call(cluster, "readmit", "w0")
        self.assertEqual(self.call(cluster, "watch", job).splitlines()[-1].split(";")[0][-4:], "PASS")
        cluster.stop_all()


class Priority(Fleet):
    def test_a_higher_job_takes_the_devices_of_a_preemptible_one(self):
        cluster = self.open()
        low = self.submitted_id(self.call(cluster, "submit", cluster.write_job(null_job(
            "low", devices=2, hold="{phase: measuring, for: 60s}",
            more="preemptible: true\ngrace: 1s\npriority: -5"))))
        cluster.wait_event("RunMeasuring")
        high = self.submitted_id(self.call(cluster, "submit", cluster.write_job(null_job(
            "high", devices=2, more="priority: 10"))))
        cluster.wait(lambda: self.ended(cluster, high), "the higher job to end")
        self.assertEqual(self.ended(cluster, low), [])
        self.assertRegex(self.call(cluster, "jobs"), r"PRIORITY\n(.*\n)*.* -5\n")
        # Its first attempt was no try: it runs again, without the hold, and passes.
        cluster.wait(lambda: self.ended(cluster, low), "the lower job to end")
        jobs = {j["name"]: j for j in cluster.lists("jobs", *cluster.where)}
        self.assertEqual((jobs["low"]["verdict"], jobs["high"]["verdict"]), ("PASS", "PASS"))
        self.assertEqual(jobs["high"]["priority"], 10)
        cluster.stop_all()

    def test_one_that_is_not_preemptible_is_waited_for_and_why_says_so(self):
        cluster = self.open()
        self.call(cluster, "submit", cluster.write_job(null_job(
            "firm", devices=2, hold="{phase: measuring, for: 60s}")))
        cluster.wait_event("RunMeasuring")
        high = self.call(cluster, "submit", cluster.write_job(null_job(
            "high", devices=2, more="priority: 10"))).strip()
        text = self.call(cluster, "why", high)
        self.assertRegex(text, r"place 1 in the queue, priority 10")
        why = json.loads(self.call(cluster, "why", high, "--output", "json"))
        self.assertEqual((why["position"], why["priority"]), (1, 10))
        self.assertEqual([e for e in cluster.events() if e.name == "LeaseReleasing"], [])
        self.call(cluster, "cancel", "j1")
        cluster.wait(lambda: self.ended(cluster, 2), "the higher job to end")


if __name__ == "__main__":
    unittest.main()
