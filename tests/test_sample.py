import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from alignjax.models.config import Rope
from alignjax.models.lm import LM
from alignjax.sample import make_sampler, prompts_of
from alignjax.sharding import Placement, make_mesh
from configs.common import ACTIVATIONS, DECODING, PARAMS

IDS = [[5, 9, 2, 7, 30, 11, 3], [8], [4, 4, 17, 22], [31, 6]]
T = 12
WARM = dict(temperature=0.8, top_k=30, top_p=0.95, min_p=0.02)


def sampler(lm, stop=(), **settings):
  greedy = dict(temperature=0.0, top_k=0, top_p=1.0, min_p=0.0)
  settings = greedy | dict(max_tokens=T, stop=stop) | settings
  return jax.jit(make_sampler(lm, **settings))


def prompts(ids=IDS, samples=1):
  return prompts_of(ids, samples=samples, multiple=8, rows=1)


@pytest.fixture(scope="module")
def greedy(lm, params):
  """Twelve greedy tokens after each prompt: windows, soft-caps and all."""
  return sampler(lm)(params, prompts(), jax.random.key(0))


@pytest.fixture(scope="module")
def warm(lm, params):
  """A function of prompts: sampled at temperature 0.8, filtered."""
  run = sampler(lm, **WARM)
  return lambda p, seed=1: run(params, p, jax.random.key(seed))


def logps_of(lm, params, ids, samples, temperature=1.0):
  """Log-softmax over the vocabulary at each sampled place, by whole rows."""
  lengths = np.array([len(x) for x in ids])
  rows = np.zeros((len(ids), lengths.max() + T), np.int32)
  for row, x, tokens in zip(rows, ids, np.asarray(samples.tokens)):
    row[: len(x)] = x
    row[len(x) : len(x) + T] = tokens
  logits = jax.jit(lm.logits)(params, rows) / temperature
  places = lengths[:, None] + np.arange(T) - 1
  found = jax.nn.log_softmax(logits)[np.arange(len(ids))[:, None], places]
  return np.asarray(found)


def chosen(logps, samples):
  index = np.asarray(samples.tokens)[..., None]
  return np.take_along_axis(logps, index, -1)[..., 0]


def test_greedy_decoding_is_the_full_forward(lm, params, greedy):
  full = logps_of(lm, params, IDS, greedy)
  np.testing.assert_array_equal(greedy.tokens, full.argmax(-1))
  np.testing.assert_allclose(greedy.logps, chosen(full, greedy), atol=1e-5)
  assert greedy.lengths.tolist() == [T] * 4
  assert greedy.stopped.tolist() == [0] * 4
  assert len(np.unique(greedy.tokens)) > 4  # no constant answer


def test_sampled_log_probabilities_are_those_of_the_full_forward(
  lm, params, warm
):
  found = warm(prompts())
  full = logps_of(lm, params, IDS, found, temperature=0.8)
  np.testing.assert_allclose(found.logps, chosen(full, found), atol=1e-5)
  # Every token passed the filters: at least min_p as likely as the likeliest.
  gap = full.max(-1) - chosen(full, found)
  assert 0 < gap.max() <= -np.log(0.02)


def test_a_sample_depends_on_its_row_id_alone(warm):
  whole = warm(prompts())
  p = prompts()
  turn = np.array([2, 0, 3, 1])
  mixed = warm(p._replace(**{n: getattr(p, n)[turn] for n in p._fields}))
  np.testing.assert_array_equal(mixed.tokens, np.asarray(whole.tokens)[turn])
  again, other = warm(prompts()), warm(prompts(), seed=2)
  np.testing.assert_array_equal(again.tokens, whole.tokens)
  assert not np.array_equal(other.tokens, whole.tokens)


def test_samples_of_a_prompt_differ_and_the_first_prompts_stay(warm):
  p = prompts(IDS[:2], samples=2)
  assert p.lengths.tolist() == [7, 7, 1, 1]
  found = np.asarray(warm(p).tokens)
  assert not np.array_equal(found[0], found[1])
  np.testing.assert_array_equal(found[0], warm(prompts()).tokens[0])


def test_stop_tokens_end_a_row_and_are_kept(lm, params, greedy):
  tokens = np.asarray(greedy.tokens)
  stop = (int(tokens[0, 4]), int(tokens[2, 6]))
  found = sampler(lm, stop)(params, prompts(), jax.random.key(0))
  for i in range(4):
    hits = np.flatnonzero(np.isin(tokens[i], stop))
    n = hits[0] + 1 if len(hits) else T
    assert int(found.lengths[i]) == n
    assert int(found.stopped[i]) == (len(hits) > 0)
    np.testing.assert_array_equal(found.tokens[i, :n], tokens[i, :n])
    np.testing.assert_array_equal(found.logps[i, :n], greedy.logps[i, :n])
    assert not found.tokens[i, n:].any() and not found.logps[i, n:].any()
  assert int(found.stopped[0]) and int(found.lengths[0]) <= 5


def test_the_same_sample_on_a_mesh(lm, params, warm):
  alone = warm(prompts())
  place = Placement(
    make_mesh((2, 2, 2)), PARAMS, ACTIVATIONS, decoding=DECODING
  )
  split = jax.device_put(params, place.tree(params))
  over = dataclasses.replace(lm, constrain=place.constrain)
  found = sampler(over, **WARM)(split, prompts(), jax.random.key(1))
  np.testing.assert_array_equal(found.tokens, alone.tokens)
  np.testing.assert_allclose(found.logps, alone.logps, atol=1e-5)


def test_prompts_by_hand():
  p = prompts_of([[3, 4, 5], [6]], samples=2, multiple=4, rows=3)
  expected = [[3, 4, 5, 0]] * 2 + [[6, 0, 0, 0]] * 2 + [[3, 4, 5, 0]] * 2
  np.testing.assert_array_equal(p.tokens, expected)
  assert p.lengths.tolist() == [3, 3, 1, 1, 3, 3]
  assert p.rows.tolist() == [0, 1, 2, 3, 4, 5]
  with pytest.raises(ValueError, match="A prompt is empty"):
    prompts_of([[1], []], samples=1, multiple=1, rows=1)


@pytest.mark.parametrize(
  "settings",
  [dict(temperature=-1.0), dict(top_p=0.0), dict(top_p=1.5)]
  + [dict(max_tokens=0), dict(top_k=-1), dict(min_p=1.5)],
)
def test_settings_out_of_range_are_refused(lm, settings):
  name, value = next(iter(settings.items()))
  with pytest.raises(ValueError, match=f"{name} = {value}"):
    sampler(lm, **settings)


def test_more_tokens_than_the_model_takes_are_refused(lm, small):
  shapes = lm.shapes()
  long = prompts([[1] * 56])
  with pytest.raises(ValueError, match="56 prompt and 12 new tokens .* 64"):
    jax.eval_shape(sampler(lm), shapes, long, jax.random.key(0))
  rope = Rope(kind="dynamic", factor=2.0, original_length=16)
  dynamic = LM(small.replace(rope=rope))
  with pytest.raises(ValueError, match="16 after which dynamic rope"):
    jax.eval_shape(sampler(dynamic), shapes, prompts(), jax.random.key(0))


def test_sampling_in_bfloat16_keeps_float32_log_probabilities(lm, params):
  half = dataclasses.replace(lm, dtype="bfloat16")
  found = jax.eval_shape(sampler(half), params, prompts(), jax.random.key(0))
  assert found.logps.dtype == jnp.float32
