#!/usr/bin/env python3
"""Each rule of the lint catches a planted fault, and lets the right thing pass."""
import pathlib
import shutil
import tempfile
import unittest

import rooms

OK = "// What it is.\n#pragma once\n"


def found(path, text):
    return "\n".join(rooms.check_source(path, text))


class Lint(unittest.TestCase):
    def test_rooms_are_longest_prefixes(self):
        self.assertEqual(rooms.room_of("coordinator/core/state.h"), "coordinator/core")
        self.assertEqual(rooms.room_of("coordinator/loop.cc"), "coordinator")
        self.assertIsNone(rooms.room_of("tests/e2e/x.cc"))

    def test_forbidden_neighbours(self):
        self.assertIn("must not know", found("worker/load/a.cc", '#include "coordinator/core/state.h"\n'))
        self.assertIn("must not know", found("model/a.cc", '#include "jobs/spec.h"\n'))
        self.assertEqual("", found("jobs/a.cc", '#include "model/presets.h"\n'))
        for path, header in (("coordinator/core/a.cc", "jobs/spec.h"),
                             ("coordinator/serve/a.cc", "report/judge.h"),
                             ("report/a.cc", "model/presets.h"), ("cli/a.cc", "model/presets.h"),
                             ("coordinator/loop.cc", "coordinator/serve/auth.h")):
            self.assertIn("must not know", found(path, f'#include "{header}"\n'))
        # Who starts the services has to know them.
        self.assertEqual("", found("coordinator/main.cc", '#include "coordinator/serve/auth.h"\n'))

    def test_libraries_stay_in_their_files(self):
        self.assertIn("not allowed", found("jobs/a.cc", '#include "grpcpp/server.h"\n'))
        self.assertIn("not allowed", found("cli/a.cc", '#include <sqlite3.h>\n'))
        self.assertIn("not allowed", found("jobs/a.cc", '#include <yaml-cpp/yaml.h>\n'))
        self.assertEqual("", found("jobs/yaml_reader.cc", '#include <yaml-cpp/parser.h>\n'))
        self.assertIn("must not know the messages", found("model/a.cc", '#include "rackmark/v1/run.pb.h"\n'))
        self.assertIn("must not know the messages", found("kernels/a.cc", '#include "rackmark/v1/run.pb.h"\n'))

    def test_cuda_stays_in_its_rooms(self):
        self.assertIn("not allowed", found("kernels/a.cc", '#include <cuda_runtime_api.h>\n'))
        self.assertIn("not allowed", found("worker/rank/cuda/a.cc", '#include <nccl.h>\n'))
        self.assertEqual("", found("kernels/cuda/a.cc", '#include <cublasLt.h>\n'))
        self.assertIn("must not know", found("worker/rank/a.cc", '#include "kernels/cuda/device.h"\n'))
        self.assertIn("must not know", found("kernels/a.cc", '#include "kernels/cuda/device.h"\n'))

    def test_programs_link_what_they_may(self):
        def links(name, needed):
            return "\n".join(rooms.check_links(name, needed))
        whole = "libcudart.so.13 libcublasLt.so.13 libnccl.so.2 libc.so.6"
        self.assertEqual("", links("rackmark-rank-cuda", whole))
        self.assertIn("libnccl.so", links("rackmark-rank-cuda", "libcudart.so.13 libcublasLt.so.13"))
        self.assertIn("without a driver", links("rackmark-rank-cuda", whole + " libcuda.so.1"))
        self.assertEqual("", links("rackmark-worker", "libc.so.6 libgrpc++.so.1.51"))
        self.assertIn("libcudart.so.13", links("rackmark-worker", "libcudart.so.13 => /x"))
        self.assertIn("libcublas", links("rackmark", "[libcublasLt.so.13]"))

    def test_a_program_that_is_not_there_is_a_problem(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder)
            self.assertEqual(len(list(rooms.check_programs(path))), len(rooms.PROGRAMS))
            self.assertEqual(len(list(rooms.check_programs(path / "none"))), len(rooms.PROGRAMS))
            for name in rooms.PROGRAMS[1:]:
                shutil.copy("/bin/true", path / name)
            (path / "rackmark-data").mkdir()  # somebody ran it there
            found_all = list(rooms.check_programs(path))
            self.assertEqual(len(found_all), 1, found_all)
            self.assertIn("/rackmark is not there", found_all[0])

    def test_pure_rooms_have_no_clock(self):
        self.assertIn("clock", found("coordinator/core/a.cc", "auto now = SystemClock().Unix();\n"))
        self.assertIn("hash order", found("coordinator/plan/a.cc", "std::unordered_map<int, int> m;\n"))
        self.assertIn("files or clocks", found("report/a.cc", "#include <fstream>\n"))

    def test_bans_read_code_and_not_words(self):
        self.assertIn("sleeping", found("cli/a.cc", "std::this_thread::sleep_for(d);\n"))
        self.assertEqual("", found("cli/a.cc", '// never sleep_for( here\nauto s = "sleep_for(";\n'))

    def test_limits(self):
        self.assertIn("columns", found("cli/a.cc", "x" * 101 + "\n"))
        self.assertIn("lines", found("cli/a.cc", "\n" * 501))
        self.assertIn("opens with", found("cli/a.h", "#pragma once\n"))
        self.assertIn("pragma", found("cli/a.h", "// What it is.\n"))
        self.assertEqual("", found("cli/a.h", OK))


if __name__ == "__main__":
    unittest.main()
