#!/usr/bin/env bash
# Lint, then the tests: all of them, in a process a core, or what the arguments
# tell pytest:
#
#   ./scripts/test.sh tests/test_step.py -k accumulate
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/env.sh
prepare test,evals,plan,feedback

export JAX_PLATFORMS=${JAX_PLATFORMS:-cpu}
# Compiled programs are kept, so a second run is faster.
export JAX_COMPILATION_CACHE_DIR=${JAX_COMPILATION_CACHE_DIR:-$PWD/.venv/xla}

# A slip of style fails the run, and does not keep the tests from running.
style=0
.venv/bin/ruff check || style=1
.venv/bin/ruff format --check || style=1
# A file's tests stay together: they share what is compiled; conftest.py has
# their order. Four processes are enough for the memory of most machines.
[ $# -gt 0 ] || set -- -n logical --maxprocesses 4 --dist loadfile \
  --no-loadscope-reorder
.venv/bin/python -m pytest "$@"
exit $style
