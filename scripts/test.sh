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

.venv/bin/ruff check
.venv/bin/ruff format --check
exec .venv/bin/python -m pytest "$@"
