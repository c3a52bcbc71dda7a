"""GPUs as a node offers them, from a management library of our own: a job for them is placed on
them, and where its rank cannot run it is SKIPPED with the reason, never run on something else."""
import json
import subprocess
import time
import unittest

from harness import BIN, SOURCE, TestCase

JOB = """\
apiVersion: rackmark/v1
kind: Job
metadata: {name: gpu}
spec:
  gang: {devices: 2, device: gpu}
  workload:
    null: {duration: 200ms, samples_per_step: 4}
"""
FAKE_NVML = BIN.parent / "testlib/fake_nvml.so"


class Gpus(TestCase):
    def cluster(self, *worker_flags, **env):
        self.env.update(env)
        coordinator = self.start("rackmark-coordinator", "--data", self.dir / "data", "--listen",
                                 f"unix:{self.dir}/c.sock")
        coordinator.wait_line(r"serving ", 30)
        where = ["--coordinator", f"unix:{self.dir}/c.sock"]
        worker = self.start("rackmark-worker", *where, "--name", "gpu-node", "--data",
                            self.dir / "w", "--cpu-slots", 1, *worker_flags)
        worker.wait_line(r"node gpu-node with \d+ devices", 30)
        return worker, where

    def gpus(self, where):
        """What the node offers, once the coordinator knows it."""
        deadline = time.monotonic() + 60
        while True:
            nodes = self.lists("nodes", *where)
            if nodes:
                return [d for d in nodes[0]["info"]["devices"] if d["kind"] == "GPU"]
            self.assertLess(time.monotonic(), deadline, "the node never reported")

    def assert_skipped(self, where, reason):
        code, text = self.run_cli("run", self.write_job(JOB), *where, "--out", self.dir / "out")
        self.assertEqual(code, 6, text)
        # The report breaks lines where they are full.
        self.assertRegex(" ".join(text.split()), reason)

    def test_they_are_offered_and_a_job_without_its_program_is_skipped(self):
        _, where = self.cluster("--nvml-library", FAKE_NVML, "--gpu-rank-program",
                                self.dir / "rackmark-rank-cuda", FAKE_NVML="fabric",
                                FAKE_NVML_GPUS="2")
        self.assertEqual([d["uuid"] for d in self.gpus(where)],
                         [f"GPU-fa4e0000-0000-0000-0000-{i:012}" for i in range(2)])
        self.assert_skipped(where, r"program for GPU ranks, .*rackmark-rank-cuda: No such file")

    def test_parts_and_what_the_operator_says_of_the_node_are_listed(self):
        _, where = self.cluster("--nvml-library", FAKE_NVML, "--label", "pool=a,zone=eu-1", "--label",
                                "spare=no", "--rack", "rack 7", FAKE_NVML="link-down",
                                FAKE_NVML_GPUS="2")
        gpus = self.gpus(where)
        self.assertEqual([(d["serial"], d["slot"], d["links"]) for d in gpus],
                         [("1650000000000", "module 1", 18), ("1650000000001", "module 2", 17)])
        info = self.lists("nodes", *where)[0]["info"]
        self.assertEqual(info["labels"], {"pool": "a", "zone": "eu-1", "spare": "no"})
        self.assertEqual((info["rack"], info["driver"]), ("rack 7", "999.01.02"))

    def test_a_gpu_rank_that_finds_no_device_is_skipped_with_the_reason(self):
        if not (BIN / "rackmark-rank-cuda").exists():
            self.skipTest("this build has no CUDA part")
        _, where = self.cluster("--nvml-library", FAKE_NVML, FAKE_NVML_GPUS="2")
        # Also on a machine with GPUs: none of them has such a name.
        self.assertEqual(len(self.gpus(where)), 2)
        self.assert_skipped(where, r"no GPU that this process can use")

    def test_without_a_driver_there_are_none_and_the_log_says_why(self):
        worker, where = self.cluster("--nvml-library", FAKE_NVML, FAKE_NVML="no-driver")
        self.assertEqual(self.gpus(where), [])
        worker.wait_line(r"GPUs: nvmlInit_v2: Driver Not Loaded", 30)
        code, text = self.run_cli("run", self.write_job(JOB), *where)
        self.assertEqual(code, 11, text)

    def test_none_offers_none(self):
        _, where = self.cluster("--nvml-library", FAKE_NVML, "--gpus", "none", FAKE_NVML_GPUS="2")
        self.assertEqual(self.gpus(where), [])

    def test_gpu_check_without_a_device_is_skipped_step_by_step(self):
        out = self.dir / "check"
        ran = subprocess.run([SOURCE / "scripts/gpu-check", "--bin", BIN, "--out", out],
                             capture_output=True, text=True, env=self.env, timeout=500)
        report = json.loads((out / "gpu-check.json").read_text())
        if report["provenance"]["gpus"]:
            self.skipTest("this machine has a GPU; its check is not this test's")
        self.assertEqual(ran.returncode, 6, ran.stdout + ran.stderr)
        self.assertEqual(report["status"], "SKIPPED")
        self.assertEqual([step["name"] for step in report["steps"]], ["tests", "bench", "null-job"])
        for step in report["steps"]:
            self.assertEqual(step["status"], "SKIPPED", step)
            self.assertTrue(step["reason"], step)
        self.assertEqual(report["provenance"]["rackmark"]["git_commit"],
                         json.loads(self.run_cli("version", "--output", "json")[1])["git_commit"])
        self.assert_nothing_left()


if __name__ == "__main__":
    unittest.main()
