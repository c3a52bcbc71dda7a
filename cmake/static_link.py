#!/usr/bin/env python3
"""Runs a link command with some shared libraries replaced by their archives.

For programs whose start is measured: the dynamic loader takes about 7 ms of CPU for the thirty
libraries of protobuf and abseil. A library without an archive stays shared.
"""
import os
import re
import subprocess
import sys

STATIC = re.compile(r"^(.*/lib(?:protobuf|zstd|absl_\w+))\.so[.\d]*$")


def rewrite(arguments):
    kept, archives = [], []
    for argument in arguments:
        match = STATIC.match(argument)
        archive = match and match.group(1) + ".a"
        if archive and os.path.exists(archive):
            if archive not in archives:
                archives.append(archive)
        else:
            kept.append(argument)
    if archives:
        kept += ["-Wl,--start-group", *archives, "-Wl,--end-group"]
    return kept


if __name__ == "__main__":
    sys.exit(subprocess.run(rewrite(sys.argv[1:])).returncode)
