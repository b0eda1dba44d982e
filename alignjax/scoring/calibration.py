"""Scores of mean 0 and standard deviation 1 on reference completions.

What a policy is rewarded with should not depend on where a reward model happens
to have its zero and how steep it is (Ziegler et al. 2019 normalise so). Mean
and deviation are kept in the model's own folder, in `config.json`.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from alignjax.checkpoint.files import open_folder, write

LEAST = 1e-6  # standard deviation, as a part of the largest score


def check(model: str) -> None:
  """Raises ValueError where nothing can be kept with a model."""
  if not (Path(model).expanduser() / "config.json").is_file():
    raise ValueError(
      "--calibrate keeps mean and deviation in the model's folder, and "
      f"{model} is none.\n"
      "Write one first: alignjax export --model … --out FOLDER."
    )


def moments(
  scores: Float[np.ndarray, "n k"],
) -> tuple[tuple[float, ...], tuple[float, ...]]:
  """(means, standard deviations of the population) of each head.

  Raises ValueError where a head says the same of all completions.
  """
  scores = scores.astype(np.float64)
  mean, std = scores.mean(0), scores.std(0)
  for head in np.flatnonzero(std <= LEAST * np.abs(scores).max(0)).tolist():
    raise ValueError(
      f"Head {head} scores all {len(scores)} reference completions "
      f"{mean[head]:g}: a standard deviation of 0.\n"
      "Give more and other completions, or train the model first."
    )
  return tuple(mean.tolist()), tuple(std.tolist())


def keep(model: str, mean: Sequence[float], std: Sequence[float]) -> None:
  """Writes them into the config.json of a model's folder, whole or not."""
  file = open_folder(Path(model).expanduser()) / "config.json"
  config = json.loads(file.read_text("utf-8"))
  config |= {"score_mean": list(mean), "score_std": list(std)}
  write(file, json.dumps(config, indent=2) + "\n")
