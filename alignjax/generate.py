"""Text in, text out: chat template, sampling, decoding."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import jax
import numpy as np

from alignjax.data import chat
from alignjax.data.templates import Template, stop_ids
from alignjax.models.lm import LM, Params
from alignjax.sample import make_sampler, prompts_of
from alignjax.sharding import fetched

Messages = Sequence[Mapping] | Sequence[int]


class Completion(NamedTuple):
  """One sampled answer.

  text: without its stop token. tokens and logps (nats): with it. stopped:
  whether it ended by itself, not by the limit.
  """

  text: str
  tokens: list[int]
  logps: list[float]
  stopped: bool


def make_generator(
  lm: LM,
  tokenizer,
  template: Template,
  *,
  max_tokens: int,
  temperature: float = 0.0,
  top_k: int = 0,
  top_p: float = 1.0,
  min_p: float = 0.0,
  samples: int = 1,
  seed: int = 0,
  rows: int = 1,
) -> Callable[..., list[list[Completion]]]:
  """(params, conversations, row_ids=None) → `samples` completions of each.

  Prompts are padded to multiples of 64 tokens and the rows to a multiple of
  `rows`; a shape is compiled when it is first met. The same seed and the same
  list of conversations give the same answers. A prompt may also be the tokens
  of one, as a list of int. row_ids: what chooses the sampling keys of each
  conversation; without, they are numbered, so that two calls draw alike.
  """
  stop = stop_ids(tokenizer, template)
  sampler = jax.jit(
    make_sampler(
      lm,
      max_tokens=max_tokens,
      temperature=temperature,
      top_k=top_k,
      top_p=top_p,
      min_p=min_p,
      stop=stop,
    )
  )

  def generate(
    params: Params,
    conversations: Sequence[Messages],
    row_ids: Sequence[int] | None = None,
  ) -> list[list[Completion]]:
    ids = [
      m if isinstance(m[0], int) else chat.prompt_ids(m, tokenizer, template)
      for m in conversations
    ]
    limit = lm.config.max_length - max_tokens
    longest = max(map(len, ids))
    if longest > limit:
      raise ValueError(
        f"A prompt has {longest} tokens; the model's {lm.config.max_length} "
        f"leave {limit} beside {max_tokens} new ones."
      )
    largest = max(map(max, ids))
    if largest >= lm.config.vocab:
      raise ValueError(
        f"A prompt holds token {largest}, outside the model's vocabulary of "
        f"{lm.config.vocab}.\nThe tokenizer is not this model's."
      )
    multiple = 64 if longest + 63 <= limit else 1
    prompts = prompts_of(ids, samples=samples, multiple=multiple, rows=rows)
    if row_ids is not None:
      own = np.arange(samples)[None] + samples * np.asarray(row_ids)[:, None]
      prompts.rows[: own.size] = own.ravel().astype(np.int32)
    out = fetched(sampler(params, prompts, jax.random.key(seed)))

    def completion(i):
      n = int(out.lengths[i])
      tokens = out.tokens[i, :n].tolist()
      stopped = bool(out.stopped[i])
      text = tokenizer.decode(
        tokens[:-1] if stopped else tokens, skip_special_tokens=True
      )
      return Completion(text, tokens, out.logps[i, :n].tolist(), stopped)

    return [
      [completion(i * samples + j) for j in range(samples)]
      for i in range(len(ids))
    ]

  return generate
