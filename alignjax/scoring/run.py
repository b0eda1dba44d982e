"""Reward models over the rows of a file."""

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from alignjax import pretrained
from alignjax.data.templates import load_template
from alignjax.models.config import ModelConfig
from alignjax.models.heads import calibrated
from alignjax.ops import ensemble
from alignjax.scoring import calibration, forward
from alignjax.scoring.completions import Asked, Item, Source, encode, read
from alignjax.sharding import Placement

RULES = {
  "mean": ensemble.mean,
  "min": ensemble.minimum,
  "uncertainty": ensemble.uncertainty,
}
Rule = Callable[[jax.Array], jax.Array]


class Options(NamedTuple):
  """How rows are read and run; the fields are options of the command.

  max_length: tokens. batch: completions, 0 for eight a device.
  """

  revision: str | None
  adapter: str | None
  template: str | None
  dtype: str
  max_length: int
  batch: int
  on_bad_row: str


class Scored(NamedTuple):
  """A row and its numbers, of each of its completions; None: not scored.

  scores: one a completion. members: [completions, k] of the ensemble's members.
  """

  asked: Asked
  scores: Float[np.ndarray, "c"] | None
  members: Float[np.ndarray, "c k"]


class Scores(NamedTuple):
  """All rows of a source, in its order.

  mean, std: what a model was calibrated to just now, () where it was not.
  unit: of a score, in log-odds of being preferred: the deviation by which a
    calibrated head's are divided; 1 of an ensemble, whatever it mixes.
  """

  rows: list[Scored]
  mean: tuple[float, ...]
  std: tuple[float, ...]
  unit: float


def score(
  models: Sequence[str],
  source: Source,
  options: Options,
  *,
  ensemble: str | None = None,
  penalty: float | None = None,
  calibrate: bool = False,
  progress: forward.Progress = lambda done, total: None,
) -> Scores:
  """The scores of all rows of a source.

  models: folders of reward models. Each reads the rows with its own tokenizer
    and template; a row that one of them cannot score is not scored.
  ensemble, penalty: as of `rule`; members are all heads of all models.
  calibrate: the model's own mean and deviation are taken over these rows, and
    kept in its folder.
  progress: called with the batches of a model that are done and all of them.

  Raises ValueError before any weights are read where an option is wrong.
  """
  place = forward.placement()
  batch = forward.batch_size(options.batch, place)
  _check(models, options.adapter, calibrate)
  outlines = [_outline(model, options) for model in models]
  members = sum(config.scores for config, _ in outlines)
  combine = rule(ensemble, penalty, members)
  items = read(source, on_bad_row=options.on_bad_row)
  encoded = [
    _encoded(items, *outline, options, model)
    for model, outline in zip(models, outlines)
  ]
  rows = [_together(row) for row in zip(*encoded)]
  if all(row[0].reason for row in rows):
    first = rows[0][0]
    raise ValueError(
      f"None of {len(rows)} rows can be scored; the first: {first.origin}: "
      f"{first.reason}.\nRaise --max-length, or repair the rows."
    )
  found = []
  for k, model in enumerate(models):
    sequences = [x for row in rows for x in row[k].sequences]
    raw = _raw(model, sequences, options, batch, place, progress)
    config = outlines[k][0]
    mean, std = config.score_mean, config.score_std
    if calibrate:
      mean, std = calibration.moments(raw)
      if jax.process_index() == 0:
        calibration.keep(model, mean, std)
    found.append(np.asarray(calibrated(jnp.asarray(raw), mean, std)))
  whole = np.concatenate(found, 1)
  one = np.asarray(combine(jnp.asarray(whole)))
  scored, at = [], 0
  for asked, *_ in rows:
    own = slice(at, at + len(asked.sequences))
    scores = None if asked.reason else one[own]
    scored.append(Scored(asked, scores, whole[own]))
    at = own.stop
  unit = std[0] if members == 1 and std else 1.0
  return Scores(scored, *((mean, std) if calibrate else ((), ())), unit)


