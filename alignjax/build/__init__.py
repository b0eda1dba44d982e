"""Config → objects: the only reader of config fields."""

from alignjax.build.models import Model, generator, model, placement, trained
from alignjax.build.rows import Data, Prompt, check_vocabulary, data, prompts
from alignjax.build.training import (
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
  "data",
  "generator",
  "model",
  "objective",
  "objectives",
  "optimizer",
  "placement",
  "prompts",
  "schedule",
  "trained",
]
