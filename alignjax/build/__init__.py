"""Config → objects: the only reader of config fields."""

from alignjax.build.annotations import moving, per_batch, with_reference
from alignjax.build.layouts import row_parts
from alignjax.build.models import (
  Model,
  checkpoints,
  generator,
  model,
  outline,
  placement,
  trained,
  weights,
)
from alignjax.build.plans import alarms, warmup
from alignjax.build.reading import check_losses
from alignjax.build.reading import is_read as reads_reference
from alignjax.build.record import record
from alignjax.build.rollouts import asked
from alignjax.build.rows import Data, Prompt, check_vocabulary, data, prompts
from alignjax.build.teachers import taught, teacher_weights
from alignjax.build.training import (
  check_counts,
  check_labels,
  guard,
  noise,
  objective,
  objectives,
  optimizer,
  schedule,
  stored,
)

__all__ = [
  "alarms",
  "Data",
  "Model",
  "Prompt",
  "asked",
  "check_vocabulary",
  "check_counts",
  "check_labels",
  "check_losses",
  "checkpoints",
  "data",
  "generator",
  "guard",
  "model",
  "moving",
  "noise",
  "objective",
  "objectives",
  "optimizer",
  "outline",
  "row_parts",
  "per_batch",
  "placement",
  "prompts",
  "reads_reference",
  "record",
  "schedule",
  "stored",
  "taught",
  "teacher_weights",
  "trained",
  "warmup",
  "weights",
  "with_reference",
]
