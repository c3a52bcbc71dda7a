"""The main job as a newcomer sees it, and what it leaves behind."""
import csv
import json
import re
import unittest
import xml.etree.ElementTree

from harness import SOURCE, TestCase, serve_job


class MainJob(TestCase):
    def test_serves_measures_reports_and_leaves_nothing(self):
        cli = self.run_local(serve_job())
        code = cli.wait_exit(90)
        self.assertEqual(code, 0, cli.text())
        self.assertRegex(cli.text(), r"PASS")
        self.assert_nothing_left()
        self.assert_streams_whole()

        run = self.report()["runs"][0]
        self.assertEqual(run["verdict"], "PASS")
        serve = run["serve"]
        self.assertGreater(serve["output_tok_s"], 0)
        self.assertGreater(serve["requests_completed"], 0)
        self.assertGreaterEqual(serve["delivered_share"], 0.95)
        self.assertLessEqual(serve["ttft_ms"]["p50"], serve["ttft_ms"]["p95"])
        self.assertLessEqual(serve["ttft_ms"]["p50"], serve["e2e_ms"]["p50"])
        self.assertEqual(len(run["ranks"]), 2)
        self.assertNotEqual(run["ranks"][0]["node"], run["ranks"][1]["node"])

        html = (self.dir / "out" / "report.html").read_text()
        self.assertIn("<svg", html)
        # Self-contained: nothing is fetched, nothing is scripted from elsewhere.
        self.assertEqual(re.findall(r'(?:src|href)\s*=\s*["\'](?!#|data:)[^"\']+', html), [])
        self.check_other_reports(serve)

    def check_other_reports(self, serve):
        """The same numbers in the other formats."""
        folder = self.dir / "out"
        self.assertIn(": PASS", (folder / "report.md").read_text())
        with open(folder / "report.csv", newline="") as file:
            values = {(row["of"], row["metric"]): row["value"] for row in csv.DictReader(file)}
        self.assertEqual(float(values["run", "output tok/s"]), serve["output_tok_s"])
        self.assertEqual(float(values["run", "TTFT p50"]), serve["ttft_ms"]["p50"])
        suite = xml.etree.ElementTree.parse(folder / "report.junit.xml").getroot()
        self.assertGreater(int(suite.get("tests")), 5)
        self.assertEqual([suite.get(bad) for bad in ("failures", "errors", "skipped")], ["0"] * 3)

    def test_auto_rate_is_the_share_of_the_measured_capacity(self):
        cli = self.run_local(serve_job(rate="auto", share="20%"))
        self.assertEqual(cli.wait_exit(90), 0, cli.text())
        serve = self.report()["runs"][0]["serve"]
        self.assertGreater(serve["capacity_rate"], 0)
        self.assertEqual(serve["auto_share"], 0.2)
        self.assertAlmostEqual(serve["requested_rate"] / serve["capacity_rate"], 0.2, delta=0.002)
        self.assert_nothing_left()

    def test_json_output_is_json_and_nothing_else(self):
        cli = self.start("rackmark", "run", self.write_job(serve_job(duration="1s")), "--local", 2,
                         "--data", self.dir / "data", "--out", self.dir / "out", "--output", "json")
        self.assertEqual(cli.wait_exit(90), 0, cli.text())
        # Progress goes to stderr, which this harness reads too: lines before the document's brace
        # and after its last one.
        text = "\n" + cli.text()
        document = json.loads(text[text.index("\n{"):text.rindex("\n}") + 2])
        self.assertEqual(document["job_name"], "e2e")
        self.assertEqual(document["verdict"], "PASS")
        self.assertNotIn("VERDICT_", text)

    def test_library_jobs_are_valid_and_null_measures_the_instrument(self):
        cli = self.start("rackmark", "run", SOURCE / "jobs/library/null.yaml", "--local", 2,
                         "--data", self.dir / "data", "--out", self.dir / "out")
        self.assertEqual(cli.wait_exit(90), 0, cli.text())
        null = self.report()["runs"][0]["null"]
        self.assertGreater(null["samples"], 0)
        self.assertGreater(null["ns_per_sample"], 0)
        self.assert_nothing_left()

    def test_history_stays_and_second_run_works_on_the_same_data(self):
        for _ in range(2):
            cli = self.run_local(serve_job(duration="1s"))
            self.assertEqual(cli.wait_exit(90), 0, cli.text())
        streams = self.assert_streams_whole()
        self.assertEqual({key[0] for key in streams}, {1, 2})


class Load(TestCase):
    def test_three_times_capacity_is_invalid(self):
        cli = self.run_local(serve_job(duration="3s", rate="auto", share="300%"))
        self.assertEqual(cli.wait_exit(120), 3, cli.text())
        run = self.report()["runs"][0]
        self.assertEqual(run["verdict"], "INVALID")
        self.assertLess(run["serve"]["delivered_share"], 0.95)
        self.assertRegex(" ".join(run["reasons"]), r"of the scheduled requests ended in time")
        load = [c for c in run["checks"] if c["name"] == "load delivered"][0]
        self.assertEqual((load["verdict"], load["limit"]), ("INVALID", 0.95))
        self.assert_nothing_left()


if __name__ == "__main__":
    unittest.main()
