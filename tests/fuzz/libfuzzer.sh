#!/bin/sh
# libfuzzer.sh DRIVER FUZZER [FINDINGS]: 10 s of libFuzzer on the seeds that the driver writes.
set -eu
driver=$1
fuzzer=$2
shift 2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$driver" --write-seeds "$work/seeds"
mkdir "$work/corpus"
status=0
"$fuzzer" -max_total_time=10 -timeout=60 -rss_limit_mb=4096 -max_len=65536 -verbosity=1 \
  -print_final_stats=1 -artifact_prefix="$work/crash-" "$work/corpus" "$work/seeds" "$@" || status=$?
for file in "$work"/crash-*; do
  [ -e "$file" ] || continue
  echo "input of the crash, base64:"
  base64 "$file"
done
exit $status
