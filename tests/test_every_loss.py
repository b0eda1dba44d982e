"""Every kind of every loss in the train step: microbatches, mesh, padding.

Statistics are looked up in tables, one of each statistic for each kind, so that
a single step has the gradient of all kinds apart.
"""

import inspect
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from loss_kinds import ENDS as PLACES
from loss_kinds import FILES, IDS, KINDS, MODULES, NAMES, OPTIONS, sampled

from alignjax import build, step
from alignjax.types import Batch

FUNCTIONS = {
  name: getattr(module, kind) for name, (module, kind, _) in zip(NAMES, KINDS)
}
COUPLED = [k for k, f in FUNCTIONS.items() if hasattr(f, "couples_rows")]
APART = [k for k in NAMES if k not in COUPLED]
NEEDS = {
  name: getattr(FUNCTIONS[name], "needs", module.needs)
  for name, (module, _, _) in zip(NAMES, KINDS)
}
# Eight rows: on a mesh of eight one device has no completion.
MORE = jnp.array(
  [
    [1, 2, 0, 0, 0, 0, 0, 0, 0, 0],
    [1, 1, 1, 1, 2, 2, 2, 2, 2, 2],
    [0, 1, 2, 2, 3, 3, 3, 4, 0, 0],
    [1, 1, 1, 2, 0, 0, 0, 0, 0, 0],
  ]
)
IDS = jnp.concatenate([IDS, MORE])
THERE = jnp.concatenate([PLACES > 0, jnp.zeros((4, 4), bool)])
THERE = THERE.at[4:, :2].set(True).at[6].set(True)
PROMPT = jnp.zeros(IDS.shape).at[2, :2].set(1.0).at[6, 0].set(1.0)
READ = (IDS > 0) | (PROMPT > 0)
# Where each token and completion stands in the tables; 0 holds no number.
TOKENS = jnp.where(READ, 1 + jnp.arange(READ.size).reshape(READ.shape), 0)
ENDS = jnp.where(THERE, 1 + jnp.arange(THERE.size).reshape(THERE.shape), 0)


# Fields that may hold anything but where tokens are read or trained, and where
# completions are.
DIRTY = {"reference/logp": "read", "label": "sides", "margin": "sides"}
DIRTY |= dict.fromkeys(
  ("old/logp", "old/value", "advantages", "returns"), "trained"
)


def batch_of():
  """The rows as short as they can be, with 0 where nothing is read."""
  draw = np.random.default_rng(3)
  label = draw.uniform(0, 1, THERE.shape)
  fields = {
    "reference/logp": jnp.where(READ, -draw.uniform(0.1, 3, READ.shape), 0.0),
    "label": jnp.where(THERE, label, 0.0),
    "margin": jnp.where(THERE, draw.uniform(0, 1, THERE.shape), 0.0),
    "prompt": PROMPT,
    # Of judged answers the second is another prompt's.
    "kl": jnp.where(THERE, jnp.array([0.0, 1, 0, 1]), 0.0),
    **sampled(IDS > 0),
  }
  fields = {k: jnp.float32(x) for k, x in fields.items()}
  weights = jnp.float32(jnp.where(READ, draw.uniform(0.5, 2, (8, 1)), 0.0))
  zeros = jnp.zeros_like(IDS)
  return Batch(*[zeros] * 4, TOKENS, IDS, weights, None, ENDS, fields)


def padded(batch):
  """Four tokens, two completions and eight rows more, all of them garbage."""

  def more(x, width, value):
    out = jnp.full((16, x.shape[1] + width), value, x.dtype)
    return out.at[:8, : x.shape[1]].set(x)

  def dirty(x, mask):
    return jnp.where(mask, x, jnp.nan)

  tokens = more(READ, 4, False)
  sides = more(THERE, 2, False)
  trained = more(IDS > 0, 4, False)
  fields = {
    k: more(x, 4, 0.0) if x.shape == READ.shape else more(x, 2, 0.0)
    for k, x in batch.fields.items()
  }
  for name, of in DIRTY.items():
    mask = {"read": tokens, "sides": sides, "trained": trained}[of]
    fields[name] = dirty(fields[name], mask)
  garbage = more(batch.tokens, 7, 39)
  return Batch(
    *[garbage] * 3,
    more(batch.where, 4, 11),
    more(batch.targets, 4, 0),
    more(batch.completions, 4, 0),
    dirty(more(batch.weights, 4, 0.0), tokens),
    None,
    more(batch.ends, 2, 0),
    fields,
  )


def tables():
  """Label → statistic → what is looked up; NaN for what is never to be."""
  draw = np.random.default_rng(0)

  def one(name):
    size = THERE.size if name == "score" else READ.size
    x = draw.uniform(0.1, 1, size + 1)
    x = -3 * x if name == "logp" else x
    return jnp.float32(x).at[0].set(jnp.nan)

  return {k: {n: one(n) for n in needs} for k, needs in NEEDS.items()}


