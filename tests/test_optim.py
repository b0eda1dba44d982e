import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from alignjax import optim

OPTIONS = {
  "adamw": dict(b1=0.9, b2=0.95, eps=1e-8),
  "adafactor": dict(decay=0.8, min_size=4),
  "lion": dict(b1=0.9, b2=0.99),
  "muon": dict(b1=0.9, b2=0.95, eps=1e-8, beta=0.95),
  "sgd": dict(momentum=0.9),
}


def tree():
  """A parameter tree shaped as a model's: two stacked layers of width 6."""
  shapes = {
    "embed": (10, 6),
    "layers/0/attention/query/kernel": (2, 6, 2, 4),
    "layers/0/attention/out/kernel": (2, 2, 4, 6),
    "layers/0/mlp/up/kernel": (2, 6, 8),
    "layers/0/mlp_norm/scale": (2, 6),
    "tail_0/mlp/down/kernel": (8, 6),
  }
  draw = np.random.default_rng(0)
  flat = {k: jnp.float32(draw.normal(size=s)) for k, s in shapes.items()}
  return optim.unflatten_dict(flat, sep="/")


def flat(tree):
  return optim.flatten_dict(tree, sep="/")


def make(params, name="sgd", lr=0.1, **changes):
  settings = dict(
    name=name,
    clip=0.0,
    weight_decay=0.0,
    no_decay=(),
    lr_factors=(),
    options=OPTIONS[name],
  )
  made = optim.make(params, **(settings | changes))
  return optax.chain(made, optax.scale(lr))


def updates_of(optimizer, params, grads):
  return flat(optimizer.update(grads, optimizer.init(params), params)[0])


def values(name, steps, warmup, end, at):
  schedule = optim.schedule(name, lr=2.0, warmup=warmup, steps=steps, end=end)
  return [float(schedule(i)) for i in at]


def test_schedules_by_hand():
  at = (0, 1, 3, 4, 8, 12, 99)
  rise = [0.5, 1.0, 2.0, 2.0]
  cosine = values("cosine", 12, 4, 0.1, at)
  np.testing.assert_allclose(cosine, [*rise, 1.1, 0.2, 0.2], rtol=1e-6)
  linear = values("linear", 12, 4, 0.5, at)
  np.testing.assert_allclose(linear, [*rise, 1.5, 1.0, 1.0], rtol=1e-6)
  constant = values("constant", 12, 4, 1.0, at)
  np.testing.assert_allclose(constant, [*rise, 2.0, 2.0, 2.0], rtol=1e-6)
  no_warmup = values("linear", 4, 0, 0.0, (0, 2, 4))
  np.testing.assert_allclose(no_warmup, [2.0, 1.0, 0.0], atol=1e-7)
  one = values("linear", 5, 1, 0.0, (0, 1, 3, 5))
  np.testing.assert_allclose(one, [2.0, 2.0, 1.0, 0.0], atol=1e-7)


def test_schedules_that_make_no_sense_are_refused():
  for arguments, message in [
    (("step", 9, 0, 1.0), "optim.schedule = 'step'.*cosine, linear, constant"),
    (("constant", 9, 0, 0.1), "optim.end = 0.1 has no effect"),
    (("cosine", 9, 9, 0.1), "optim.warmup = 9 is not below train.steps = 9"),
  ]:
    with pytest.raises(ValueError, match=message):
      values(*arguments, at=(0,))


@pytest.mark.parametrize("name", optim.OPTIMIZERS)
def test_every_optimizer_lowers_a_quadratic(name):
  goal, params = jax.tree.map(jnp.cos, tree()), tree()
  optimizer = make(params, name, lr=0.02, clip=1.0, weight_decay=1e-3)

  def distance(params):
    parts = jax.tree.map(lambda x, y: ((x - y) ** 2).sum(), params, goal)
    return sum(jax.tree.leaves(parts))

  @jax.jit
  def step(params, moments):
    grads = jax.grad(distance)(params)
    updates, moments = optimizer.update(grads, moments, params)
    return optax.apply_updates(params, updates), moments

  moments, before = optimizer.init(params), flat(params)
  start = float(distance(params))
  for _ in range(30):
    params, moments = step(params, moments)
  assert float(distance(params)) < 0.8 * start
  for path, x in flat(params).items():
    assert not np.array_equal(x, before[path]), path


def test_sgd_by_hand():
  params = {"w": jnp.array([1.0])}
  optimizer = make(params, lr=0.1)
  moments = optimizer.init(params)
  first, moments = optimizer.update({"w": jnp.array([2.0])}, moments, params)
  then, _ = optimizer.update({"w": jnp.array([3.0])}, moments, params)
  np.testing.assert_allclose(first["w"], [-0.2], rtol=1e-6)
  np.testing.assert_allclose(then["w"], [-0.1 * (3 + 0.9 * 2)], rtol=1e-6)


def test_first_steps_of_adamw_and_lion_are_signs_and_decay_is_decoupled():
  params = {"w": jnp.array([2.0, -4.0]), "scale": jnp.array([8.0])}
  grads = {"w": jnp.array([1e-3, -7.0]), "scale": jnp.array([5.0])}
  for name in ("adamw", "lion"):
    optimizer = make(
      params, name, lr=0.1, weight_decay=0.5, no_decay=("scale",)
    )
    found = updates_of(optimizer, params, grads)
    # −lr · (sign + decay · parameter); none on the scale.
    expected = [-0.1 * (1 + 1), -0.1 * (-1 - 2)]
    np.testing.assert_allclose(found["w"], expected, rtol=1e-4)
    np.testing.assert_allclose(found["scale"], [-0.1], rtol=1e-4)


