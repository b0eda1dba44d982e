"""Models of a config: mesh, weights, tokenizer, text generation."""

import contextlib
import dataclasses
import json
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
from ml_collections import ConfigDict

from alignjax import kernels, optim, pretrained, sharding
from alignjax.build.critics import valued, with_critic
from alignjax.build.training import stored
from alignjax.checkpoint import Checkpoints
from alignjax.data.tokenizer import byte_tokenizer
from alignjax.generate import make_generator
from alignjax.models.config import ModelConfig
from alignjax.models.lm import LM
from alignjax.models.lora import Lora, merge
from alignjax.models.presets import preset


class Model(NamedTuple):
  """A language model, its weights and its tokenizer."""

  lm: LM
  params: dict
  tokenizer: object


def placement(
  config: ConfigDict, devices: Sequence | None = None
) -> sharding.Placement:
  """Mesh and sharding rules; on all devices that are here, or on others."""
  return sharding.Placement(
    mesh=sharding.make_mesh(config.mesh, devices),
    # Pairs are lists in the config.json of a run.
    params=[tuple(rule) for rule in config.sharding.params],
    activations=config.sharding.activations.to_dict(),
    gradients=config.sharding.gradients.to_dict(),
    decoding=config.sharding.decoding.to_dict(),
    undivided=config.sharding.undivided.to_dict(),
  )


def model(config: ConfigDict, place: sharding.Placement) -> Model:
  """The model of `config.model`, its parameters laid on the mesh."""
  lm, tokenizer = outline(config, place)
  return Model(lm, weights(config, place, lm), tokenizer)


def outline(config: ConfigDict, place: sharding.Placement) -> tuple[LM, object]:
  """A model without its weights, and its tokenizer.

  Raises ValueError where its parameters do not lie on the mesh by the rules.
  """
  m = config.model
  found, tokenizer = shape(config)
  adapters = Lora(**config.lora) if config.lora.rank else None
  lm = LM(
    found,
    dtype=m.dtype,
    remat=m.remat,
    chunk=m.chunk or kernels.readout_chunk(place, _rows(config), found.vocab),
    constrain=place.of_vocabulary(found.vocab).constrain,
    attend=kernels.chosen(place, m.attention)[0],
    lora=adapters,
  )
  lm = valued(lm, config)
  place.tree(lm.shapes())
  return lm, tokenizer


def _rows(config: ConfigDict) -> int:
  """Rows of one pass, or of both answers of its pairs."""
  if "train" not in config:
    return config.rows
  sides = 1 if config.data.rows == "examples" else 2
  return -(-sides * config.train.batch // config.train.accumulate)


def shape(config: ConfigDict) -> tuple[ModelConfig, object]:
  """What `config.model` is, and its tokenizer, on any machine."""
  m = config.model
  if _is_path(m):
    found, tokenizer = pretrained.outline(
      m.path, m.revision or None, m.adapter or None
    )
    tokenizer = _present(tokenizer, m.path)
  else:
    found, tokenizer = preset(m.preset), byte_tokenizer()
  if found.score_std and "train" in config:
    warnings.warn(
      f"{m.path} is calibrated, and training moves its scores: mean and "
      "standard deviation are left out.\nCalibrate what comes out of it: "
      "alignjax score --calibrate.",
      stacklevel=2,
    )
    found = found.uncalibrated()
  return found.replace(scores=m.scores or found.scores), tokenizer


def weights(config: ConfigDict, place: sharding.Placement, lm: LM) -> dict:
  """Its parameters: those of a path, or random ones of the seed."""
  m, key = config.model, jax.random.key(config.seed)
  where = place.tree(lm.shapes())
  if not _is_path(m):
    found = jax.jit(lm.init, out_shardings=where)(key)
    return with_critic(found, config, place, lm)
  found = pretrained.load(
    m.path,
    revision=m.revision or None,
    place=place.param,
    adapter=m.adapter or None,
  )[1]
  if jax.tree.structure(found) == jax.tree.structure(where):
    return found
  complete = jax.jit(lm.complete, out_shardings=where, donate_argnums=1)
  return with_critic(complete(key, found), config, place, lm)


def tokenizer(config: ConfigDict):
  """The tokenizer of `config.model`; its weights are left alone."""
  m = config.model
  if _is_path(m):
    return _present(pretrained.tokenizer_of(m.path, m.revision or None), m.path)
  return byte_tokenizer()


def _is_path(m: ConfigDict) -> bool:
  """Whether a model is read from a path; False: random weights of a preset."""
  if bool(m.path) == bool(m.preset):
    raise ValueError(
      f"model.path = {m.path!r} and model.preset = {m.preset!r}; give one.\n"
      "A path is a Hugging Face folder, a .gguf file or a hub name; a preset "
      "is a shape with random weights (preset=tiny)."
    )
  if m.preset and m.adapter:
    raise ValueError(
      f"model.adapter = {m.adapter!r} has no effect with model.preset = "
      f"{m.preset!r}: random weights.\nGive model.path, the adapter's base."
    )
  return bool(m.path)


def _present(tokenizer, path: str):
  if tokenizer is None:
    raise ValueError(
      f"{path} has no tokenizer (tokenizer.json); copy it there."
    )
  return tokenizer


def trained(workdir: Path) -> Model:
  """The model of a run's newest checkpoint, on this machine's first device.

  Adapters are merged into their base.
  """
  file = Path(workdir) / "config.json"
  if not file.is_file():
    raise FileNotFoundError(f"{workdir} is not a run: it has no config.json.")
  config = ConfigDict(json.loads(file.read_text("utf-8")))
  config.mesh = (1, 1, 1)
  found = model(config, placement(config))
  split = optim.split(found.params, config.optim.frozen)
  params, frozen = stored(config, *split)
  folder = folder_of(config, workdir)
  with contextlib.closing(Checkpoints.reader(folder)) as saved:
    newest = saved.newest()
    if newest is None:
      raise FileNotFoundError(f"{workdir} holds no checkpoint yet.")
    for line in newest.passed:
      warnings.warn(line, stacklevel=2)
    params = saved.params(newest.step, params)
  params, lm = optim.merge(params, frozen), found.lm
  params = {k: x for k, x in params.items() if k not in optim.VALUES}
  lm = dataclasses.replace(lm, values=False, critic=None)
  if lm.lora is not None:
    params, lm = merge(params, lm.lora), dataclasses.replace(lm, lora=None)
  return found._replace(params=params, lm=lm)


def checkpoints(
  config: ConfigDict, workdir: Path, say: Callable[[str], None]
) -> Checkpoints:
  """The checkpoints that a run writes."""
  c = config.checkpoint
  return Checkpoints(
    folder_of(config, workdir),
    keep=c.keep,
    keep_every=c.keep_every,
    on_error=c.on_error,
    say=say,
  )


def folder_of(config: ConfigDict, workdir: Path) -> str | Path:
  """Where a run's checkpoints lie."""
  return config.checkpoint.folder or Path(workdir) / "checkpoints"


def generator(
  config: ConfigDict, lm: LM, tokenizer, template, place: sharding.Placement
):
  """Text in, text out, as `config.sample` says."""
  s = config.sample
  return make_generator(
    lm,
    tokenizer,
    template,
    max_tokens=s.max_tokens,
    temperature=s.temperature,
    seed=config.seed,
    rows=place.row_multiple,
  )
