"""Who writes: a model of ours, batched over the mesh (or one of `endpoints`).

A writer answers requests. What it said is kept as it comes, by the sha256 of
all that it depends on, so that a method, which is a function of its options and
of what was said, goes on where it stopped by being run again.
"""

import json
import math
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from alignjax.evals import likelihood, spelling
from alignjax.evals.answering import Subject
from alignjax.evals.items import Item
from alignjax.generate import make_generator
from alignjax.remote import kept

LOT = 4  # batches of comparisons that are kept together


class Request(NamedTuple):
  """Turns to be answered; `draw` tells several answers to the same apart."""

  turns: tuple[dict, ...]
  draw: int = 0


class Reply(NamedTuple):
  """cut: ended at the limit of tokens. asked, answered: tokens.

  refused: why there is no answer and never will be, "" where there is one.
  """

  text: str
  cut: bool
  asked: int
  answered: int
  refused: str = ""


Keep = Callable[[Mapping[int, Reply]], None]


class Writer(NamedTuple):
  """about: all that a reply depends on beside its request.

  answer: (requests, keep) → nothing; keep is called with replies by their
  places as they come. lot: how many requests belong together; 0: each is alone.
  check: raises for requests that it could not answer, before any is asked.
  """

  about: dict
  answer: Callable[[Sequence[Request], Keep], None]
  lot: int
  check: Callable[[Sequence[Request]], None] = lambda requests: None


def own(
  subject: Subject,
  about: Mapping,
  *,
  max_tokens: int,
  temperature: float,
  top_p: float,
  seed: int,
) -> Writer:
  """A model on its mesh, `subject.rows` requests at a time.

  A request's draws depend on the seed and on the request alone.
  """
  generate = make_generator(
    subject.lm,
    subject.tokenizer,
    subject.template,
    max_tokens=max_tokens,
    temperature=temperature,
    top_p=top_p,
    seed=seed,
    rows=subject.rows,
  )
  room = subject.lm.config.max_length - max_tokens

  def ids(request: Request) -> list[int]:
    return spelling.context_ids(
      request.turns, subject.tokenizer, subject.template
    )

  def check(requests):
    sizes = [len(ids(one)) for one in requests]
    if long := [i for i, size in enumerate(sizes) if size > room]:
      said = " ".join(requests[long[0]].turns[-1]["content"].split())[:60]
      raise ValueError(
        f"{len(long)} of {len(sizes)} requests are too long; the first has "
        f"{sizes[long[0]]} tokens, and the model's "
        f"{subject.lm.config.max_length} leave {room} beside {max_tokens} new "
        f"ones.\nIts last turn: {said!r}\n"
        "Show fewer or shorter examples, leave long prompts out, or lower "
        "max_tokens."
      )

  def answer(requests, keep):
    tokens = [ids(one) for one in requests]
    keys = [int(_digest({}, one)[:7], 16) for one in requests]
    found = generate(subject.params, tokens, row_ids=keys)
    keep(
      {
        i: Reply(c.text, not c.stopped, len(tokens[i]), len(c.tokens))
        for i, (c,) in enumerate(found)
      }
    )

  settings = {"max_tokens": max_tokens, "seed": seed}
  settings |= {"temperature": temperature, "top_p": top_p}
  return Writer({**about, **settings}, answer, subject.rows, check)


def chooser(
  subject: Subject, about: Mapping, choices: tuple[str, str]
) -> Writer:
  """A model on its mesh that writes nothing: how sure is it of the first?

  A reply's text is the probability of the first of two choices, of those two
  (Bai et al. 2022, section 4.1), as decimal digits.
  """
  own_lot = LOT * subject.rows

  def asked(request: Request) -> list:
    item = Item("a comparison", request.turns, choices=choices)
    return spelling.choices(item, subject.tokenizer, subject.template)

  def check(requests):
    for request in requests:
      likelihood.check(subject.lm, asked(request), "a comparison")

  def answer(requests, keep):
    pairs = [one for request in requests for one in asked(request)]
    logps: dict[int, float] = {}
    for found, _, _ in likelihood.likelihoods(
      subject.lm,
      subject.params,
      pairs,
      batch=subject.batch,
      place=subject.place,
    ):
      logps |= {i: x.logp for i, x in found.items()}
    replies = {}
    for i in range(len(requests)):
      sure = 1 / (1 + math.exp(logps[2 * i + 1] - logps[2 * i]))
      size = len(pairs[2 * i].context)
      replies[i] = Reply(f"{sure:.6f}", False, size, 0)
    keep(replies)

  about = {**about, "choices": list(choices)}
  return Writer(about, answer, own_lot, check)


class Ask:
  """Asks a writer, or what it said before; counts what was used.

  writer: or a function that gives it, called when it is first needed: weights
    are read late. path: the file of what was said. progress: (done, all) of a
    call.
  """

  def __init__(
    self,
    writer: Writer | Callable[[], Writer],
    path: Path,
    progress: Callable[[int, int], None] = lambda done, total: None,
  ):
    self._given, self.path, self.progress = writer, path, progress
    self._said = kept.read(path, None, "reply", _legal)
    self.used: dict[str, Reply] = {}
    self.new = 0

  @cached_property
  def writer(self) -> Writer:
    """Who is asked."""
    given = self._given
    return given if isinstance(given, Writer) else given()

  def fault(self, request: Request) -> str:
    """Why a request cannot be answered, such as its length; "" where it can."""
    try:
      self.writer.check([request])
    except ValueError as error:
      return str(error)
    return ""

  def __call__(self, requests: Sequence[Request]) -> list[Reply]:
    """A reply to each, in their order; what stands twice is asked once."""
    keys = [_digest(self.writer.about, one) for one in requests]
    first: dict[str, int] = {}
    for i, key in enumerate(keys):
      first.setdefault(key, i)
    once, lot = [*first.values()], self.writer.lot
    if lot:  # whole lots, so that a batch is the same when it is made again
      lots = [once[i : i + lot] for i in range(0, len(once), lot)]
    else:
      lots = [[i for i in once if keys[i] not in self._said]]
    lots = [own for own in lots if any(keys[i] not in self._said for i in own)]
    self.writer.check([requests[i] for own in lots for i in own])
    done, total = 0, sum(map(len, lots))
    lock = threading.Lock()
    with kept.writing(self.path) as add:
      for own in lots:

        def keep(found, own=own):
          nonlocal done
          rows = {keys[own[i]]: reply for i, reply in found.items()}
          add({key: {"reply": reply._asdict()} for key, reply in rows.items()})
          with lock:
            self._said |= rows
            self.new += len(rows)
            done += len(rows)
            self.progress(done, total)

        if own:
          self.writer.answer([requests[i] for i in own], keep)
    replies = [_reply(self._said[key]) for key in keys]
    self.used |= zip(keys, replies)
    return replies

  def spent(self) -> dict[str, int]:
    """Requests and tokens of all that was used, and how many were new."""
    replies = self.used.values()
    return {
      "requests": len(replies),
      "new": self.new,
      "tokens_asked": sum(r.asked for r in replies),
      "tokens_answered": sum(r.answered for r in replies),
    }


def _digest(about: Mapping, request: Request) -> str:
  parts = (about, list(request.turns), request.draw)
  return kept.digest(*(json.dumps(x, sort_keys=True) for x in parts))


def _legal(reply) -> bool:
  fields = reply.keys() if isinstance(reply, dict) else set()
  return {*Reply._fields} - {"refused"} <= fields <= {*Reply._fields}


def _reply(said) -> Reply:
  return said if isinstance(said, Reply) else Reply(**said)
