"""A harness that finds nothing proves nothing: it must find a bug that is there, keep its input,
and crash on that input again; and say so when there is none."""
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

PLANTED = os.environ["RACKMARK_PLANTED"]
LIBFUZZER = os.environ.get("RACKMARK_LIBFUZZER") == "1"


def run(*words, folder):
    return subprocess.run([PLANTED, *words], cwd=folder, capture_output=True, text=True,
                          timeout=300)


class Planted(unittest.TestCase):
    def test_the_bug_is_found_and_its_input_is_kept(self):
        with tempfile.TemporaryDirectory() as folder:
            seeds = pathlib.Path(folder) / "seeds"
            seeds.mkdir()
            (seeds / "one").write_bytes(b"PB\x03abc")
            if LIBFUZZER:
                words = ["-runs=2000000", "-seed=1", "-artifact_prefix=" + folder + "/crash-",
                         str(seeds)]
            else:
                words = ["--runs", "200000", "--seed", "1", "--out", folder, str(seeds)]
            found = run(*words, folder=folder)
            self.assertNotEqual(found.returncode, 0, found.stdout + found.stderr)
            kept = list(pathlib.Path(folder).glob("crash-*"))
            self.assertEqual(len(kept), 1, found.stderr[-2000:])
            data = kept[0].read_bytes()
            self.assertEqual(data[:2], b"PB")
            self.assertGreaterEqual(data[2], 200)
            again = run(str(kept[0]), folder=folder)
            self.assertNotEqual(again.returncode, 0, again.stdout + again.stderr)

    def test_no_bug_no_crash(self):
        with tempfile.TemporaryDirectory() as folder:
            good = pathlib.Path(folder) / "good"
            good.write_bytes(b"PB\x03abc")
            self.assertEqual(run(str(good), folder=folder).returncode, 0)


if __name__ == "__main__":
    sys.exit(unittest.main())
