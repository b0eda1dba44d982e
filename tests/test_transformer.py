import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from alignjax.models.layers import Block, Norm, unconstrained
from alignjax.models.lm import LM
from alignjax.models.transformer import angles
from alignjax.ops.attention import attend


def hidden(lm, params, tokens, positions=None, documents=None):
  tokens = jnp.asarray(tokens)
  if positions is None:
    positions = jnp.broadcast_to(jnp.arange(tokens.shape[1]), tokens.shape)
  if documents is None:
    documents = jnp.ones_like(tokens)
  return jax.jit(lm.hidden)(params, tokens, positions, documents)


def words(rows, length):
  tokens = np.random.default_rng(length).integers(1, 40, (rows, length))
  return jnp.asarray(tokens, jnp.int32)


def by_hand(lm, params, tokens):
  """Layer after layer, each with its own parameters: no scan, no stack."""
  c = lm.config
  positions = jnp.broadcast_to(jnp.arange(tokens.shape[1]), tokens.shape)
  ones = jnp.ones_like(tokens)
  stream = {
    "positions": positions,
    "documents": ones,
    "parents": None,
    "key_positions": positions,
    "key_documents": ones,
    "slot": jnp.int32(0),
    "global": angles(c.rope, c.head_size, positions, ones),
    "local": angles(c.local_rope, c.head_size, positions, ones),
  }
  x = jnp.take(params["embed"], tokens, axis=0)
  for i, window in enumerate(c.windows):
    path, index = c.place(i)
    layer = params
    for name in path:
      layer = layer[name]
    if index is not None:
      layer = jax.tree.map(lambda x, index=index: x[index], layer)
    block = Block(c, window, unconstrained, attend)
    x, _ = block.apply({"params": layer}, x, stream, None)
  norm = Norm(c.norm, c.norm_eps)
  return norm.apply({"params": params["final_norm"]}, x)


@pytest.mark.parametrize(
  "windows, period, stacked, tail",
  [((4, 0, 4, 0, 4), 2, 2, 1), ((4, 4, 0, 4, 4), 3, 1, 2), ((0,) * 3, 1, 3, 0)],
)
def test_scan_over_periods_is_a_loop_over_layers(
  small, draw, windows, period, stacked, tail
):
  config = small.replace(windows=windows, depth=len(windows))
  assert config.period == period
  lm = LM(config)
  params = draw(lm)
  assert sorted(params["layers"]) == [str(i) for i in range(period)]
  kernel = params["layers"]["0"]["mlp"]["up"]["kernel"]
  assert kernel.shape == (stacked, config.width, config.hidden)
  assert sum(k.startswith("tail_") for k in params) == tail
  tokens = words(2, 12)
  found = hidden(lm, params, tokens)
  np.testing.assert_allclose(
    found, jax.jit(by_hand, static_argnums=0)(lm, params, tokens), atol=2e-5
  )
  # Layers differ, and so do windows: another order gives other states.
  other = LM(config.replace(windows=tuple(9 - w for w in windows)))
  assert np.abs(found - hidden(other, params, tokens)).max() > 1e-3


def test_rms_and_layer_norm_by_hand():
  x = jnp.array([[3.0, 4.0, 0.0, 0.0]])  # mean square 25/4
  one = {"params": {"scale": jnp.array([1.0, 2.0, 1.0, 1.0])}}
  found = Norm("rms", 0.0).apply(one, x)
  np.testing.assert_allclose(found, [[1.2, 3.2, 0.0, 0.0]], rtol=1e-6)
  found = Norm("rms_plus_one", 0.0).apply(one, x)
  np.testing.assert_allclose(found, [[2.4, 4.8, 0.0, 0.0]], rtol=1e-6)
  layer = {"params": {"scale": jnp.full(2, 3.0), "bias": jnp.full(2, 1.0)}}
  found = Norm("layer", 0.0).apply(layer, jnp.array([[1.0, 5.0]]))
  np.testing.assert_allclose(found, [[-2.0, 4.0]], rtol=1e-6)
  eps = Norm("rms", 7.75).apply(one, x)  # 6.25 + 7.75 = 14
  np.testing.assert_allclose(eps[0, 0], 3 / 14**0.5, rtol=1e-6)


