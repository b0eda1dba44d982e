"""What a config trains with: losses, learning rate, optimizer."""

import functools
import importlib
from collections.abc import Mapping
from functools import partial
from importlib.resources import files
from types import ModuleType

import optax
from ml_collections import ConfigDict

from alignjax import optim
from alignjax.build import named
from alignjax.build.tables import Tables
from alignjax.models.lm import DTYPES
from alignjax.totals import Objective


def objectives(config: ConfigDict) -> dict[str, Objective]:
  """The losses of `config.loss`, label → weight and function.

  `name` is a file in `alignjax/losses/` or an import path of the user's own
  module; the keyword-only arguments of its `loss` (or of the function named by
  `kind`) are the options, all of them.
  """
  mixes = bool(config.rollout and config.rollout.mix.batch)
  found = {
    k: objective(k, v.to_dict(), mixes=mixes) for k, v in config.loss.items()
  }
  for label, made in found.items():
    couples = getattr(made.loss.func, "couples_rows", False)
    if couples and config.train.accumulate > 1:
      raise ValueError(
        f"loss.{label} is over all rows of a batch at once, so it cannot be "
        f"taken of train.accumulate = {config.train.accumulate} parts.\n"
        "Set train.accumulate=1, on a larger mesh if it does not fit."
      )
  return found


def check_labels(objectives: Mapping[str, Objective], found: Tables) -> None:
  """Raises ValueError where pairs have labels or weights that a loss of all
  pairs alike would pass over."""
  alike = (k for k, o in objectives.items() if not _reads_labels(o))
  loss = next(alike, None)
  if loss is None:
    return
  for rows in (*found.train.values(), *found.held.values()):
    for row in rows:
      said = {"label": row.fields.get("label"), "weight": row.weights}
      for name, values in said.items():
        if values is not None and values[0] != 1:
          raise ValueError(
            f"{row.origin}: {name} = {values[0]:g}; loss.{loss} sorts the "
            f"pairs of a batch and counts all alike.\nLeave {name} out of the "
            "rows, or use a loss that reads it: dpo."
          )


def _reads_labels(objective: Objective) -> bool:
  return getattr(objective.loss.func, "reads_labels", True)


def objective(
  label: str, options: Mapping, *, mixes: bool = False
) -> Objective:
  """One entry of `config.loss`.

  mixes: whether batches hold rows of other data beside completions that were
    sampled; a loss is of the former where its entry says `rows="mixed"`, of the
    latter where it does not.
  """
  where = f"loss.{label}"
  name, weight, options = named.split(options, where)
  rows = options.pop("rows", "sampled")
  if rows not in ("sampled", "mixed") or rows == "mixed" and not mixes:
    raise ValueError(
      f"{where}.rows = {rows!r}; it must be sampled, or mixed where "
      "rollout.mix gives rows of other data."
    )
  module = _loss_module(name, where)
  kind = options.pop("kind", "loss")
  found = named.function(
    module, kind, options, where=where, first=("stats", "batch")
  )
  return Objective(
    weight,
    getattr(found.func, "needs", module.needs),
    of_rows(found, rows == "mixed") if mixes else found,
    getattr(found.func, "first", None),
  )


def of_rows(loss: partial, mixed: bool) -> partial:
  """The loss of some rows of a batch: those of other data, or those sampled.

  Nothing of the other rows is trained, so by the padding law they count
  nothing.
  """

  @functools.wraps(loss.func)
  def of_some(stats, batch, **options):
    there = (batch.fields["mixed"][:, :1] > 0) == mixed
    return loss.func(
      stats,
      batch._replace(
        completions=there * batch.completions,
        weights=there * batch.weights,
        ends=there * batch.ends,
      ),
      **options,
    )

  return partial(of_some, **loss.keywords)


def _loss_module(name: str, where: str) -> ModuleType:
  if "." in name:
    return named.imported(name, where)
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
    clip=o.clip,
    weight_decay=o.weight_decay,
    no_decay=o.no_decay,
    lr_factors=o.lr_factors,
    options=o[o.name].to_dict() if o.name in o else {},
    moment_dtype=_dtype("optim.moment_dtype", o.moment_dtype),
  )


SMALL = (".*(scale|bias|score_head|value_head)",)  # stay float32


def stored(
  config: ConfigDict, trained: dict, frozen: dict
) -> tuple[dict, dict]:
  """Weights as they are kept between steps: `model.param_dtype` what is
  trained, `model.frozen_dtype` what is not."""
  m = config.model
  return tuple(
    optim.cast(tree, _dtype(f"model.{key}", m[key]), but=SMALL)
    for tree, key in ((trained, "param_dtype"), (frozen, "frozen_dtype"))
  )


def _dtype(key: str, value: str) -> str:
  if value not in DTYPES:
    raise ValueError(
      f"{key} = {value!r} is unknown; one of {', '.join(DTYPES)}."
    )
  return value


# Steps or numbers of things; 0 has a meaning of its own.
COUNTS = (
  "train.eval_every",
  "sample.every",
  "sample.count",
  "checkpoint.every",
  "checkpoint.keep_every",
)


def check_counts(config: ConfigDict) -> None:
  """Raises ValueError for what may not be negative and is."""
  for key in COUNTS:
    block, _, name = key.partition(".")
    if config[block][name] < 0:
      raise ValueError(f"{key} = {config[block][name]}; it must be 0 or more.")


def noise(config: ConfigDict) -> float:
  """α of NEFTune's noise; 0 for none."""
  alpha = config.train.neftune
  if not alpha >= 0:
    raise ValueError(f"train.neftune = {alpha}; it must be 0 (none) or more.")
  return float(alpha)


def guard(config: ConfigDict) -> dict[str, str]:
  """What becomes of a step that is not finite, and of a spike."""
  legal = {"nonfinite": ("stop", "skip"), "spike": ("off", "skip", "stop")}
  rules = {name: config.train[name] for name in legal}
  for name, rule in rules.items():
    if rule not in legal[name]:
      raise ValueError(
        f"train.{name} = {rule!r} is unknown; one of {', '.join(legal[name])}."
      )
  return rules
