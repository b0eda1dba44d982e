"""Config → objects: the only reader of config fields."""

from alignjax.build.models import (
  Model,
  checkpoints,
  generator,
  model,
  outline,
  placement,
  trained,
)
from alignjax.build.record import record
from alignjax.build.rows import Data, Prompt, check_vocabulary, data, prompts
from alignjax.build.training import (
  guard,
  noise,
  objective,
  objectives,
  optimizer,
  schedule,
)

__all__ = [
  "Data",
  "Model",
  "Prompt",
  "check_vocabulary",
  "checkpoints",
  "data",
  "generator",
  "guard",
  "model",
  "noise",
  "objective",
  "objectives",
  "optimizer",
  "outline",
  "placement",
  "prompts",
  "record",
  "schedule",
  "trained",
]
