#!/usr/bin/env bash
# Lint, then the tests; arguments go to pytest:
#
#   ./scripts/test.sh tests/test_step.py -k accumulate
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/env.sh
prepare test

export JAX_PLATFORMS=${JAX_PLATFORMS:-cpu}
# Compiled programs are kept, so a second run is faster.
export JAX_COMPILATION_CACHE_DIR=${JAX_COMPILATION_CACHE_DIR:-$PWD/.venv/xla}

# A slip of style fails the run, and does not keep the tests from running.
style=0
.venv/bin/ruff check || style=1
.venv/bin/ruff format --check || style=1
.venv/bin/python -m pytest "$@"
exit $style
