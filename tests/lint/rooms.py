#!/usr/bin/env python3
"""The laws that a compiler does not check, read from the sources and the built programs.

Rooms: who may include whom (docs/architecture.md has the same table in words).
Limits: lines per file, columns. Bans: calls and libraries that a room must not know.
Tests: every *_test.cc is reached by a glob of rackmark_room, so a folder with tests needs one.
Programs: none links CUDA but those for GPUs, which link what they promise and no driver.
"""
import argparse
import pathlib
import re
import subprocess
import sys

# Room -> rooms that it may include. A room is the longest of these prefixes of a file's path.
ROOMS = {
    "common": [],
    "samples": ["common"],
    "rpc": ["common"],
    "model": ["common"],
    "trace": ["common"],
    "cron": ["common"],
    "jobs": ["model", "cron", "common"],
    "report": ["samples", "common"],
    "kernels": ["common"],
    "kernels/cuda": ["kernels", "common"],
    "coordinator/plan": ["common"],
    "coordinator/schedule": ["cron", "common"],
    "coordinator/core": ["coordinator/plan", "coordinator/schedule", "cron", "common"],
    "coordinator/store": ["common", "samples"],
    "coordinator/serve": ["coordinator", "coordinator/core", "coordinator/store", "jobs", "rpc",
                          "samples", "common"],
    "coordinator": ["coordinator/core", "coordinator/store", "report", "rpc", "samples", "common"],
    "worker/device": ["common"],
    "worker/daemon": ["worker/device", "samples", "rpc", "common"],
    "worker/load": ["trace", "common"],
    "worker/serving": ["kernels", "model", "common"],
    "worker/rank": ["worker/serving", "worker/load", "kernels", "model", "trace", "samples",
                    "common"],
    "worker/rank/cuda": ["worker/rank", "kernels/cuda", "kernels", "common"],
    "worker": ["worker/daemon", "worker/device", "rpc", "common"],
    "cli": ["jobs", "trace", "report", "rpc", "common"],
}
# File -> rooms that it may include beside those of its room.
ALSO = {"coordinator/main.cc": ["coordinator/serve"]}
# Rooms that must not see the messages either (everybody else may include rackmark/v1).
NO_PROTO = {"common", "model", "cron", "coordinator/schedule", "kernels", "kernels/cuda",
            "worker/serving"}
PURE = {"model", "trace", "cron", "jobs", "report", "coordinator/plan", "coordinator/schedule",
        "coordinator/core"}

# Third-party header prefix -> files or rooms that may include it.
LIBRARIES = {
    "spdlog/": ["common/log.cc"],
    "zstd.h": ["samples/chunk_codec.cc"],
    "sqlite3.h": ["coordinator/store"],
    "libpq-fe.h": ["coordinator/store/pg_connection.cc"],
    "yaml-cpp/": ["jobs/yaml_reader.cc"],
    "nlohmann/": ["report", "jobs/schema.cc", "jobs/schema_suite.cc", "jobs/schema_tree.cc",
                  "jobs/schema_tree.h", "cli/validate.cc"],
    "gloo/": ["kernels/collective_gloo.cc"],
    "grpc": ["rpc", "coordinator/serve", "coordinator", "worker/daemon", "worker", "cli"],
    "cuda": ["kernels/cuda"], "cublas": ["kernels/cuda"], "nccl": ["kernels/cuda"],
}
PURE_BANS = [
    (r'#include <(thread|mutex|condition_variable|fstream|filesystem|iostream|chrono)>',
     "threads, files or clocks"),
    (r'#include <(unistd|fcntl|sys/\w+|time)\.h>', "system calls"),
    (r'\b(SystemClock|RandomHex|std::random_device|absl::Now)\b', "a clock or chance"),
    (r'\bunordered_(map|set)\b', "hash order, which must not reach a decision"),
]
BANS = [
    (r'\b(sleep_for|sleep_until|usleep|nanosleep)\s*\(', "sleeping", {"worker/rank"}),
    (r'\bsystem\s*\(\s*"', "system()", set()),
    (r'\b(strcpy|sprintf|strcat|gets)\s*\(', "an unbounded C string call", set()),
    (r'\b(TODO|FIXME|XXX)\b', "a leftover mark", set()),
    (r'\bthrow\b', "an exception of ours", set()),
]
MAX_LINES = 500
MAX_COLUMNS = 100


def room_of(path):
    parts = path.split("/")
    for n in range(len(parts) - 1, 0, -1):
        prefix = "/".join(parts[:n])
        if prefix in ROOMS:
            return prefix
    return None


