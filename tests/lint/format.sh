#!/usr/bin/env bash
# clang-format decides layout: fails and names the files whose layout differs.
set -euo pipefail
cd "$(dirname "$0")/../.."
git ls-files '*.cc' '*.h' '*.cu' | xargs "$1" --dry-run -Werror
