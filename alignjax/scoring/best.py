"""Which of several answers a reward model likes best: best-of-n.

The baseline of RLHF that trains nothing; it is at most log n − (n − 1)/n nats
an answer away from what it draws from (Stiennon et al. 2020, appendix G.3).
"""

from collections.abc import Mapping, Sequence

import numpy as np

from alignjax import pretrained
from alignjax.data import chat
from alignjax.data.templates import Template
from alignjax.generate import Completion
from alignjax.scoring import forward


def best(
  model: str,
  tokenizer,
  template: Template,
  asked: Sequence[Sequence[Mapping]],
  answers: Sequence[Sequence[Completion]],
) -> list[tuple[Completion, float]]:
  """For each conversation the answer of the highest score, and the score.

  model: a folder of a reward model with one head. tokenizer, template: those
    that `answers` were sampled with; scored are the tokens as they were
    sampled.

  Raises ValueError for a model that cannot read these tokens.
  """
  lm, params, own = pretrained.load(model)
  if lm.config.scores != 1:
    raise ValueError(
      f"{model} has {lm.config.scores} scalar heads; --best-by takes a reward "
      "model of one."
    )
  if own is not None and own.get_vocab() != tokenizer.get_vocab():
    raise ValueError(
      f"{model} has another tokenizer than the model that answers.\nAnswers "
      "are scored as the tokens they were sampled as; use one of its family."
    )
  sequences = [
    np.array([*chat.prompt_ids(turns, tokenizer, template), *one.tokens])
    for turns, several in zip(asked, answers)
    for one in several
  ]
  longest = max(map(len, sequences))
  if longest > lm.config.max_length:
    raise ValueError(
      f"An answer and its prompt have {longest} tokens; {model} takes "
      f"{lm.config.max_length}.\nLower --max-tokens."
    )
  place = forward.placement()
  scores = forward.score(
    lm,
    params,
    [x.astype(np.int32) for x in sequences],
    batch=forward.batch_size(0, place),
    place=place,
    progress=lambda done, total: None,
  )[:, 0]
  found, at = [], 0
  for several in answers:
    own_scores = scores[at : at + len(several)]
    i = int(own_scores.argmax())
    found.append((several[i], float(own_scores[i])))
    at += len(several)
  return found
