"""Config → objects: the only reader of config fields."""

import dataclasses
import importlib
import inspect
import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import optax
from ml_collections import ConfigDict

from alignjax import optim, sharding
from alignjax.checkpoint import Checkpoints
from alignjax.data import chat, formats, sources, suite, templates
from alignjax.data.loader import Loader, in_order, shape_of
from alignjax.data.tokenizer import byte_tokenizer
from alignjax.generate import make_generator
from alignjax.models.lm import LM
from alignjax.models.presets import preset
from alignjax.pretrained import load
from alignjax.step import Objective
from alignjax.types import Batch, Row


class Model(NamedTuple):
  """A language model, its weights and its tokenizer."""

  lm: LM
  params: dict
  tokenizer: object


class Prompt(NamedTuple):
  """A conversation to answer, and a good answer where one is known."""

  messages: tuple[dict, ...]
  reference: str


class Data(NamedTuple):
  """What a run reads: `train[step]`, held-out batches, and a report."""

  train: Loader
  heldout: list[Batch]
  examples: list
  template: object
  report: list[str]


def placement(config: ConfigDict) -> sharding.Placement:
  """Mesh and sharding rules."""
  return sharding.Placement(
    mesh=sharding.make_mesh(config.mesh),
    # Pairs are lists in the config.json of a run.
    params=[tuple(rule) for rule in config.sharding.params],
    activations=config.sharding.activations.to_dict(),
  )


def model(config: ConfigDict, place: sharding.Placement) -> Model:
  """The model of `config.model`, its parameters laid on the mesh."""
  m = config.model
  options = dict(
    dtype=m.dtype, remat=m.remat, chunk=m.chunk, constrain=place.constrain
  )
  if bool(m.path) == bool(m.preset):
    raise ValueError(
      f"model.path = {m.path!r} and model.preset = {m.preset!r}; give one.\n"
      "A path is a Hugging Face folder, a .gguf file or a hub name; a preset "
      "is a shape with random weights (preset=tiny)."
    )
  if m.path:
    lm, params, tokenizer = load(
      m.path, revision=m.revision or None, place=place.param
    )
    if tokenizer is None:
      raise ValueError(
        f"{m.path} has no tokenizer (tokenizer.json); copy it there."
      )
    place.tree(params)
    return Model(dataclasses.replace(lm, **options), params, tokenizer)
  tokenizer = byte_tokenizer()
  lm = LM(preset(m.preset), **options)
  shapes = lm.shapes()
  init = jax.jit(lm.init, out_shardings=place.tree(shapes))
  return Model(lm, init(jax.random.key(config.seed)), tokenizer)


def trained(workdir: Path) -> Model:
  """The model of a run's newest checkpoint, on this machine's first device."""
  file = Path(workdir) / "config.json"
  if not file.is_file():
    raise FileNotFoundError(f"{workdir} is not a run: it has no config.json.")
  config = ConfigDict(json.loads(file.read_text("utf-8")))
  config.mesh = (1, 1, 1)
  found = model(config, placement(config))
  params, frozen = optim.split(found.params, config.optim.frozen)
  checkpoints = Checkpoints(Path(workdir) / "checkpoints", keep=1, keep_every=0)
  if checkpoints.latest() is None:
    raise FileNotFoundError(f"{workdir} holds no checkpoint yet.")
  params = checkpoints.params(params)
  checkpoints.close()
  return found._replace(params=optim.merge(params, frozen))


def rows(
  spec: ConfigDict, config: ConfigDict, tokenizer, template
) -> tuple[list[Row], list, str]:
  """Tokenised rows of a source, their examples, and a line on what was read."""
  d = config.data
  limit = spec.limit or None
  if not spec.path:
    raise ValueError(
      "data.train.path is empty; give a file, a folder, tfds:NAME or suite."
    )
  if spec.path == "suite":
    raw = suite.rows(spec.split, n=limit)
    raw = ((row, f"suite[{row['id']}]") for row in raw)
  else:
    raw = sources.read(spec.path, split=spec.split, limit=limit)
  examples = list(formats.examples(raw, spec.format or None))
  encoded = [
    chat.encode(e, tokenizer, template, train_on=d.train_on) for e in examples
  ]
  kept = [chat.fit(row, d.max_length, d.too_long) for row in encoded]
  left = [(r, e) for r, e in zip(kept, examples) if r is not None]
  line = f"{spec.path} ({spec.split}): {len(left)} rows"
  if len(left) < len(examples):
    line += (
      f", {len(examples) - len(left)} dropped: longer than "
      f"{d.max_length} tokens"
    )
  return [r for r, _ in left], [e for _, e in left], line