def strip_comments(text):
    """Blanks comments and string contents, so that bans read code only; keeps line numbers."""
    def blank(match):
        token = match.group(0)
        if token.startswith("/"):
            return re.sub(r"[^\n]", " ", token)
        return '""'
    return re.sub(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"', blank, text, flags=re.S)


def check_includes(path, room, text):
    is_test = path.endswith("_test.cc") or "test" in pathlib.PurePath(path).name
    for number, line in enumerate(text.splitlines(), 1):
        match = re.match(r'\s*#include\s+["<]([^">]+)[">]', line)
        if not match:
            continue
        header = match.group(1)
        target = room_of(header)
        if target and target != room and target not in ROOMS[room] + ALSO.get(path, []):
            yield f"{path}:{number}: room {room} must not know {target} ({header})"
        if header.startswith("rackmark/v1/") and room in NO_PROTO:
            yield f"{path}:{number}: room {room} must not know the messages ({header})"
        for prefix, allowed in LIBRARIES.items():
            if header.startswith(prefix) and not target and not is_test and not any(
                    path == a or room == a for a in allowed):
                yield f"{path}:{number}: {header} is not allowed in room {room}"


def check_text(path, room, text):
    lines = text.splitlines()
    if len(lines) > MAX_LINES:
        yield f"{path}: {len(lines)} lines; the limit is {MAX_LINES}"
    for number, line in enumerate(lines, 1):
        if len(line) > MAX_COLUMNS and "#include" not in line and 'R"' not in line:
            yield f"{path}:{number}: {len(line)} columns; the limit is {MAX_COLUMNS}"
    code = strip_comments(text)
    for pattern, what, except_rooms in BANS:
        if room in except_rooms:
            continue
        for match in re.finditer(pattern, code):
            yield f"{path}:{code.count(chr(10), 0, match.start()) + 1}: {what} is banned"
    if room in PURE and not path.endswith("_test.cc"):
        for pattern, what in PURE_BANS:
            for match in re.finditer(pattern, text):
                line = text.count("\n", 0, match.start()) + 1
                yield f"{path}:{line}: pure room {room} must not know {what}: {match.group(0)}"


def check_header(path, text):
    if path.endswith(".h"):
        if "#pragma once" not in text:
            yield f"{path}: no #pragma once"
        if not text.startswith("//"):
            yield f"{path}: a header opens with what the thing is, who owns it, which thread"


def check_source(path, text):
    room = room_of(path)
    if room is None:
        return
    yield from check_includes(path, room, text)
    yield from check_text(path, room, text)
    yield from check_header(path, text)


def check_tree(source, files):
    built = {str(pathlib.PurePath(f).parent) for f in files if f.endswith("CMakeLists.txt")}
    for path in files:
        if path.endswith("_test.cc") and str(pathlib.PurePath(path).parent) not in built:
            yield f"{path}: no CMakeLists.txt beside it, so nobody runs it"
    for room in ROOMS:
        if (source / room).is_dir() and not (source / room / "README.md").exists() and \
                room not in ("worker", "coordinator", "worker/rank/cuda"):
            yield f"{room}: no README.md (what it knows, what it does not know, its invariants)"


# What a program for GPUs must link, and what it must not: the driver's own library is found at run
# time, so that the program starts without one and can say that there is none.
CUDA_LIBRARIES = ["libcudart.so", "libcublasLt.so", "libnccl.so"]
DRIVER = "libcuda.so"


def check_links(name, needed):
    """`needed`: what ldd, or readelf -d, says of the program."""
    if "cuda" in name:
        for library in CUDA_LIBRARIES:
            if library not in needed:
                yield f"{name} does not link {library}; it has no twin of what it promises"
        if DRIVER in needed:
            yield f"{name} links {DRIVER}; it would not start without a driver to say so"
        return
    for match in re.finditer(r"lib(cuda|cudart|cublas|nccl|nvidia)[^ \]]*", needed):
        yield f"{name} links {match.group(0)}; it would not start without the toolkit"


# The others are built where a toolkit is found.
PROGRAMS = ["rackmark", "rackmark-coordinator", "rackmark-worker", "rackmark-rank"]


def check_programs(folder):
    for name in PROGRAMS:
        if not (folder / name).is_file():
            yield f"{folder}/{name} is not there, so nobody knows what it links; build it first"
    for program in sorted(p for p in folder.glob("rackmark*") if p.is_file()):
        # A GPU program's own needs, not those of the libraries that it brings.
        tool = ["readelf", "-d"] if "cuda" in program.name else ["ldd"]
        out = subprocess.run([*tool, str(program)], capture_output=True, text=True, check=True)
        yield from check_links(program.name, out.stdout)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--source", type=pathlib.Path, required=True)
    parser.add_argument("--bin", type=pathlib.Path)
    args = parser.parse_args()
    listed = subprocess.run(["git", "-C", str(args.source), "ls-files"], capture_output=True,
                            text=True)
    files = listed.stdout.split()
    if not files:
        sys.exit("lint: not a git checkout, nothing to read")
    problems = list(check_tree(args.source, files))
    for path in files:
        if path.endswith((".cc", ".h", ".cu")) and (args.source / path).exists():
            problems += check_source(path, (args.source / path).read_text())
    if args.bin:
        problems += check_programs(args.bin)
    print("\n".join(problems))
    print(f"lint: {len(problems)} problems in {len(files)} files")
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
