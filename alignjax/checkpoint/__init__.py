"""Checkpoints of a training state that can be verified.

STEP/
  params/ moments/ rest/   arrays, written by orbax
  record.json          the run that the step belongs to
  manifest.HOST.json   size and sha256 of every file, by the host that wrote it
  COMMIT               sha256 of every manifest, written last
"""

from alignjax.checkpoint.checkpoints import Checkpoints
from alignjax.checkpoint.record import differing, refuse
from alignjax.checkpoint.search import Found

__all__ = ["Checkpoints", "Found", "differing", "refuse"]
