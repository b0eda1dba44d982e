"""The run folder: metrics, samples, progress, and what the run was made of.

    DIR/metrics.jsonl   one JSON object a line: step, values, wall_s
    DIR/evaluations.jsonl   held-out metrics
    DIR/samples.jsonl   one sampled completion a line
    DIR/events.jsonl    steps that were skipped, spikes, with their rows
    DIR/tensorboard/    the same, as TensorBoard events
    DIR/config.json     the resolved configuration
    DIR/run.json        versions, commit, command, devices

The JSON-lines files are the record; the rest is a view of them. Nothing here
imports jax. On many hosts, one process alone owns the folder.
"""

from alignjax.log.progress import Counting
from alignjax.log.provenance import environment, write_run
from alignjax.log.records import read_metrics, replace_file
from alignjax.log.run import NoLog, RunLog

__all__ = [
  "Counting",
  "NoLog",
  "RunLog",
  "environment",
  "read_metrics",
  "replace_file",
  "write_run",
]