def data(config: ConfigDict, model: Model, place: sharding.Placement) -> Data:
  """Loader and held-out batches, of one shape."""
  tokenizer, limit = model.tokenizer, model.lm.config.max_length
  t, d = config.train, config.data
  for name in ("steps", "batch", "accumulate"):
    if t[name] < 1:
      raise ValueError(f"train.{name} = {t[name]}; it must be at least 1.")
  multiple = place.row_multiple * t.accumulate
  if t.batch % multiple:
    raise ValueError(
      f"train.batch = {t.batch} rows do not divide over mesh data·fsdp = "
      f"{place.row_multiple} and train.accumulate = {t.accumulate}.\n"
      f"Use a multiple of {multiple}."
    )
  template = templates.load_template(d.template or None, tokenizer)
  train, _, line = rows(d.train, config, tokenizer, template)
  held, examples, held_line = [], [], "no held-out rows: data.eval.path is ''"
  if d.eval.path:
    held, examples, held_line = rows(d.eval, config, tokenizer, template)
  if not train:
    raise ValueError(
      f"No rows are left to train on: {line}.\n"
      "Check data.train.path, split and limit, or raise data.max_length."
    )
  check_vocabulary(train + held, model.lm.config.vocab)
  shape = shape_of(train + held)
  if shape[0] > limit:
    raise ValueError(
      f"Rows are {shape[0]} tokens and the model takes {limit}.\n"
      f"Set data.max_length={limit} or less."
    )
  return Data(
    train=Loader(train, batch=t.batch, seed=config.seed, shape=shape),
    heldout=in_order(held, batch=t.batch, shape=shape),
    examples=examples,
    template=template,
    report=[line, held_line, f"rows are {shape[0]} tokens, {shape[1]} trained"],
  )


def check_vocabulary(rows: list[Row], vocab: int) -> None:
  """Raises where a row holds a token the model has no embedding for."""
  for row in rows:
    if row.tokens.max() >= vocab:
      raise ValueError(
        f"{row.origin}: token {row.tokens.max()} is outside the model's "
        f"vocabulary of {vocab}.\nThe tokenizer is not this model's; use the "
        "one it was made with."
      )


def prompts(config: ConfigDict, examples: list) -> list[Prompt]:
  """The fixed prompts of a run: its own, or the first held-out ones."""
  s = config.sample
  if s.prompts:
    turns = [{"role": "user", "content": text} for text in s.prompts]
    return [Prompt((turn,), "") for turn in turns]
  chats = [e.messages for e in examples if e.messages]
  return [Prompt(m[:-1], m[-1]["content"]) for m in chats[: s.count]]


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


def objectives(config: ConfigDict) -> dict[str, Objective]:
  """The losses of `config.loss`, label → weight and function.

  `name` is a file in `alignjax/losses/` or an import path of the user's own
  module; the keyword-only arguments of its `loss` (or of the function named by
  `kind`) are the options, all of them.
  """
  return {k: objective(k, v.to_dict()) for k, v in config.loss.items()}


def objective(label: str, options: Mapping) -> Objective:
  """One entry of `config.loss`."""
  options = dict(options)
  where = f"loss.{label}"
  try:
    name, weight = options.pop("name"), options.pop("weight")
  except KeyError as error:
    raise ValueError(f"{where} needs name and weight; no {error}.") from None
  module = _loss_module(name, where)
  kind = options.pop("kind", "loss")
  function = getattr(module, kind, None)
  if function is None or not callable(function):
    raise ValueError(f"{where}: {name} has no kind {kind!r}.")
  wanted = [
    p.name
    for p in inspect.signature(function).parameters.values()
    if p.kind is p.KEYWORD_ONLY
  ]
  if sorted(options) != sorted(wanted):
    raise ValueError(
      f"{where}: {name} takes {', '.join(wanted) or 'no options'}; "
      f"the config gives {', '.join(options) or 'none'}."
    )
  return Objective(float(weight), module.needs, partial(function, **options))


def _loss_module(name: str, where: str):
  if "." in name:
    try:
      return importlib.import_module(name)
    except ModuleNotFoundError as error:
      raise ValueError(f"{where}: cannot import {name!r}: {error}.") from None
  from importlib.resources import files

  legal = sorted(
    f.name[:-3]
    for f in files("alignjax.losses").iterdir()
    if f.name.endswith(".py") and f.name != "__init__.py"
  )
  if name not in legal:
    raise ValueError(
      f"{where}: no loss {name!r}; one of {', '.join(legal)}, or the import "
      "path of a module of yours."
    )
  return importlib.import_module(f"alignjax.losses.{name}")


def schedule(config: ConfigDict) -> optim.Schedule:
  """Learning rate by step."""
  o = config.optim
  return optim.schedule(
    o.schedule, lr=o.lr, warmup=o.warmup, steps=config.train.steps, end=o.end
  )


def optimizer(config: ConfigDict, params) -> optax.GradientTransformation:
  """The optimizer of a trained tree."""
  o = config.optim
  return optim.make(
    params,
    name=o.name,
    schedule=schedule(config),
    clip=o.clip,
    weight_decay=o.weight_decay,
    no_decay=o.no_decay,
    lr_factors=o.lr_factors,
    options=o[o.name].to_dict() if o.name in o else {},
  )