def test_adafactor_moves_by_about_one_and_keeps_factored_moments():
  params = {"w": jnp.ones((8, 6))}
  optimizer = make(params, "adafactor", lr=0.1)
  state = optimizer.init(params)
  sizes = {x.size for x in jax.tree.leaves(state)}
  assert {8, 6} <= sizes and 48 not in sizes
  rank_one = jnp.outer(jnp.arange(1.0, 9), jnp.arange(1.0, 7))
  updates, _ = optimizer.update({"w": rank_one}, state, params)
  np.testing.assert_allclose(updates["w"], -0.1 * jnp.ones((8, 6)), rtol=1e-3)


def test_muon_turns_kernels_into_scaled_orthogonal_matrices():
  params = tree()
  found = updates_of(make(params, "muon", lr=1.0), params, params)
  matrices = {
    "layers/0/attention/query/kernel": lambda x: x[1].reshape(6, 8),
    "layers/0/attention/out/kernel": lambda x: x[1].reshape(8, 6),
    "layers/0/mlp/up/kernel": lambda x: x[0],
    "tail_0/mlp/down/kernel": lambda x: x,
  }
  for path, matrix in matrices.items():
    values = np.linalg.svd(matrix(np.asarray(found[path])), compute_uv=False)
    # Five Newton-Schulz steps leave singular values near 1.
    np.testing.assert_allclose(values / (0.2 * 8**0.5), 1.0, atol=0.35)
  for path in ("embed", "layers/0/mlp_norm/scale"):  # Adam's first step
    np.testing.assert_allclose(np.abs(found[path]), 1.0, rtol=1e-4)


def test_clip_bounds_the_global_norm():
  params = {"a": jnp.zeros(1), "b": jnp.zeros(1)}
  for scale, expected in ((1.0, [-3.0, -4.0]), (10.0, [-3.0, -4.0])):
    grads = {"a": jnp.array([3.0 * scale]), "b": jnp.array([4.0 * scale])}
    found = updates_of(make(params, lr=1.0, clip=5.0), params, grads)
    np.testing.assert_allclose(
      [found["a"][0], found["b"][0]], expected, rtol=1e-6
    )
  found = updates_of(make(params, lr=1.0), params, grads)
  assert found["b"][0] == -40.0


def test_the_first_factor_that_matches_wins():
  params = tree()
  factors = ((".*/mlp/up/.*", 0.5), ("layers/.*", 0.1))
  found = updates_of(make(params, lr=1.0, lr_factors=factors), params, params)
  for path, x in flat(params).items():
    factor = 0.5 if "/up/" in path else 0.1 if "layers" in path else 1.0
    np.testing.assert_allclose(found[path], -factor * x, rtol=1e-6)


def test_split_leaves_the_trained_and_merge_brings_back():
  params = tree()
  trained, frozen = optim.split(params, (".*/attention/.*", "embed"))
  assert sorted(flat(trained)) == [
    "layers/0/mlp/up/kernel",
    "layers/0/mlp_norm/scale",
    "tail_0/mlp/down/kernel",
  ]
  assert len(flat(frozen)) == 3
  assert jax.tree.structure(optim.merge(trained, frozen)) == jax.tree.structure(
    params
  )
  for path, x in flat(optim.merge(trained, frozen)).items():
    assert x is flat(params)[path]
  assert optim.split(params, ()) == (params, {})
  paths = {k.split("/")[-1] for k in flat(trained)}
  assert paths == {"kernel", "scale"}


def test_patterns_and_options_without_effect_are_refused():
  params = tree()
  for f, message in [
    (lambda: optim.split(params, ("embedd",)), "optim.frozen: 'embedd' match"),
    (lambda: optim.split(params, (".*",)), "nothing is left"),
    (lambda: make(params, no_decay=("x",)), "optim.no_decay: 'x' matches no"),
    (lambda: make(params, lr_factors=(("x", 2.0),)), "optim.lr_factors: 'x'"),
    (
      lambda: make(params, options={"b1": 1}),
      "of optim.sgd are momentum; .*b1",
    ),
  ]:
    with pytest.raises(ValueError, match=message):
      f()
  with pytest.raises(ValueError, match="'adam' is unknown; one of adamw, "):
    optim.make(
      params,
      name="adam",
      clip=0.0,
      weight_decay=0.0,
      no_decay=(),
      lr_factors=(),
      options={},
    )


@pytest.mark.parametrize("name", optim.OPTIMIZERS)
def test_moments_are_float32_and_hold_only_what_is_trained(name):
  trained, _ = optim.split(tree(), ("embed", ".*/mlp/.*"))
  moments = make(trained, name).init(trained)
  shapes = {x.shape for x in jax.tree.leaves(moments)}
  assert not shapes & {(10, 6), (2, 6, 8), (8, 6)}
  for x in jax.tree.leaves(moments):
    assert x.dtype in (jnp.float32, jnp.int32)


def test_clipping_is_that_of_optax():
  """And nothing is changed below the norm."""
  grads = tree()
  norm = float(optax.global_norm(grads))
  for most in (norm / 7, norm * 2):
    found = optim.clipped(most).update(grads, optax.EmptyState())[0]
    other = optax.clip_by_global_norm(most).update(grads, optax.EmptyState())[0]
    jax.tree.map(
      lambda a, b: np.testing.assert_allclose(a, b, 1e-6), found, other
    )
  jax.tree.map(np.testing.assert_array_equal, found, grads)