def _check(models: Sequence[str], adapter: str | None, calibrate: bool) -> None:
  """Raises ValueError for options that do not go together."""
  if adapter and len(models) > 1:
    raise ValueError("--adapter is of one model; give one --model with it.")
  if not calibrate:
    return
  if len(models) > 1:
    raise ValueError(
      "--calibrate is of one model; calibrate one after another."
    )
  if adapter:
    raise ValueError(
      "--calibrate with --adapter: a base has no scores to calibrate.\n"
      "Write both as one model first: alignjax export --model BASE "
      "--adapter FOLDER --out MODEL."
    )
  calibration.check(models[0])


def _together(row: Sequence[Asked]) -> list[Asked]:
  """A row as each model reads it; none scores what one cannot."""
  reason = next((asked.reason for asked in row if asked.reason), "")
  if not reason:
    return list(row)
  return [asked._replace(sequences=(), reason=reason) for asked in row]


def rule(name: str | None, penalty: float | None, members: int) -> Rule:
  """How members' scores [n, k] become one [n]: a name of `RULES`.

  penalty: λ of "uncertainty", which the others have not.

  Raises ValueError for what has no effect or no meaning.
  """
  if members == 1:
    if name is not None or penalty is not None:
      raise ValueError(
        "--ensemble and --penalty are for several heads or models, and there "
        "is one head.\nGive --model several times, or leave them out."
      )
    return partial(jnp.squeeze, axis=-1)
  name = name or "mean"
  if name not in RULES:
    raise ValueError(
      f"--ensemble {name} is unknown; one of {', '.join(RULES)}."
    )
  if name != "uncertainty":
    if penalty is not None:
      raise ValueError(
        f"--penalty = {penalty} has no effect with --ensemble {name}.\n"
        "It is for --ensemble uncertainty: mean − penalty · variance."
      )
    return RULES[name]
  if penalty is None or not 0 < penalty < np.inf:
    raise ValueError(
      f"--ensemble uncertainty needs --penalty above 0, this is {penalty}: "
      "mean − penalty · variance over members."
    )
  return partial(RULES[name], penalty=penalty)


def _outline(model: str, options: Options) -> tuple[ModelConfig, object]:
  """Config and tokenizer of a reward model, checked."""
  config, tokenizer = pretrained.outline(
    model, options.revision, options.adapter
  )
  if not config.scores:
    raise ValueError(
      f"{model} has no scalar heads: it is a language model, no reward model.\n"
      "Train one with configs/reward.py, and give the folder that `alignjax "
      "export` writes\n(architectures … ForSequenceClassification in its "
      "config.json)."
    )
  if tokenizer is None:
    raise ValueError(f"{model} has no tokenizer.json; copy it there.")
  if not 0 < options.max_length <= config.max_length:
    raise ValueError(
      f"--max-length = {options.max_length} tokens; {model} takes 1 to "
      f"{config.max_length}."
    )
  return config, tokenizer


def _encoded(
  items: Sequence[Item],
  config: ModelConfig,
  tokenizer,
  options: Options,
  model: str,
) -> list[Asked]:
  template = load_template(options.template, tokenizer)
  found = encode(
    items,
    tokenizer,
    template,
    max_length=options.max_length,
    on_bad_row=options.on_bad_row,
  )
  largest = max((int(x.max()) for a in found for x in a.sequences), default=0)
  if largest >= config.vocab:
    raise ValueError(
      f"A row holds token {largest}, outside the vocabulary of {config.vocab} "
      f"of {model}.\nThe tokenizer is not this model's."
    )
  return found


def _raw(
  model: str,
  sequences: Sequence[np.ndarray],
  options: Options,
  batch: int,
  place: Placement,
  progress: forward.Progress,
) -> Float[np.ndarray, "n k"]:
  """Scores without calibration."""
  lm, params, _ = pretrained.load(
    model,
    revision=options.revision,
    dtype=options.dtype,
    place=lambda path, shape: place.replicated,
    adapter=options.adapter,
  )
  lm = dataclasses.replace(lm, config=lm.config.uncalibrated())
  return forward.score(
    lm, params, sequences, batch=batch, place=place, progress=progress
  )
