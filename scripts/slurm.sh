#!/usr/bin/env bash
# A run on a SLURM cluster: one process a node, with all of its GPUs.
#
#   sbatch --nodes 4 --gpus-per-node 8 --time 12:00:00 \
#     scripts/slurm.sh --config configs/dpo.py --workdir runs/dpo
#
# Two minutes before the time is over, and where it is preempted, the run saves
# and is queued again, and goes on from there; so it is after a node was lost.
#SBATCH --job-name alignjax
#SBATCH --ntasks-per-node 1
#SBATCH --requeue
#SBATCH --open-mode append
#SBATCH --signal TERM@120
set -euo pipefail
cd "${SLURM_SUBMIT_DIR:-$(dirname "$0")/..}"

# All nodes are one run, and end each other: SIGTERM would cut their save short.
status=0
srun --kill-on-bad-exit=0 --wait=120 \
  .venv/bin/alignjax train --hosts=auto "$@" || status=$?
if [ "$status" = 75 ] && [ -n "${SLURM_JOB_ID:-}" ]; then
  echo "interrupted: queued again" >&2
  scontrol requeue "$SLURM_JOB_ID"
fi
exit "$status"
