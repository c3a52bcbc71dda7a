#!/usr/bin/env python3
"""CPU time of each process of a local cluster over the measured window of one job, as a share of one CPU.

  daemon_cpu.py BIN JOB.yaml DATA_FOLDER [more arguments of rackmark run]

Reads the scheduler's account of every process of BIN's programs every 500 ms and takes the longest span in
which the same ranks live; the first and the last second of it are left out (start, verification). Prints
the headline figures of the job's report beside it.
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time


def cpu_ns(pid):
    """Of all threads, in ns; the scheduler's own account, finer than the ticks of /proc/PID/stat."""
    total = 0
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        total += int((task / "schedstat").read_text().split()[0])
    return total


def snapshot(folder, data):
    """{(program, pid): cpu ns} of the programs of this cluster."""
    found = {}
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            program = pathlib.Path(os.readlink(entry / "exe"))
            if program.parent != folder:
                continue
            line = (entry / "cmdline").read_bytes()
            if program.name != "rackmark-rank" and data.encode() not in line:
                continue
            found[(program.name, int(entry.name))] = cpu_ns(entry.name)
        except (OSError, ValueError):
            continue
    return found


def main():
    folder, job, data = pathlib.Path(sys.argv[1]).resolve(), sys.argv[2], sys.argv[3]
    command = [folder / "rackmark", "run", job, "--local", "2", "--data", data, "--output", "json",
               "--out", data + "-out", *sys.argv[4:]]
    # Files, not pipes: nobody reads while the job runs, and a report is more than a pipe holds.
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as errors:
        runner = subprocess.Popen(command, stdout=out, stderr=errors)
        shots = []
        while runner.poll() is None:
            shots.append((time.monotonic(), snapshot(folder, data)))
            time.sleep(0.5)
        out.seek(0)
        errors.seek(0)
        if runner.returncode != 0:
            sys.exit(f"daemon_cpu.py: the job ended with {runner.returncode}: "
                     f"{errors.read()[-500:]}")
        report = json.load(out)
    with_ranks = [s for s in shots if any(name == "rackmark-rank" for name, _ in s[1])]
    inner = [s for s in with_ranks
             if with_ranks[0][0] + 1 <= s[0] <= with_ranks[-1][0] - 1]
    if len(inner) < 2:
        sys.exit("daemon_cpu.py: the job is too short; 4 s at least")
    (begin, first), (end, last) = inner[0], inner[-1]
    for key in sorted(last):
        if key in first:
            share = (last[key] - first[key]) / 1e9 / (end - begin)
            print(f"  {key[0]:22} {100 * share:7.2f} % of one CPU over {end - begin:.1f} s")
    for run in report.get("runs", []):
        for group in ("overhead", "serve", "null"):
            for name, value in sorted((run.get(group) or {}).items()):
                if isinstance(value, (int, float)):
                    print(f"  {group}.{name} {value:.6g}")


if __name__ == "__main__":
    main()
