"""Adapters of a run, without the model they are of."""

import contextlib
import json
import warnings
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from alignjax import optim
from alignjax.build.models import folder_of, outline, placement
from alignjax.checkpoint import Checkpoints
from alignjax.models.lm import LM


class Trained(NamedTuple):
  """What a run has trained beside its base, the folder or name of which it was.

  params: "lora", and "score_head" of a reward model.
  """

  lm: LM
  params: dict
  base: str


def trained_adapters(workdir: Path) -> Trained:
  """Adapters of a run's newest checkpoint; weights of the base are not read.

  Raises ValueError where more than adapters and scalar heads was trained, or
  less.
  """
  file = Path(workdir) / "config.json"
  if not file.is_file():
    raise FileNotFoundError(f"{workdir} is not a run: it has no config.json.")
  config = ConfigDict(json.loads(file.read_text("utf-8")))
  if not config.lora.rank:
    raise ValueError(
      f"{workdir} trained no adapters (lora.rank = 0), so there is no adapter "
      "to write.\nExport the whole model: leave out --adapter-only."
    )
  if not config.model.path:
    raise ValueError(
      f"{workdir}: its adapters are of random weights (model.preset = "
      f"{config.model.preset!r}), which no\nfolder has. Export the whole "
      "model: leave out --adapter-only."
    )
  if config.model.adapter:
    raise ValueError(
      f"{workdir}: its base is {config.model.path} with {config.model.adapter} "
      "merged into it, which\nno folder has. Export the whole model: leave out "
      "--adapter-only."
    )
  config.mesh = (1, 1, 1)
  lm, _ = outline(config, placement(config))
  wanted, _ = optim.split(lm.shapes(), config.optim.frozen)
  others = sorted(set(wanted) - {"lora", "score_head"})
  if others or "lora" not in wanted:
    raise ValueError(
      f"{workdir} trained {', '.join(others) or 'no adapters'}; an adapter's "
      "folder holds adapters\nand scalar heads alone. Export the whole model: "
      "leave out --adapter-only."
    )
  with contextlib.closing(
    Checkpoints.reader(folder_of(config, workdir))
  ) as saved:
    newest = saved.newest()
    if newest is None:
      raise FileNotFoundError(f"{workdir} holds no checkpoint yet.")
    for line in newest.passed:
      warnings.warn(line, stacklevel=2)
    wanted = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), wanted)
    return Trained(lm, saved.params(newest.step, wanted), config.model.path)
