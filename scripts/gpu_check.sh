#!/usr/bin/env bash
# On a machine with a GPU: tests that need one device, and scripts/gpu_check.py,
# whose options this takes. CUDA 13; `EXTRA=cuda12 scripts/gpu_check.sh` else.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/env.sh
prepare "test,${EXTRA:-cuda13}"
export ALIGNJAX_TEST_PLATFORM=${JAX_PLATFORMS:-cuda}
status=0
# Sums of float32 products are compared, not of TF32.
JAX_DEFAULT_MATMUL_PRECISION=highest .venv/bin/python -m pytest -q -k "not mesh" \
  tests/test_{attention,readout,sample,parity,generate,step_whole,losses}.py ||
  status=1
JAX_PLATFORMS=$ALIGNJAX_TEST_PLATFORM .venv/bin/python scripts/gpu_check.py "$@"
exit $status