def stats(params, batch, needs):
  """Statistic → label → [B, T], or [B, S] of scores."""
  places = {n: batch.ends if n == "score" else batch.targets for n in needs}
  return {
    n: {k: own[n][at] for k, own in params.items() if n in own}
    for n, at in places.items()
  }


def apart(label, function):
  """A loss on the statistics of its own label."""

  def loss(found, batch):
    own = {n: found[n] for n in NEEDS[label]}
    own = {n: x[label] if isinstance(x, Mapping) else x for n, x in own.items()}
    return function(own, batch)

  return loss


def objectives(names):
  found = {}
  for name in names:
    file, kind = name.split("-")
    options = OPTIONS[file][kind] | dict(name=file, kind=kind, weight=1.0)
    made = build.objective(name, options)
    first = made.first and apart(name, made.first)
    found[name] = made._replace(loss=apart(name, made.loss), first=first)
  return found


def taken(batch, accumulate=1, names=APART + COUPLED, shardings=None):
  """(gradient by label and statistic, metrics) of one step.

  Those that couple rows come last: of metrics of one name the first loss keeps
  it bare.
  """
  keeps = optax.trace(0.0)  # the gradient, as it is
  train_step = step.make_train_step(
    stats, objectives(names), keeps, lambda at: jnp.float32(1), accumulate
  )
  params = {name: x for name, x in tables().items() if name in names}
  state = step.init(params, {}, keeps)
  given = dict(in_shardings=shardings) if shardings else {}
  # It is compiled oftener than run.
  quick = {"xla_backend_optimization_level": 0}
  run = jax.jit(train_step, compiler_options=quick, **given)
  after, metrics = run(state, batch)
  assert float(metrics["skipped"]) == 0
  gradient = jax.tree.map(np.asarray, after.moments.trace)
  return gradient, {k: float(x) for k, x in metrics.items()}


@pytest.fixture(scope="module")
def whole():
  return taken(batch_of())


def same(found, whole, **tolerance):
  """Each kind's gradient and what it reports are those of one batch."""
  gradient, metrics = found
  for name in gradient:
    for stat, x in gradient[name].items():
      expected = whole[0][name][stat]
      assert x.shape == expected.shape
      np.testing.assert_allclose(
        x[1:], expected[1:], err_msg=f"{name} {stat}", **tolerance
      )
  for name, value in metrics.items():
    if name not in ("loss", "grad_norm", "tokens"):
      np.testing.assert_allclose(
        value, whole[1][name], err_msg=name, **tolerance
      )


def test_every_kind_has_options_here():
  """A new loss is tested as soon as it has a line in loss_kinds.py."""
  assert sorted(OPTIONS) == sorted(FILES)
  for name, module in MODULES.items():
    kinds = {
      k
      for k, f in vars(module).items()
      if inspect.isfunction(f)
      and f.__module__ == module.__name__
      and not k.startswith("_")
      and list(inspect.signature(f).parameters)[:2] == ["stats", "batch"]
    }
    assert set(OPTIONS[name]) == kinds, name


def test_every_kind_has_a_gradient(whole):
  for name, own in whole[0].items():
    assert any((x[1:] != 0).any() for x in own.values()), name
    for stat, x in own.items():
      assert np.isfinite(x[1:]).all(), (name, stat)


def test_padding_changes_nothing(whole):
  found = taken(padded(batch_of()))
  same(found, whole, rtol=1e-5, atol=1e-7)


def test_microbatches_are_one_batch(whole):
  same(taken(batch_of(), 4, APART), whole, rtol=1e-5, atol=1e-7)


def test_what_couples_rows_would_differ_and_is_refused(whole, tiny):
  assert COUPLED == ["aot-aot", "aot-aot_unpaired"]
  found = taken(batch_of(), 2, COUPLED)
  with pytest.raises(AssertionError):
    same(found, whole, rtol=1e-5, atol=1e-7)
  for name in COUPLED:
    file, kind = name.split("-")
    config = tiny(train__accumulate=2).copy_and_resolve_references()
    config.unlock()
    options = OPTIONS[file][kind] | dict(name=file, kind=kind, weight=1.0)
    config.loss = dict(main=options)
    with pytest.raises(ValueError, match="Set train.accumulate=1"):
      build.objectives(config)


@pytest.mark.parametrize(
  "mesh, accumulate, names",
  [((8, 1, 1), 1, APART + COUPLED), ((2, 2, 2), 2, APART)],
)
def test_a_mesh_is_one_device(whole, mesh, accumulate, names):
  axes = ("data", "fsdp", "tensor")
  mesh = jax.make_mesh(mesh, axes, axis_types=(AxisType.Auto,) * 3)
  rows = NamedSharding(mesh, PartitionSpec(("data", "fsdp")))
  everywhere = NamedSharding(mesh, PartitionSpec())
  found = taken(batch_of(), accumulate, names, (everywhere, rows))
  same(found, whole, rtol=1e-5, atol=1e-7)
