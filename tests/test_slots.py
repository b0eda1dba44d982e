"""Fewer slots than rows: the same samples, in the steps of the schedule."""

import dataclasses
from collections import Counter

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from alignjax.models.config import ModelConfig
from alignjax.models.lm import LM
from alignjax.sample import make_sampler, prompts_of
from alignjax.sample.rows import blank, extended
from alignjax.sample.slots import Slots, served
from alignjax.sharding import Placement, make_mesh
from configs.common import ACTIVATIONS, DECODING, PARAMS

T = 9
N = 11
WARM = dict(temperature=0.8, top_k=30, top_p=0.95, min_p=0.02)
FREE = dict(temperature=1.0, top_k=0, top_p=1.0, min_p=0.0)
OFTEN = tuple(range(0, 40, 4))  # about every fourth token ends a row


def prompts(seed=3):
  """Ragged prompts of 1 to 7 tokens, padded to 8."""
  rng = np.random.default_rng(seed)
  ids = [rng.integers(2, 40, n).tolist() for n in rng.integers(1, 8, N)]
  return prompts_of(ids, samples=1, multiple=8, rows=1)


def sampler(lm, **options):
  return jax.jit(make_sampler(lm, **dict(max_tokens=T, stop=OFTEN) | options))


def run(lm, params, **options):
  return sampler(lm, **options)(params, prompts(), jax.random.key(5))


def same(found, expected):
  for name in ("tokens", "lengths", "stopped"):
    pair = getattr(found, name), getattr(expected, name)
    np.testing.assert_array_equal(*pair, name)
  np.testing.assert_allclose(found.logps, expected.logps, atol=1e-5)


@pytest.fixture(scope="module")
def plain(lm, params):
  """Samples of a model with windows, soft-caps and grouped heads."""
  return run(lm, params, **WARM)


@pytest.fixture(scope="module")
def gpt():
  """A layer of GPT-2's kind: learned positions, layer norms, biases."""
  config = ModelConfig(
    family="gpt2",
    vocab=40,
    width=8,
    depth=1,
    heads=2,
    kv_heads=2,
    head_size=4,
    hidden=16,
    max_length=17,
    norm="layer",
    activation="gelu_tanh",
    gated=False,
    qkv_bias=True,
    rope=None,
    tied=True,
  )
  return LM(config)


@pytest.mark.parametrize("slots", [1, 3, 64])
def test_samples_are_those_of_one_slot_a_row(lm, params, plain, slots):
  assert len({*np.asarray(plain.lengths).tolist()} - {T}) > 3
  assert set(np.asarray(plain.stopped).tolist()) == {0, 1}
  same(run(lm, params, slots=slots, **WARM), plain)


@pytest.mark.parametrize(
  "options, lengths",
  [
    (dict(stop=()), {T}),
    (dict(stop=tuple(range(40))), {1}),
    (dict(max_tokens=1), {1}),
    (dict(temperature=0.0), {1, 2, T}),
  ],
  ids=["never ended", "ended at once", "of one token", "greedy"],
)
def test_answers_of_any_length(gpt, draw, options, lengths):
  params, options = draw(gpt), FREE | options
  one = run(gpt, params, **options)
  assert lengths <= set(one.lengths.tolist())
  same(run(gpt, params, slots=4, multiple=2, **options), one)


def test_the_same_samples_on_a_mesh(lm, params, plain):
  """Eleven rows, which do not divide over it; slots do."""
  place = Placement(
    make_mesh((2, 2, 2)), PARAMS, ACTIVATIONS, decoding=DECODING
  )
  split = jax.device_put(params, place.tree(params))
  over = dataclasses.replace(lm, constrain=place.constrain)
  same(run(over, split, slots=8, multiple=4, **WARM), plain)


def test_other_prompts_are_not_compiled_for(gpt, draw):
  f, params = sampler(gpt, slots=4, multiple=2, **FREE), draw(gpt)
  for seed in (0, 1):
    found = f(params, prompts(seed), jax.random.key(seed))
    assert np.asarray(found.lengths).min() >= 1
  assert f._cache_size() == 1


# Tokens of each row; the first comes with its prompt, one with each step.
LENGTHS = (5, 2, 3, 1, 2, 4)


@pytest.mark.parametrize(
  "slots, refill, steps",
  [
    # All at once.
    (6, 1, [[0, 1, 2, 3], [0], [0, 1], [], [0], [0, 1, 2]]),
    # Rows 2 to 5 follow one another where row 1 has been; row 3 is there for
    # no step.
    (2, 1, [[0, 1, 2, 3], [0], [1, 2], [], [3], [4, 5, 6]]),
    # Two by two: a segment ends when both have.
    (2, 2, [[0, 1, 2, 3], [0], [4, 5], [], [6], [6, 7, 8]]),
    # Three at first; rows 3 and 4 as soon as two are free, then row 5 alone.
    (3, 2, [[0, 1, 2, 3], [0], [0, 1], [], [2], [2, 3, 4]]),
  ],
)
def test_steps_are_those_of_the_schedule(slots, refill, steps):
  """A row's log-probabilities are here the steps its tokens are made in."""
  lengths = jnp.array(LENGTHS)

  def grown(samples, rows, t):
    last = samples.lengths + 1 == lengths[rows]
    return extended(
      samples, jnp.where(last, 0, 7), jnp.full(rows.shape, t, float), (0,)
    )

  def begin(rows):
    samples = grown(blank(len(rows), 6, jnp.float32), rows, -1)
    none = jnp.zeros((len(rows), 0), jnp.int32)
    return Slots(rows, rows, rows, rows, samples, (), none, none)

  def step(s, t):
    return s._replace(samples=grown(s.samples, s.rows, t))

  found = served(begin, step, rows=6, slots=slots, refill=refill)
  assert found.lengths.tolist() == list(LENGTHS)
  assert found.stopped.tolist() == [1] * 6
  made = [x[1:n].tolist() for x, n in zip(found.logps, LENGTHS)]
  assert made == steps
  assert [float(x[0]) for x in found.logps] == [-1.0] * 6


def test_the_model_is_called_no_oftener(gpt, draw):
  """Each row takes the slot that is free first; none waits for the longest."""
  calls = []

  class Counted(LM):
    def extend(self, weights, tokens, *rest):
      jax.debug.callback(lambda: calls.append(tokens.shape))
      return super().extend(weights, tokens, *rest)

  found = run(Counted(gpt.config), draw(gpt), slots=3, **FREE)
  jax.block_until_ready(found)
  jax.effects_barrier()
  lengths = found.lengths.tolist()
  ends = [0, 0, 0]
  for n in lengths:
    ends[ends.index(min(ends))] += n - 1
  # Three prompts, the others one at a time, and the steps of three slots.
  assert Counter(calls) == {(3, 8): 1, (1, 8): N - 3, (3, 1): max(ends)}
  waves = [max(lengths[i : i + 3]) - 1 for i in range(0, N, 3)]
  assert max(ends) < sum(waves)


@pytest.mark.parametrize(
  "options, words",
  [
    (dict(slots=-1), "slots = -1; it must be a multiple of 1"),
    (dict(slots=6, multiple=4), "slots = 6; it must be a multiple of 4"),
  ],
)
def test_slots_that_cannot_be(gpt, options, words):
  with pytest.raises(ValueError, match=words):
    sampler(gpt, **FREE, **options)
