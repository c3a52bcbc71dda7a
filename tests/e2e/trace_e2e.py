"""Real traces, replayed: 60 s of each, and what happens to one that is not as it should be."""
import csv
import datetime
import hashlib
import json
import math
import os
import pathlib
import unittest

from harness import SOURCE, TestCase

DATA = pathlib.Path(os.environ.get("RACKMARK_DATA_DIR", SOURCE / ".." / "shared" / "data"))
AZURE = DATA / "AzureLLMInferenceTrace_conv.csv"
MOONCAKE = DATA / "mooncake_conversation_trace.jsonl"

JOB = """\
apiVersion: rackmark/v1
kind: Job
metadata: {name: trace}
spec:
  seed: 3
  gang: {devices: 2, per_node: 1, device: cpu}
  workload:
    serve: {model: nano-1m, kv_block_tokens: 8, kv_memory: 32MiB, max_batch: 16}
  load:
    %s
    warmup: 200ms
"""


def read_azure(path):
    """[(seconds from the first, prompt, output, hashes)], by another reader than Rackmark's."""
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))

    def ticks(text):
        day, fraction = text.split(".")
        moment = datetime.datetime.strptime(day, "%Y-%m-%d %H:%M:%S")
        return (moment - datetime.datetime(2023, 1, 1)) // datetime.timedelta(seconds=1) * 10**7 \
            + int(fraction)
    first = ticks(rows[0]["TIMESTAMP"])
    return [((ticks(r["TIMESTAMP"]) - first) / 1e7, int(r["ContextTokens"]),
             int(r["GeneratedTokens"]), []) for r in rows]


def read_mooncake(path):
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    first = rows[0]["timestamp"]
    return [((r["timestamp"] - first) / 1e3, r["input_length"], r["output_length"], r["hash_ids"])
            for r in rows]


def expected(rows, time_scale, length_scale, length_max, duration):
    """What a replay must count: PROTOCOL 7 in a few lines."""
    def scaled(n):
        return max(1, math.floor(n * length_scale + 0.5))
    block, seen, kept, dropped, hit = scaled(512), set(), [], 0, 0
    for offset, prompt, output, hashes in rows:
        if offset * time_scale >= duration:
            break
        prompt, output = scaled(prompt), scaled(output)
        if prompt + output > length_max:
            dropped += 1
            continue
        for i, h in enumerate(hashes):
            begin = i * block
            end = prompt if i + 1 == len(hashes) else min(prompt, begin + block)
            hit += end - begin if h in seen and begin < prompt else 0
        seen.update(hashes)
        kept.append((offset * time_scale, prompt, output))
    share = hit / sum(prompt for _, prompt, _ in kept) if any(r[3] for r in rows) else None
    return {"requests": len(kept), "dropped": dropped, "input": sum(k[1] for k in kept),
            "output": sum(k[2] for k in kept), "share": share, "kept": kept}


class Replay(TestCase):
    # 60 s of the trace in 6 s, small enough for two CPU ranks of a loaded machine.
    TIME, LENGTH, LONGEST, SECONDS = 0.1, 1 / 64, 120, 6

    def replay(self, path, want):
        load = "\n    ".join(["rate: 3/s", "prompt_tokens: 4", "output_tokens: 4"])
        cli = self.run_local(JOB % load, "--set", f"load.trace={path}", "--set",
                             f"load.time_scale={self.TIME}", "--set",
                             f"load.length_scale={self.LENGTH}", "--set",
                             f"load.length_max={self.LONGEST}", "--set",
                             f"load.duration={self.SECONDS}s")
        code = cli.wait_exit(240)
        # Whether a loaded machine delivers a production service's load is not ours to say; that it
        # says so truly is.
        self.assertIn(code, (0, 3), cli.text())
        self.assertIn("uploaded", cli.text())
        run = self.report()["runs"][0]
        serve, trace = run["serve"], run["spec"]["serve"]["load"]["trace"]
        if code == 3:
            self.assertEqual([c["name"] for c in run["checks"] if c["verdict"] != "PASS"],
                             ["load delivered"], run["checks"])
            self.assertLess(serve["delivered_share"], 0.99)

        self.assertEqual(trace["sha256"], hashlib.sha256(path.read_bytes()).hexdigest())
        self.assertEqual(trace["name"], path.name)
        self.assertEqual(trace["requests"], want["requests"])
        self.assertEqual(trace["dropped_long"], want["dropped"])
        self.assertEqual(trace["input_tokens"], want["input"])
        self.assertEqual(trace["output_tokens"], want["output"])
        self.assertEqual(serve["requests_scheduled"], want["requests"])
        self.assertAlmostEqual(serve["requested_rate"], want["requests"] / self.SECONDS, places=6)
        self.assert_streams_whole()
        self.assert_nothing_left()
        self.assertIn(path.name, (self.dir / "out" / "report.html").read_text())
        return run

    @unittest.skipUnless(AZURE.exists(), f"no {AZURE.name} in RACKMARK_DATA_DIR")
    def test_60_s_of_azure(self):
        want = expected(read_azure(AZURE), self.TIME, self.LENGTH, self.LONGEST, self.SECONDS)
        self.assertGreater(want["requests"], 100)
        run = self.replay(AZURE, want)
        self.assertIsNone(run["spec"]["serve"]["load"]["trace"]["prefix_share"])
        self.assertIsNone(run["serve"]["prefix_hit_share"])
        self.assertIn("prefix cache hit rate", [m["name"] for m in run["missing"]])

    @unittest.skipUnless(MOONCAKE.exists(), f"no {MOONCAKE.name} in RACKMARK_DATA_DIR")
    def test_60_s_of_mooncake(self):
        rows = read_mooncake(MOONCAKE)
        want = expected(rows, self.TIME, self.LENGTH, self.LONGEST, self.SECONDS)
        self.assertGreater(want["requests"], 50)
        self.assertGreater(want["dropped"], 0)
        run = self.replay(MOONCAKE, want)
        self.assertAlmostEqual(run["spec"]["serve"]["load"]["trace"]["prefix_share"],
                               want["share"], places=9)
        # Whole blocks are reused, so some of what could be is not; and some is.
        hit = run["serve"]["prefix_hit_share"]
        self.assertGreater(hit, 0)
        if run["serve"]["requests_completed"] == want["requests"]:
            self.assertLessEqual(hit, want["share"])
        self.assertNotIn("prefix cache hit rate", [m["name"] for m in run["missing"]])


