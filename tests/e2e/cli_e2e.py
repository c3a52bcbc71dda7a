"""The commands for jobs that are somewhere else: watch, why, cancel, report, compare; and those that
need no coordinator: validate, schema, completion, help.
"""
import json
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import time
import unittest

from harness import BIN, SOURCE, TestCase, serve_job

NULL = """\
apiVersion: rackmark/v1
kind: Job
metadata: {name: %s}
spec:
  gang: {devices: %d, device: cpu}
  workload: {null: {duration: %s}}
"""


class Jobs(TestCase):
    def setUp(self):
        super().setUp()
        self.cluster = self.start("rackmark", "local", 2, "--cpu-slots", 1, "--data",
                                  self.dir / "data")
        self.endpoint = self.cluster.wait_line(r"^unix:")
        self.where = ("--coordinator", self.endpoint)
        self.assert_nothing_booked(*self.where)

    def submit(self, text):
        code, name = self.run_cli("submit", self.write_job(text), *self.where)
        self.assertEqual(code, 0, name)
        return name.strip()

    def wait_for_phase(self, job, phase):
        number = int(job.rsplit("j", 1)[1])
        deadline = time.monotonic() + 90
        while True:
            runs = [r for r in self.lists("runs", *self.where) if r["job_id"] == number]
            if any(run["phase"] == phase for run in runs):
                return
            self.assertLess(time.monotonic(), deadline, f"no run is {phase}: {runs}")

    def ask(self, *args):
        """The JSON of a command that must succeed."""
        code, text = self.run_cli(*args, *self.where, "--output", "json")
        self.assertEqual(code, 0, text)
        return json.loads(text)

    def test_why_and_cancel_from_queue_to_end(self):
        first = self.submit(NULL % ("first", 2, "10min"))
        self.wait_for_phase(first, "MEASURING")
        second = self.submit(NULL % ("second", 1, "500ms"))

        why = self.ask("why", second)
        self.assertEqual(why["job"]["phase"], "QUEUED")
        self.assertEqual([(f["constraint"], f["devices"]) for f in why["filtered"]],
                         [(f"leased to job {first}", 2)])
        self.assertEqual(sorted(why["filtered"][0]["examples"]), ["local-0", "local-1"])
        self.assertEqual((why["devices_total"], why["devices_left"]), (2, 0))
        self.assertEqual([(a["job_id"], a["name"], a["phase"]) for a in why["ahead"]],
                         [(1, "first", "ACTIVE")])
        self.assertIn(f"job {first} holds 2", why["summary"])
        code, text = self.run_cli("why", second, *self.where)
        self.assertEqual(code, 0, text)
        self.assertRegex(text, rf"(?m)^job {second} waits for devices that are in use: it needs 1 CPU")
        self.assertRegex(text, rf"(?m)^2 +leased to job {first} +local-[01], local-[01]$")
        self.assertRegex(text, r"(?m)^0 +can be had now, of 2 known$")
        self.assertRegex(text, r"(?m)^\w{8}-j1 +first +active +2$")

        why = self.ask("why", first)
        run = first.replace("-j", "-r")  # the first run of the first job
        self.assertRegex(why["summary"], rf"job {first} is at work: run {run} is being measured")
        self.assertEqual(why["next_deadline"]["what"], f"run {run} must be measured")
        self.assertGreater(why["next_deadline"]["in_ns"], 0)

        code, text = self.run_cli("cancel", first, "--reason", "enough \x1b[31mseen", *self.where)
        self.assertEqual((code, text.strip()), (0, f"job {first}: is being cancelled"))
        code, text = self.run_cli("watch", first, *self.where)
        self.assertEqual(code, 130, text)
        self.assertRegex(text, r"ended with CANCELLED; see rackmark report")
        code, text = self.run_cli("why", first, *self.where)
        self.assertEqual(code, 0, text)
        self.assertRegex(text, rf"^job {first} ended with CANCELLED: run {run} ended with CANCELLED")
        self.assertNotIn("\x1b", text)
        code, text = self.run_cli("cancel", first, *self.where)
        self.assertEqual(code, 0, text)
        self.assertIn("had ended already", text)

        # The one behind it had to wait for nothing else.
        code, text = self.run_cli("watch", second, *self.where)
        self.assertEqual(code, 0, text)
        self.assertRegex(self.ask("why", second)["summary"], rf"job {second} ended with PASS")

    def test_a_job_that_is_not_there(self):
        for command in ("watch", "why", "cancel", "report"):
            code, text = self.run_cli(command, "j99", *self.where)
            self.assertEqual(code, 2, f"{command}: {text}")
            self.assertRegex(text, r"there is no job \w{8}-j99; rackmark jobs lists those there are")
            code, text = self.run_cli(command, "xyz", *self.where)
            self.assertEqual(code, 2, f"{command}: {text}")
            self.assertIn("is no job; write it as rackmark jobs lists it", text)

    def test_watch_survives_the_coordinators_death(self):
        job = self.submit(NULL % ("outlives", 2, "8s"))
        watch = self.start("rackmark", "watch", job, *self.where)
        lines = self.start("rackmark", "watch", job, *self.where, "--output", "json", name="lines")
        watch.wait_line(r"measuring", 90)
        lines.wait_line(r'"phase": "MEASURING"', 90)
        self.kill_one("rackmark-coordinator")
        watch.wait_line(r"lost the coordinator")
        watch.wait_line(r"the coordinator is back")
        self.assertEqual(watch.wait_exit(120), 0, watch.text())
        self.assertRegex(watch.text(), r"outlives ended with PASS; see rackmark report " + job)
        self.assertEqual(lines.wait_exit(120), 0, lines.text())
        # One object a line; what is said of the broken stream goes to stderr.
        states = [json.loads(line) for line in lines.lines if line.startswith("{")]
        self.assertEqual(states[-1]["job"]["phase"], "ENDED")
        self.assertEqual(states[-1]["job"]["verdict"], "PASS")
        self.assertNotEqual(states[0]["job"]["phase"], "ENDED")
        self.assertGreater(len(states), 2)

    def test_ctrl_c_leaves_the_job_alone(self):
        job = self.submit(NULL % ("goes-on", 2, "10min"))
        watch = self.start("rackmark", "watch", job, *self.where)
        watch.wait_line(r"measuring", 90)
        watch.signal(signal.SIGINT)
        self.assertEqual(watch.wait_exit(30), 130, watch.text())
        self.assertRegex(watch.text(), r"SIGINT: the job goes on; rackmark cancel ends it")
        self.assertEqual(self.lists("jobs", *self.where)[0]["phase"], "ACTIVE")
        self.assertEqual(self.run_cli("cancel", job, *self.where)[0], 0)
        self.assertEqual(self.run_cli("watch", job, *self.where)[0], 130)

    def test_reports_for_machines_and_a_comparison(self):
        job = self.submit(serve_job(duration="2s"))
        code, text = self.run_cli("watch", job, *self.where, seconds=120)
        self.assertEqual(code, 0, text)
        for output, starts in (("markdown", "# "), ("csv", ""), ("junit", "<?xml"), ("yaml", "")):
            path = self.dir / ("report." + output)
            code, text = self.run_cli("report", job, *self.where, "--output", output, "--out", path)
            self.assertEqual((code, text), (0, ""))
            written = path.read_text()
            self.assertTrue(written.startswith(starts), written[:200])
            self.assertIn("PASS" if output != "junit" else "<testcase", written)
        path = self.dir / "report.json"
        self.run_cli("report", job, *self.where, "--output", "json", "--out", path)
        # A job and a file, which hold the same run: with a stated noise they are the same.
        code, text = self.run_cli("compare", job, path, "--noise", "5%", *self.where)
        self.assertEqual(code, 0, text)
        self.assertIn("same", text)
        code, text = self.run_cli("compare", path, path, "--output", "json")
        self.assertEqual(code, 3, text)  # single runs, no spread known: it cannot say
        json.loads(text)
        code, text = self.run_cli("compare", job, path)
        self.assertEqual(code, 2, text)
        self.assertIn("no coordinator is named", text)
        code, text = self.run_cli("compare", path, "nofile.json", *self.where)
        self.assertEqual(code, 2, text)
        self.assertIn("nofile.json: cannot be read: No such file or directory; check the path", text)
        code, text = self.run_cli("compare", path, self.write_job(serve_job()))
        self.assertEqual(code, 2, text)
        self.assertRegex(text, r"job.yaml: line 1, column 1: no JSON of a report; write one with rack")
        # A place that cannot be written to is told before anything is asked for.
        (self.dir / "taken").mkdir()
        for place, reason in (("taken", "Is a directory"), ("none/x", "No such file or directory"),
                              ("report.json/x", "Not a directory")):
            code, text = self.run_cli("report", job, "--out", self.dir / place, "--coordinator",
                                      "unix:/nowhere/at-all")
            self.assertEqual(code, 2, text)
            self.assertRegex(text, rf"--out .*{place}: cannot be written: {reason}; name a file")
        self.assertEqual(sorted(p.name for p in self.dir.glob("*.part")), [])

    def test_a_result_that_cannot_be_written_is_no_pass(self):
        job = self.submit(NULL % ("full", 1, "500ms"))
        self.assertEqual(self.run_cli("watch", job, *self.where)[0], 0)
        path = self.dir / "report.json"
        self.run_cli("report", job, *self.where, "--output", "json", "--out", path)
        json_too = ("--output", "json")
        commands = [("watch", job, *self.where), ("watch", job, *self.where, *json_too),
                    ("report", job, *self.where, *json_too), ("why", job, *self.where),
                    ("jobs", *self.where), ("jobs", *self.where, *json_too), ("version",),
                    ("help",), ("schema", "job")]
        reader, writer = os.pipe()
        os.close(reader)
        with open("/dev/full", "wb") as full, os.fdopen(writer, "wb") as closed:
            for out, reason in ((full, "No space left on device"), (closed, "Broken pipe")):
                for command in commands:
                    self.write_into(out, command, 4, reason)
                # Not 0 anyway: what was found stays told.
                self.write_into(out, ("compare", path, path, *json_too), 3, reason)

    def write_into(self, out, command, code, reason):
        done = subprocess.run([BIN / "rackmark", *command], env=self.env, cwd=self.dir, stdout=out,
                              stderr=subprocess.PIPE, text=True, timeout=60, check=False)
        self.assertEqual(done.returncode, code, f"{command}: {done.stderr}")
        self.assertRegex(done.stderr, rf"stdout cannot be written, .*: {reason}")

    def test_a_gang_that_fits_no_known_node_is_warned_of_and_waits(self):
        text = (NULL % ("far", 2, "500ms")).replace("device: cpu}", "device: cpu, within: rack}")
        path = self.write_job(text)
        done = subprocess.run([BIN / "rackmark", "submit", path, *self.where], env=self.env,
                              cwd=self.dir, capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stdout, r"^\w{8}-j1\n$")
        self.assertRegex(done.stderr, r"^rackmark: warning: the gang needs .*within one rack, .*\n$")
        reply = self.ask("submit", path)
        self.assertIn("within one rack", reply["note"])
        waits = self.start("rackmark", "run", path, *self.where)
        waits.wait_line(r"warning: \S*job\.yaml:5:\d+: spec\.gang: .*within one rack")
        waits.wait_line(r"placing")
        waits.signal(signal.SIGINT)
        self.assertEqual(waits.wait_exit(60), 130, waits.text())

        # A list that is cut says so.
        listed = self.ask("jobs", "--limit", 1)
        self.assertEqual(([j["job_id"] for j in listed["jobs"]], listed["left_out"]), ([3], 2))
        self.assertEqual(self.ask("runs", "--limit", 2)["left_out"], 1)
        code, text = self.run_cli("jobs", "--limit", 1, *self.where)
        self.assertEqual(code, 0, text)
        self.assertRegex(text, r"(?m)^and 2 more; --limit N lists more")
        self.assertNotIn("more", self.run_cli("jobs", *self.where)[1])

    def test_words_that_are_wrong_are_no_job_file(self):
        for words, says in ((("drain", "local-0", "--grace", "2h"), "the grace must be 0 to"),
                            (("cordon", "local-0", "--reason", "x" * 600), "512 at most"),
                            (("schedule", "remove", "n" * 60), "52 at most")):
            code, text = self.run_cli(*words, *self.where)
            self.assertEqual(code, 2, text)
            self.assertIn(says, text)

    def test_completion_knows_the_jobs(self):
        job = self.submit(NULL % ("known", 1, "500ms"))
        self.assertEqual(complete(self, f"rackmark why --coordinator {self.endpoint} "), [job])
        self.assertEqual(complete(self, f"rackmark watch --coordinator {self.endpoint} {job[:4]}"),
                         [job])