def test_remat_policies_give_equal_losses_and_gradients(small, draw, ragged):
  lm = LM(small.replace(windows=(4, 0), depth=2), chunk=5)
  params = draw(lm)
  batch = jax.tree.map(jnp.asarray, ragged)
  mask = batch.completions > 0

  def loss(params, remat):
    logp = dataclasses.replace(lm, remat=remat).stats(params, batch, ("logp",))
    return -jnp.where(mask, logp["logp"], 0).sum() / mask.sum()

  run = jax.jit(jax.value_and_grad(loss), static_argnums=1)
  value, grad = run(params, "none")
  for remat in ("full", "dots"):
    other, other_grad = run(params, remat)
    np.testing.assert_allclose(other, value, rtol=1e-6)
    jax.tree.map(
      lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6),
      other_grad,
      grad,
    )
  with pytest.raises(ValueError, match="remat = 'ful'.*none, full, dots"):
    dataclasses.replace(lm, remat="ful")


def test_later_tokens_and_padding_change_nothing(lm, params):
  tokens = words(1, 10)
  positions = jnp.array([[0, 1, 2, 3, 4, 5, 6, 0, 0, 0]])
  documents = jnp.array([[1] * 7 + [0] * 3])
  base = hidden(lm, params, tokens, positions, documents)
  for place, changed in ((9, range(7, 10)), (5, [5, 6])):
    other = tokens.at[0, place].set((tokens[0, place] + 1) % 40)
    found = hidden(lm, params, other, positions, documents)
    same = np.array(found == base)[0].all(-1)
    untouched = [i for i in range(10) if i not in changed]
    assert same[untouched].all() and not same[place]
  short = hidden(lm, params, tokens[:, :7])
  np.testing.assert_allclose(base[:, :7], short, atol=1e-5)


def test_packed_documents_are_as_if_alone(lm, params):
  tokens = words(1, 12)
  positions = jnp.array([[0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 5, 6]])
  documents = jnp.array([[1] * 5 + [2] * 7])
  packed = hidden(lm, params, tokens, positions, documents)
  for part in (slice(0, 5), slice(5, 12)):
    alone = hidden(lm, params, tokens[:, part])
    np.testing.assert_allclose(packed[:, part], alone, atol=2e-5)


def test_a_window_bounds_what_reaches_a_token(small, draw):
  lm = LM(small.replace(windows=(3, 3), depth=2))  # two layers reach back 4
  params = draw(lm)
  tokens = words(1, 10)
  base = hidden(lm, params, tokens)
  found = hidden(lm, params, tokens.at[0, 2].set(0))
  same = np.array(found == base)[0].all(-1)
  assert (~same).nonzero()[0].tolist() == [2, 3, 4, 5, 6]


def test_a_cache_filled_piece_by_piece_is_the_whole_row(lm, params):
  tokens = words(2, 9)
  whole = hidden(lm, params, tokens)
  positions = jnp.broadcast_to(jnp.arange(12), (2, 12))
  ones = jnp.ones((2, 12), jnp.int32)
  extend = jax.jit(lm.extend)
  past, at = None, 0
  for size in (4, 1, 1, 3):
    now = slice(at, at + size)
    x, own = extend(
      params, tokens[:, now], positions[:, now], ones[:, now], past
    )
    np.testing.assert_allclose(x, whole[:, now], atol=2e-5)
    cache = own if past is None else concatenate(past[0], own)
    at += size
    past = (cache, positions[:, :at], ones[:, :at])


def concatenate(cache, own):
  return jax.tree.map(lambda *x: jnp.concatenate(x, axis=-2), cache, own)


def test_local_rope_turns_windowed_layers_alone(small, draw):
  rope = small.rope
  other = dataclasses.replace(rope, theta=100.0)
  tokens = words(1, 8)

  def states(windows, **ropes):
    config = small.replace(windows=windows, depth=len(windows), **ropes)
    lm = LM(config)
    return hidden(lm, draw(lm), tokens)

  for windows, same in (((9,), False), ((0,), True)):
    base = states(windows, local_rope=None)
    found = states(windows, local_rope=other)
    assert bool((base == found).all()) == same


def test_bfloat16_activations_keep_float32_parameters_and_gradients(
  small, draw, ragged
):
  lm = LM(small.replace(windows=(4,), depth=1), chunk=5)
  params = draw(lm)
  half = dataclasses.replace(lm, dtype="bfloat16")
  batch = jax.tree.map(jnp.asarray, ragged)
  mask = batch.completions > 0

  def loss(lm, params):
    logp = lm.stats(params, batch, ("logp",))["logp"]
    assert logp.dtype == jnp.float32
    return -jnp.where(mask, logp, 0).sum() / mask.sum()

  value, grad = jax.jit(jax.value_and_grad(lambda p: loss(half, p)))(params)
  assert all(x.dtype == jnp.float32 for x in jax.tree.leaves(grad))
  exact = jax.jit(lambda p: loss(lm, p))(params)
  assert 0 < abs(float(value - exact)) < 0.2
  shape = jax.eval_shape(half.hidden, params, *batch[:3])
  assert shape.dtype == jnp.bfloat16
