"""The bundle runs where nothing of this machine can help it: not its search paths, and, where the
test may make such a place, not even its files."""
import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

from harness import BIN, SOURCE, TestCase

JOB = """\
apiVersion: rackmark/v1
kind: Job
metadata: {name: bundle}
spec:
  gang: {devices: 2, per_node: 1, device: cpu}
  workload:
    null: {duration: 300ms, samples_per_step: 4}
"""
# What belongs to the C library, and to the CUDA toolkit, of the machine that it runs on.
OUTSIDE = r"^(ld-linux|lib(c|m|dl|rt|pthread|resolv|cuda|cudart|cublas|cublasLt|nccl)\.so)"


# Instrumented programs have several times the size that a bundle may have.
@unittest.skipIf(os.environ.get("RACKMARK_SANITIZE"), "nobody bundles programs with a sanitizer")
class Bundle(TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        folder = tempfile.TemporaryDirectory(prefix="rm-bundle-")
        cls.addClassCleanup(folder.cleanup)
        cls.out = pathlib.Path(folder.name) / "bundle"
        cls.made = subprocess.run([SOURCE / "scripts/bundle", "--build", BIN.parent, cls.out],
                                  capture_output=True, text=True)

    def bundle(self):
        """The one bundle of all tests here: making it takes longer than what they do with it."""
        self.assertEqual(self.made.returncode, 0, self.made.stdout + self.made.stderr)
        size = re.search(r"([\d.]+) MiB", self.made.stdout)
        self.assertIsNotNone(size, self.made.stdout)
        self.assertLess(float(size.group(1)), 60)
        (self.out / "job.yaml").write_text(JOB)
        return self.out

    def assert_whole(self, out):
        """Every program's libraries are the bundle's own, but for the C library's."""
        names = sorted(path.name for path in (out / "bin").iterdir())
        self.assertTrue({"rackmark", "rackmark-coordinator", "rackmark-worker",
                         "rackmark-rank"} <= set(names), names)
        for name in names:
            text = subprocess.run(["ldd", out / "bin" / name], capture_output=True, text=True,
                                  env={"PATH": "/usr/bin:/bin"}, check=True).stdout
            for soname, where in re.findall(r"^\s*(\S+) => (not found|\S+)", text, re.M):
                if not re.match(OUTSIDE, soname):
                    self.assertTrue(os.path.realpath(where).startswith(f"{out.resolve()}/lib/"),
                                    f"{name} takes {soname} from {where}")
            dynamic = subprocess.run(["readelf", "-d", out / "bin" / name], capture_output=True,
                                     text=True, check=True).stdout
            paths = re.findall(r"(?:RPATH|RUNPATH).*\[(.*)\]", dynamic)
            self.assertEqual(paths, ["$ORIGIN/../lib"], f"{name} remembers other folders")

    def test_it_is_whole_small_and_runs_without_this_machines_paths(self):
        out = self.bundle()
        self.assert_whole(out)
        facts = json.loads((out / "bundle.json").read_text())
        self.assertIn("rackmark-rank", facts["programs"])
        for part in ("LICENSE", "README.md", "jobs/library/quickstart.yaml", "docs/architecture.md",
                     "scripts/gpu-check"):
            self.assertTrue((out / part).is_file(), part)
        ran = subprocess.run([out / "bin/rackmark", "run", out / "job.yaml", "--local", "2", "--out",
                              self.dir / "out", "--data", self.dir / "data"],
                             env={"XDG_RUNTIME_DIR": str(self.dir), "RACKMARK_E2E_MARK": self.mark},
                             cwd=self.dir, capture_output=True, text=True, timeout=120)
        self.assertEqual(ran.returncode, 0, ran.stdout + ran.stderr)
        self.assert_nothing_left()

    def test_it_runs_in_a_root_with_nothing_but_the_c_library(self):
        if os.geteuid() != 0 or subprocess.run(["unshare", "-m", "true"]).returncode != 0:
            self.skipTest("making an empty root needs root and mount namespaces")
        out = self.bundle()
        root = self.dir / "root"
        for folder in ("proc", "dev", "tmp", "etc", "lib64"):
            (root / folder).mkdir(parents=True)
        # The loader and the C library, at the places where this machine's programs look for them.
        text = subprocess.run(["ldd", out / "bin/rackmark-coordinator"], capture_output=True,
                              text=True, check=True).stdout
        system = re.findall(r"((?:/usr)?/lib(?:64)?/\S*?/?(?:ld-linux|lib(?:c|m|resolv|dl|rt|pthread)\.so)"
                            r"\S*) \(0x", text)
        self.assertTrue(system, text)
        for path in system:
            target = root / path.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(os.path.realpath(path), target)
            target.chmod(0o755)
        (root / "bundle").mkdir()
        ran = subprocess.run(
            ["unshare", "-m", "--", "sh", "-c",
             'mount --rbind /proc "$0/proc" && mount --rbind /dev "$0/dev" && '
             'mount --bind "$1" "$0/bundle" && exec chroot "$0" /bundle/bin/rackmark run '
             '/bundle/job.yaml --local 2 --out /tmp/out --data /tmp/data', root, out],
            env={"PATH": os.environ["PATH"], "XDG_RUNTIME_DIR": "/tmp",
                 "RACKMARK_E2E_MARK": self.mark},
            capture_output=True, text=True, timeout=120)
        self.assertEqual(ran.returncode, 0, ran.stdout + ran.stderr)
        report = json.loads((root / "tmp/out/report.json").read_text())
        self.assertTrue(report)
        self.assert_nothing_left()

    def test_another_folder_is_not_overwritten(self):
        folder = self.dir / "mine"
        folder.mkdir()
        (folder / "letter.txt").write_text("keep")
        made = subprocess.run([SOURCE / "scripts/bundle", "--build", BIN.parent, folder],
                              capture_output=True, text=True)
        self.assertEqual(made.returncode, 1)
        self.assertIn("is no bundle", made.stderr)
        self.assertEqual((folder / "letter.txt").read_text(), "keep")


if __name__ == "__main__":
    unittest.main()
