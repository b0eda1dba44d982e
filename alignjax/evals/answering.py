"""A model, asked the items of a task."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from alignjax.data.templates import Template
from alignjax.evals import spelling
from alignjax.evals.items import Item, Task
from alignjax.evals.likelihood import check, likelihoods
from alignjax.evals.packing import Asked
from alignjax.generate import make_generator
from alignjax.models.lm import LM
from alignjax.scoring import forward
from alignjax.sharding import Placement

LOT = 16  # batches of pairs whose scores are kept together

Output = Mapping[str, Any]


class Subject(NamedTuple):
  """The model that is evaluated.

  params: laid on `place` by its rules. batch: tokens of a forward pass on a
    device, about. rows: answers at a time, over all devices.
  """

  lm: LM
  params: dict
  tokenizer: Any
  template: Template
  place: Placement
  batch: int
  rows: int


def outputs(task: Task, items: Sequence[Item], subject: Subject) -> Iterator:
  """(number of an item → output, batches done, all of them), of all items.

  Each item is in one of the batches; an output is what `Task` says of its kind.
  """
  if task.kind == "answers":
    yield from _answers(task, items, subject)
  elif task.kind == "pairs" and subject.lm.config.scores:
    yield from _scores(items, subject)
  else:
    yield from _likelihoods(task.kind, items, subject)


def _likelihoods(kind: str, items: Sequence[Item], subject: Subject):
  lm, _, tokenizer, template, place, *_ = subject

  def spelled(item: Item) -> list[Asked]:
    if kind == "texts":
      return spelling.windows(item.choices[0], tokenizer, lm.config.max_length)
    make = spelling.choices if kind == "choices" else spelling.answers
    return make(item, tokenizer, template)

  asked: list[Asked] = []
  where: list[tuple[int, int]] = []
  missing = []
  for i, item in enumerate(items):
    own = spelled(item)
    check(lm, own, item.id)
    missing.append(len(own))
    where += [(i, k) for k in range(len(own))]
    asked += own
  known: list[dict] = [{} for _ in items]
  for found, done, total in likelihoods(
    lm, subject.params, asked, batch=subject.batch, place=place
  ):
    complete = {}
    for number, likelihood in found.items():
      i, k = where[number]
      known[i][k] = likelihood
      if len(known[i]) == missing[i]:
        complete[i] = [known[i][k] for k in range(missing[i])]
    yield {i: _told(kind, own) for i, own in complete.items()}, done, total


def _told(kind: str, found: Sequence) -> Output:
  logps = [x.logp for x in found]
  tokens = [x.tokens for x in found]
  if kind == "texts":  # of all windows together
    logps, tokens = [sum(logps)], [sum(tokens)]
  greedy = [x.greedy for x in found]
  if kind == "choices":
    return {"logps": logps, "tokens": tokens, "greedy": greedy}
  return {"logps": logps, "tokens": tokens}


def _scores(items: Sequence[Item], subject: Subject):
  lm, params, tokenizer, template, place, *_ = subject
  if lm.config.scores != 1:
    raise ValueError(
      f"The model has {lm.config.scores} scalar heads; pairs are judged by a "
      "reward model of one."
    )
  asked = [spelling.answers(item, tokenizer, template) for item in items]
  for item, own in zip(items, asked):
    check(lm, own, item.id)
  # Of about one length; longest first: what does not fit is known at once.
  order = sorted(range(len(items)), key=lambda i: -len(asked[i][0].context))
  size = subject.rows * LOT
  lots = [order[at : at + size] for at in range(0, len(order), size)]
  for done, lot in enumerate(lots, 1):
    scores = forward.score(
      lm,
      params,
      [np.concatenate(x) for i in lot for x in asked[i]],
      batch=subject.rows,
      place=place,
      progress=lambda done, total: None,
    )[:, 0]
    found = {}
    for k, i in enumerate(lot):
      found[i] = {
        "scores": [float(str(x)) for x in scores[2 * k : 2 * k + 2]],
        "tokens": [len(x.continuation) for x in asked[i]],
      }
    yield found, done, len(lots)


def _answers(task: Task, items: Sequence[Item], subject: Subject):
  lm, params, tokenizer, template, _, _, rows = subject
  generate = make_generator(
    lm, tokenizer, template, max_tokens=task.max_tokens, rows=rows
  )
  ids = [
    spelling.context_ids(item.prompt, tokenizer, template) for item in items
  ]
  # Longest first: what does not fit into memory is known at once.
  order = sorted(range(len(items)), key=lambda i: -len(ids[i]))
  lots = [order[at : at + rows] for at in range(0, len(order), rows)]
  for done, lot in enumerate(lots, 1):
    answers = generate(params, [ids[i] for i in lot])
    found = {}
    for i, (answer,) in zip(lot, answers):
      text, cut = _cut(answer.text, task.stop)
      found[i] = {
        "text": text,
        "tokens": len(answer.tokens),
        "stopped": answer.stopped or cut,
      }
    yield found, done, len(lots)


def _cut(text: str, stop: Sequence[str]) -> tuple[str, bool]:
  at = min((text.find(s) for s in stop if s in text), default=-1)
  return (text, False) if at < 0 else (text[:at], True)
