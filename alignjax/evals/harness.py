"""A model as lm-evaluation-harness asks it (https://github.com/EleutherAI/
lm-evaluation-harness, the package `lm_eval`, which is optional).

Tasks, prompts, examples and metrics are the harness's; likelihoods and answers
are made here.
"""

from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import Any

import numpy as np

from alignjax.data import templates
from alignjax.evals import spelling
from alignjax.evals.answering import Subject
from alignjax.evals.likelihood import Likelihood, check, likelihoods
from alignjax.evals.packing import Asked
from alignjax.evals.run import Show
from alignjax.generate import make_generator

MAX_TOKENS = 256  # of an answer, where a task does not say
# What a task may say of an answer: with greedy decoding the last two mean
# nothing.
SAID = ("until", "max_gen_toks", "do_sample", "temperature", "top_p", "top_k")


def harness(
  subject: Subject, show: Show = lambda name, done, total: None
) -> Any:
  """The model as an `lm_eval.api.model.LM`, for `lm_eval.simple_evaluate`.

  show: called with the kind of request, its batches that are done and all.

  A text that begins with the begin token is not given another. Perplexity is of
  a text's own tokens, after one begin token, or end token where there is none.
  Answers are greedy. Chat prompts are rendered by the subject's template; the
  harness hands text on, so what looks like a control token in it is one.

  Raises ImportError without the package. Its methods raise ValueError for a
  prompt longer than the model takes, a continuation without a token, and a task
  that samples.
  """
  try:
    from lm_eval.api.model import TemplateLM
    from lm_eval.models.utils import normalize_gen_kwargs
    from lm_eval.utils import get_rolling_token_windows, make_disjoint_window
  except ImportError as error:
    raise missing(error) from error
  own, template = subject.tokenizer, subject.template
  first = spelling.context_ids("", own, template)[0]

  class Harness(TemplateLM):
    tokenizer = own
    tokenizer_name = own.name_or_path.replace("/", "__")
    max_length = subject.lm.config.max_length
    max_gen_toks = MAX_TOKENS
    eot_token_id = own.eos_token_id
    prefix_token_id = first

    def tok_encode(self, string, add_special_tokens=None, **kwargs):
      begun = own.bos_token and string.startswith(own.bos_token)
      special = not begun if add_special_tokens is None else add_special_tokens
      ids = own(string, add_special_tokens=special, verbose=False)
      return ids["input_ids"]

    def _loglikelihood_tokens(self, requests, **kwargs):
      asked = []
      for (context, continuation), before, after in requests:
        if not after:
          raise ValueError(
            f"The continuation {continuation!r} of {context[-40:]!r} has no "
            "token of its own.\nA task needs texts whose likelihood can be "
            "asked."
          )
        asked.append((before or [first], after))
      found = _likelihoods(subject, asked, "loglikelihood", show)
      return [(x.logp, x.greedy) for x in found]

    def loglikelihood_rolling(self, requests, disable_tqdm=False):
      asked, whose = [], []
      for i, request in enumerate(requests):
        windows = get_rolling_token_windows(
          self.tok_encode(request.args[0], add_special_tokens=False),
          first,
          self.max_length,
          1,
        )
        for window in windows:
          asked.append(make_disjoint_window(window))
          whose.append(i)
      sums = [0.0] * len(requests)
      found = _likelihoods(subject, asked, "loglikelihood_rolling", show)
      for i, x in zip(whose, found):
        sums[i] += x.logp
      return sums

    def generate_until(self, requests, disable_tqdm=False):
      asked = []
      for context, said in (request.args for request in requests):
        said = normalize_gen_kwargs(said, MAX_TOKENS)
        _check(said)
        ids = self.tok_encode(context) or [first]
        asked.append((ids, said["max_gen_toks"], said["until"]))
      return _answers(subject, asked, show)

    def apply_chat_template(self, chat_history, add_generation_prompt=True):
      if add_generation_prompt:
        return templates.render(template, chat_history, prompt=True)
      # The last turn has begun already, and the answer goes on with it.
      *turns, begun = chat_history
      before = templates.render(template, turns, prompt=True)
      return before + begun["content"]

    def chat_template(self, chat_template=False):
      return template.source if chat_template else None

  return Harness()


def missing(error: ImportError) -> ImportError:
  """What to raise where `lm_eval` cannot be imported."""
  return ImportError(
    f"The harness needs the package lm_eval ({error}).\n"
    "pip install 'alignjax[evals]'"
  )


def _likelihoods(
  subject: Subject,
  asked: Sequence[tuple[Sequence[int], Sequence[int]]],
  name: str,
  show: Show,
) -> list[Likelihood]:
  """Of (context, continuation) in tokens, in their order."""
  if not asked:
    return []
  pairs = [
    Asked(np.asarray(context, np.int32), np.asarray(continuation, np.int32))
    for context, continuation in asked
  ]
  check(subject.lm, pairs, name)
  known: dict[int, Likelihood] = {}
  for found, done, total in likelihoods(
    subject.lm, subject.params, pairs, batch=subject.batch, place=subject.place
  ):
    known |= found
    show(name, done, total)
  return [known[i] for i in range(len(asked))]


def _answers(
  subject: Subject,
  asked: Sequence[tuple[list[int], int, Sequence[str]]],
  show: Show,
) -> list[str]:
  """Of (prompt in tokens, most tokens of the answer, texts it is cut at)."""
  lm, params, tokenizer, template, _, _, rows = subject
  added = tokenizer.get_added_vocab()
  lots = []
  for most in sorted({most for _, most, _ in asked}):
    own = [i for i, one in enumerate(asked) if one[1] == most]
    own.sort(key=lambda i: -len(asked[i][0]))
    lots += [(most, own[at : at + rows]) for at in range(0, len(own), rows)]
  texts = [""] * len(asked)
  made = {}
  for done, (most, lot) in enumerate(lots, 1):
    if most not in made:
      made[most] = make_generator(
        lm, tokenizer, template, max_tokens=most, rows=rows
      )
    answers = made[most](params, [asked[i][0] for i in lot])
    for i, (answer,) in zip(lot, answers):
      until = asked[i][2]
      # Control tokens are not in the text, so a task's are looked for here.
      ends = {added[s] for s in until if s in added}
      ends |= set(templates.stop_ids(tokenizer, template))
      tokens = list(takewhile(lambda x, e=ends: x not in e, answer.tokens))
      text = tokenizer.decode(tokens, skip_special_tokens=True)
      for stop in filter(None, until):
        text = text.split(stop)[0]
      texts[i] = text
    show("generate_until", done, len(lots))
  return texts


def _check(said: Mapping) -> None:
  """Refuses what greedy decoding does not do."""
  if said["do_sample"]:
    raise ValueError(
      f"A task samples its answers (do_sample = {said['do_sample']}, "
      f"temperature = {said.get('temperature')}); here they are greedy.\n"
      "Set do_sample: false among its generation_kwargs."
    )
  other = {
    k: x
    for k, x in said.items()
    if k not in SAID and (k, x) != ("num_beams", 1)
  }
  for key, value in other.items():
    raise ValueError(
      f"A task asks for {key} = {value!r} in its generation_kwargs, which is "
      f"not supported.\nTake it out; legal: {', '.join(SAID)}."
    )
