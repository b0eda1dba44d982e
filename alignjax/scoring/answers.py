"""What a reward model says of answers: texts in, a number each out."""

import sys
from collections.abc import Callable, Sequence

from alignjax import pretrained
from alignjax.data.preferences import Judged
from alignjax.data.templates import Template, load_template
from alignjax.scoring import completions, forward

Scores = Callable[[Sequence[tuple]], dict]


def scorer(folder: str, template: str | None) -> tuple[Scores, Template]:
  """(labelled pairs → scores) of a reward model of one head.

  It takes (label, turns, answer) and gives {(label, answer): score}; an answer
  that is empty or too long has none, and is said to standard error. Scored is
  the conversation and the answer with its end token, as in training. Weights
  are read when it is first called.

  Raises ValueError for another model, and where no answer has a score.
  """
  config, tokenizer = pretrained.outline(folder)
  if config.scores != 1 or tokenizer is None:
    raise ValueError(
      f"{folder} has {config.scores} scalar heads and "
      f"{'a' if tokenizer else 'no'} tokenizer; a reward model has one of "
      "either,\nas `alignjax export` writes it of a run of configs/reward.py."
    )
  shape = load_template(template, tokenizer)
  place = forward.placement()
  loaded = []

  def read(label, turns, text):
    said = ({"role": "assistant", "content": text},)
    one = Judged(tuple(turns), said, True, 1.0, f"item {label}", {})
    return completions.Item("completion", one)

  def score(asked):
    different = {(label, text): turns for label, turns, text in asked}
    if not different:
      return {}
    encoded = completions.encode(
      [read(label, turns, text) for (label, text), turns in different.items()],
      tokenizer,
      shape,
      max_length=config.max_length,
      on_bad_row="skip",
    )
    if left := [one for one in encoded if one.reason]:
      said = f"{len(left)} of {len(encoded)} answers have no score; the first: "
      said += f"{left[0].origin}: {left[0].reason}"
      if len(left) == len(encoded):
        raise ValueError(f"{said}.\nGive another reward model, or judge.")
      print(said, file=sys.stderr)
    if not loaded:
      loaded.append(
        pretrained.load(folder, place=lambda path, shape: place.replicated)
      )
    lm, params, _ = loaded[0]
    found = forward.score(
      lm,
      params,
      [x for one in encoded for x in one.sequences],
      batch=forward.batch_size(0, place),
      place=place,
      progress=lambda done, total: None,
    )[:, 0]
    scored = [x for x, one in zip(different, encoded) if not one.reason]
    return dict(zip(scored, found.tolist()))

  return score, shape
