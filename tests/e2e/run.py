"""Runs one module of end-to-end tests, so that no skip looks like a pass.

  run.py MODULE    exit status 0, 1 (a test failed), or 77 if everything in it was skipped

Each skip is told on a line of its own, "skipped: TEST: REASON", which scripts/test gathers.
"""
import sys
import unittest

SKIPPED = 77


class Result(unittest.TextTestResult):
    passed = 0

    def addSuccess(self, test):
        super().addSuccess(test)
        self.passed += 1


def main(module):
    suite = unittest.defaultTestLoader.loadTestsFromName(module)
    result = unittest.TextTestRunner(verbosity=2, resultclass=Result).run(suite)
    for test, reason in result.skipped:
        print(f"skipped: {test.id()}: {reason}", flush=True)
    if not result.wasSuccessful():
        return 1
    return SKIPPED if result.skipped and result.passed == 0 else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