def complete(test, line):
    """What bash offers for this line, by the function that it has registered."""
    script = ('source <("$1" completion bash); set -- "$2"; COMP_LINE=$1; COMP_POINT=${#1}; '
              'COMP_LINE="${COMP_LINE/#rackmark/$PROGRAM}"; COMP_POINT=${#COMP_LINE}; '
              'function=$(complete -p rackmark | sed "s/.*-F \\([^ ]*\\) .*/\\1/"); "$function"; '
              '((${#COMPREPLY[@]})) && printf "%s\\n" "${COMPREPLY[@]}"; true')
    done = subprocess.run(["bash", "--norc", "-c", script, "bash", str(BIN / "rackmark"), line],
                          env=dict(test.env, PROGRAM=str(BIN / "rackmark")), cwd=test.dir,
                          capture_output=True, text=True, timeout=60, check=False)
    test.assertEqual((done.returncode, done.stderr), (0, ""))
    return done.stdout.split()


class Completion(TestCase):
    def test_bash_offers_commands_flags_values_and_files(self):
        (self.dir / "some-job.yaml").write_text("")
        (self.dir / "some-folder").mkdir()
        self.assertEqual(complete(self, "rackmark val"), ["validate"])
        self.assertIn("why", complete(self, "rackmark "))
        self.assertEqual(complete(self, "rackmark help comp"), ["compare", "completion"])
        self.assertEqual(complete(self, "rackmark cancel --rea"), ["--reason"])
        self.assertEqual(complete(self, "rackmark nodes --output "), ["table", "json", "yaml"])
        self.assertEqual(complete(self, "rackmark report j1 --output ju"), ["junit"])
        self.assertEqual(complete(self, "rackmark nodes --loc"), [])
        self.assertEqual(complete(self, "rackmark run --loc"), ["--local"])
        self.assertCountEqual(complete(self, "rackmark validate some"),
                              ["some-folder", "some-job.yaml"])
        self.assertEqual(complete(self, "rackmark run x --out some"), ["some-folder"])
        self.assertEqual(complete(self, "rackmark completion "), ["bash", "zsh", "fish"])
        self.assertEqual(complete(self, "rackmark schema "),
                         ["job", "suite", "schedule"])
        self.assertEqual(complete(self, "rackmark nodes "), [])
        # No coordinator is named: nothing is offered, and nothing is said.
        self.assertEqual(complete(self, "rackmark why "), [])

    def terminal(self, *argv):
        """A shell at a terminal: (type, wait) of it."""
        pid, terminal = pty.fork()
        if pid == 0:
            os.chdir(self.dir)
            env = dict(self.env, TERM="dumb", PS1="> ", PATH=f"{BIN}:{os.environ['PATH']}",
                       HOME=str(self.dir), ZDOTDIR=str(self.dir))
            os.execvpe(argv[0], argv, env)
        self.addCleanup(os.close, terminal)
        self.addCleanup(os.waitpid, pid, 0)
        self.addCleanup(os.kill, pid, signal.SIGKILL)
        seen = b""

        def wait(pattern):
            nonlocal seen
            deadline = time.monotonic() + 60
            while not re.search(pattern, seen):
                left = deadline - time.monotonic()
                self.assertGreater(left, 0, seen)
                if select.select([terminal], [], [], left)[0]:
                    seen += os.read(terminal, 4096)
            seen = b""

        return (lambda text: os.write(terminal, text)), wait

    def test_bash_completes_when_somebody_presses_tab(self):
        write, wait = self.terminal("bash", "--norc", "--noprofile", "-i")
        wait(rb"> ")
        write(b"source <(rackmark completion bash); echo rea''dy\n")
        wait(rb"ready\r\n")
        write(b"rackmark comple\t")
        wait(rb"completion ")
        write(b"fi\t")
        wait(rb"sh ")

    @unittest.skipUnless(shutil.which("zsh"), "zsh is not installed; see scripts/packages test")
    def test_zsh_completes_when_somebody_presses_tab(self):
        (self.dir / "some-job.yaml").write_text("")
        write, wait = self.terminal("zsh", "-f", "-i")
        wait(rb"> ")
        write(b"autoload -Uz compinit; compinit -u -D; source <(rackmark completion zsh); "
              b"echo rea''dy\n")
        wait(rb"ready\r\n")
        for typed, completed in ((b"rackmark comple\t", rb"completion "), (b"fi\t", rb"sh "),
                                 (b"\x15rackmark run some\t", rb"some-job\.yaml "),
                                 (b"--loc\t", rb"--local "),
                                 (b"\x15rackmark report --output ju\t", rb"junit "),
                                 (b"\x15rackmark cancel --rea\t", rb"--reason "),
                                 (b"\x15rackmark help resto\t", rb"restore ")):
            write(typed)
            wait(completed)

    @unittest.skipUnless(shutil.which("fish"), "fish is not installed; see scripts/packages test")
    def test_fish_offers_commands_flags_values_and_files(self):
        (self.dir / "some-job.yaml").write_text("")
        (self.dir / "some-folder").mkdir()
        script = self.dir / "rackmark.fish"
        script.write_text(self.run_cli("completion", "fish")[1] + "\n")
        asked = ["", "val", "help comp", "cancel --rea", "nodes --output ", "report j1 --output ju",
                 "nodes --loc", "run --loc", "validate some", "run x --out some", "completion ",
                 "schema ", "nodes ", "why "]
        # `complete -C LINE` prints what a tab would offer, each with its description.
        lines = "".join(f"echo == ; complete -C 'rackmark {line}'\n" for line in asked)
        done = subprocess.run(["fish", "--no-config", "-c", f"source {script}\n{lines}"],
                              env=dict(self.env, HOME=str(self.dir),
                                       PATH=f"{BIN}:{os.environ['PATH']}"),
                              cwd=self.dir, capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        offers = [[line.split("\t")[0] for line in part.splitlines() if line]
                  for part in done.stdout.split("==\n")[1:]]
        offered = dict(zip(asked, offers, strict=True))
        self.assertIn("why", offered.pop(""))
        self.assertCountEqual(offered.pop("validate some"), ["some-folder/", "some-job.yaml"])
        self.assertCountEqual(offered.pop("nodes --output "), ["table", "json", "yaml"])
        self.assertCountEqual(offered.pop("completion "), ["bash", "zsh", "fish"])
        self.assertCountEqual(offered.pop("schema "), ["job", "suite", "schedule"])
        self.assertEqual(offered, {
            "val": ["validate"], "help comp": ["compare", "completion"],
            "cancel --rea": ["--reason"], "report j1 --output ju": ["junit"], "nodes --loc": [],
            "run --loc": ["--local"], "run x --out some": ["some-folder/"],
            # No coordinator is named: nothing is offered, and nothing is said.
            "nodes ": [], "why ": []})
        # A quote in a description ends no string of the script.
        self.assertIn("backup\tCopy a coordinator's databases, in use or not.", done.stdout)

    def test_every_shell_takes_its_script(self):
        missing = []
        for shell, check in (("bash", ["-n"]), ("zsh", ["-n"]), ("fish", ["--no-execute"])):
            code, text = self.run_cli("completion", shell)
            self.assertEqual(code, 0, text)
            path = self.dir / ("completion." + shell)
            path.write_text(text + "\n")
            if shutil.which(shell) is None:
                missing.append(shell)
                continue
            done = subprocess.run([shell, *check, path], capture_output=True, text=True, check=False)
            self.assertEqual((done.returncode, done.stderr), (0, ""), shell)
        self.assertEqual(self.run_cli("completion", "tcsh")[0], 2)
        if missing:
            self.skipTest(f"not installed: {', '.join(missing)}; see scripts/packages test")


class Files(TestCase):
    def test_validate_tells_what_would_run(self):
        library = sorted(str(p) for p in (SOURCE / "jobs" / "library").glob("*.yaml")
                         if "trace:" not in p.read_text())
        code, text = self.run_cli("validate", *library)
        self.assertEqual(code, 0, text)
        # The jobs of a suite or of a schedule stand below it, with their indent.
        heads = [line for line in text.splitlines() if not line.startswith(" ")]
        self.assertEqual(len(heads), len(library))
        self.assertRegex(text, r"acceptance.yaml: acceptance: a suite of 2 jobs")
        self.assertRegex(text, r"  instrument \(gate\): 1 run on 2 CPU devices")
        self.assertRegex(text, r"nightly.yaml: nightly: a schedule, 30 1 \* \* \* in Europe/Berlin")
        self.assertRegex(text, r"quickstart.yaml: quickstart: 1 run on 2 CPU devices \(1 on each node\)")
        quickstart = SOURCE / "jobs" / "library" / "quickstart.yaml"
        code, text = self.run_cli("validate", quickstart, "--set", "repeats=3", "--output", "json")
        self.assertEqual(code, 0, text)
        job = json.loads(text)["files"][0]["job"]
        self.assertEqual(job["runs"], 3)
        self.assertEqual(job["gang"], {"devices": 2, "per_node": 1, "kind": "CPU"})
        self.assertEqual(job["planned_ns"], 3 * 26 * 10**9)
        self.assertGreater(job["at_most_ns"], job["planned_ns"])

    def test_validate_tells_every_mistake_with_its_place(self):
        bad = self.write_job(serve_job().replace("kv_memory: 8MiB", "kv_memry: 8MiB")
                             .replace("duration: 2s", "duration: 2"), "bad.yaml")
        good = self.write_job(serve_job(), "good.yaml")
        code, text = self.run_cli("validate", bad, good)
        self.assertEqual(code, 10, text)
        self.assertRegex(text, r'bad.yaml:9:\d+: spec.workload.serve.kv_memry: unknown key; did you '
                               r'mean "kv_memory"\?')
        self.assertRegex(text, r'bad.yaml:14:15: spec.load.duration: "2" has no unit')
        self.assertRegex(text, r"good.yaml: e2e: 1 run on 2 CPU devices")
        code, text = self.run_cli("validate", bad, good, self.dir / "none.yaml", "--output", "json")
        self.assertEqual(code, 10, text)
        files = json.loads(text)["files"]
        self.assertEqual([f["valid"] for f in files], [False, True, False])
        self.assertEqual([e["line"] for e in files[0]["errors"]], [9, 14])
        self.assertEqual(files[2]["errors"][0]["line"], None)
        self.assertRegex(files[2]["errors"][0]["message"], r"cannot be read")
        self.assertEqual(self.run_cli("validate")[0], 2)
        code, text = self.run_cli("validate", self.dir)
        self.assertEqual(code, 10, text)
        self.assertIn("cannot be read: it is a folder; name a file in it", text)
        code, text = self.run_cli("validate", good, "--set", "spec.load.rate=1/s")
        self.assertEqual(code, 10, text)
        self.assertIn("write --set load.rate=1/s", text)

    def test_schema_and_help(self):
        code, text = self.run_cli("schema", "job")
        self.assertEqual(code, 0, text)
        published = (SOURCE / "jobs" / "schema" / "job.schema.json").read_text()
        self.assertEqual(json.loads(text), json.loads(published))
        code, text = self.run_cli("schema", "jbo")
        self.assertEqual(code, 2, text)
        code, text = self.run_cli("help", "cancel")
        self.assertEqual(code, 0, text)
        self.assertIn("--reason", text)
        for command in ("backup", "restore"):
            self.assertEqual(self.run_cli("help", command)[1].count("[rackmark-data]"), 1)
        code, text = self.run_cli("help", "cancle")
        self.assertEqual(code, 2, text)
        self.assertIn('did you mean "cancel"?', text)
        code, text = self.run_cli("wacth", "j1")
        self.assertEqual(code, 2, text)
        self.assertIn('did you mean "watch"?', text)


if __name__ == "__main__":
    unittest.main()