AZURE_HEAD = "TIMESTAMP,ContextTokens,GeneratedTokens\n"


class Refusals(TestCase):
    def refuse(self, text, message, name="bad.csv", *more):
        path = self.dir / name
        path.write_text(text)
        cli = self.run_local(JOB % f"trace: {path}", *more)
        self.assertEqual(cli.wait_exit(30), 10, cli.text())
        self.assertRegex(cli.text(), message)
        self.assertFalse((self.dir / "data").exists(), "something was started")
        self.assertFalse((self.dir / "out").exists())
        self.assert_nothing_left()

    def test_malformed_line_in_the_middle_of_a_csv(self):
        good = "2023-11-16 18:15:46.68,374,44\n"
        self.refuse(AZURE_HEAD + 3 * good + "2023-11-16 18:15:47,12x,44\n" + good,
                    r"job\.yaml:10:12: spec\.load\.trace: \S*bad\.csv:5: ContextTokens is "
                    r"\"12x\"; it must be")

    def test_malformed_line_in_the_middle_of_a_jsonl(self):
        good = '{"timestamp": 7, "input_length": 5, "output_length": 1, "hash_ids": [1]}\n'
        self.refuse(good + good.replace("[1]", "[1, 2]") + good,
                    r"bad\.jsonl:2: hash_ids has 2 hashes for 5 prompt tokens; write 1",
                    "bad.jsonl")

    def test_descending_timestamps(self):
        self.refuse(AZURE_HEAD + "2023-11-16 18:15:46,1,1\n2023-11-16 18:15:45,1,1\n",
                    r"bad\.csv:3: its timestamp is 1 s before that of the line above; sort")

    def test_no_such_file_and_the_flag_that_named_it(self):
        none = self.dir / "none.csv"
        self.refuse(AZURE_HEAD, rf"--set load\.trace={none}: spec\.load\.trace: {none}: cannot be "
                    r"read: No such file or directory; check the path", "bad.csv", "--set", f"load.trace={none}")

    def test_contradiction_names_the_key(self):
        path = self.dir / "good.csv"
        path.write_text(AZURE_HEAD + "2023-11-16 18:15:46,1,1\n")
        code, text = self.run_cli("run", self.write_job(JOB % f"trace: {path}\n    rate: 4/s"),
                                  "--local", 2)
        self.assertEqual(code, 10, text)
        self.assertRegex(text, r"job\.yaml:11:11: spec\.load\.rate: means nothing beside a trace")

    def test_requests_beyond_the_model_need_a_length_max(self):
        self.refuse(AZURE_HEAD + "2023-11-16 18:15:46,9000,1\n",
                    r"9001 tokens, and nano-1m holds 4096; write a length_max")


class Short(TestCase):
    def test_whole_trace_last_line_without_newline_and_equal_stamps(self):
        path = self.dir / "short.csv"
        path.write_text(AZURE_HEAD.replace("\n", "\r\n") +
                        "2023-11-16 18:15:46.25,9,3\r\n2023-11-16 18:15:46.25,5,2\r\n"
                        "2023-11-16 18:15:47.25,17,4")
        cli = self.run_local(JOB % f"trace: {path}")
        self.assertEqual(cli.wait_exit(120), 0, cli.text())
        run = self.report()["runs"][0]
        self.assertEqual(run["serve"]["requests_completed"], 3)
        self.assertAlmostEqual(run["serve"]["window_s"], 1.5, places=6)
        self.assertEqual(run["spec"]["serve"]["load"]["trace"]["input_tokens"], 31)
        # The record is the artifact's hash; the path is nobody's business.
        self.assertNotIn(str(self.dir), json.dumps(run["spec"]["serve"]))
        self.assert_nothing_left()


if __name__ == "__main__":
    unittest.main()
