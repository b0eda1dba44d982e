"""Every kind of every loss with options, and small statistics to take it of."""

import importlib
import pkgutil
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from alignjax import losses
from alignjax.types import Batch

FREE = dict(beta=0.5, reference_free=False)
LINK = dict(FREE, divergence="reverse_kl")
DPO = {
  "sigmoid": dict(LINK, label_smoothing=0.1),
  "sigmoid_norm": dict(LINK, label_smoothing=0.1),
  "hinge": LINK,
  "ipo": LINK,
  "ipo_sum": LINK,
  "robust": dict(LINK, label_smoothing=0.1),
  "exo_pair": dict(LINK, label_smoothing=1e-3),
  "discopop": dict(LINK, tau=0.05),
  "nca_pair": FREE,
  "bco_pair": FREE,
  "sppo_hard": FREE,
  "apo_zero": FREE,
  "apo_down": FREE,
  "wpo": dict(FREE, label_smoothing=0.1),
  "ld": dict(FREE, label_smoothing=0.1, ld_alpha=0.3),
}
AOT = {
  kind: dict(FREE, label_smoothing=0.1) for kind in ("aot", "aot_unpaired")
}
CPO = {
  "sigmoid": dict(beta=0.5, label_smoothing=0.1, alpha=1.0),
  "hinge": dict(beta=0.5, alpha=1.0),
  "ipo": dict(beta=0.5, alpha=1.0),
  "simpo": dict(beta=2.0, gamma=0.5, alpha=0.0),
}
ORPO = {kind: dict(beta=0.1) for kind in ("loss", "with_prompt")}
REWARD = {"bt": {}, "centre": {}}
KTO = {
  kind: dict(beta=0.5, desirable_weight=1.0, undesirable_weight=1.5)
  for kind in ("kto", "apo_zero_unpaired")
}
SFT = {kind: {} for kind in ("loss", "chosen", "dft")}
CLIP = dict(low=0.2, high=0.3)
GRPO = {
  "grpo": dict(CLIP, cap=2.0),
  "dapo": dict(CLIP, cap=2.0),
  "dr_grpo": dict(CLIP, cap=2.0, max_tokens=10),
  "gspo": CLIP,
  "cispo": dict(high=5.0),
  "kl": dict(over="sequences", corrected=True),
}
PPO = {"policy": dict(clip=0.2), "value": dict(clip=0.2), "entropy": {}}
OPTIONS = {
  "aot": AOT,
  "cpo": CPO,
  "distill": {"loss": {}},
  "dpo": DPO,
  "grpo": GRPO,
  "kto": KTO,
  "orpo": ORPO,
  "ppo": PPO,
  "reward": REWARD,
  "rloo": {"loss": CLIP},
  "sft": SFT,
}
# Files of losses: each has its line above.
FILES = [m.name for m in pkgutil.iter_modules(losses.__path__)]
MODULES = {
  name: importlib.import_module(f"alignjax.losses.{name}") for name in FILES
}
KINDS = [
  (MODULES[name], kind, options)
  for name, kinds in OPTIONS.items()
  for kind, options in kinds.items()
]
NAMES = [f"{name}-{kind}" for name, kinds in OPTIONS.items() for kind in kinds]

each = pytest.mark.parametrize("module, kind, options", KINDS, ids=NAMES)

# Four rows: two pairs, one, one after a prompt that is read out, none.
IDS = jnp.array(
  [
    [1, 1, 1, 2, 2, 3, 4, 4, 4, 0],
    [1, 1, 2, 2, 2, 2, 0, 0, 0, 0],
    [0, 0, 1, 2, 2, 2, 0, 0, 0, 0],
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
  ]
)
ENDS = jnp.array([[5, 9, 12, 20], [4, 9, 0, 0], [3, 7, 0, 0], [0, 0, 0, 0]])
PROMPT = jnp.zeros((4, 10)).at[2, :2].set(1.0)
THERE = ENDS > 0
READ = (IDS > 0) | (PROMPT > 0)


def sampled(mask):
  """Fields of a rollout, of the tokens where mask."""
  draw = np.random.default_rng(4)
  found = {
    "old/logp": -draw.uniform(0.1, 3, mask.shape),
    "old/value": draw.normal(0, 1, mask.shape),
    "advantages": draw.normal(0, 1, mask.shape),
    "returns": draw.normal(0, 1, mask.shape),
    "valued": np.ones(mask.shape),
  }
  return {k: jnp.float32(jnp.where(mask, x, 0.0)) for k, x in found.items()}


def batch_of(ids=IDS, ends=ENDS, **fields):
  zeros = jnp.zeros_like(ids)
  draw = np.random.default_rng(3)
  known = {
    "reference/logp": jnp.float32(-draw.uniform(0.1, 3, ids.shape)),
    "label": jnp.float32(ends > 0) * jnp.array([1.0, 0] * (ends.shape[1] // 2)),
    "margin": jnp.zeros(ends.shape),
    "prompt": PROMPT,
    "kl": jnp.zeros(ends.shape),
    **sampled(ids > 0),
  }
  known |= fields
  read = (ids > 0) | (known["prompt"] > 0)
  return Batch(*[zeros] * 5, ids, 1.0 * read, None, ends, known)


def stats_of(seed=0):
  draw = np.random.default_rng(seed)
  tokens = {
    "logp": -draw.uniform(0.1, 3, IDS.shape),
    "entropy": draw.uniform(0, 2, IDS.shape),
    "correct": draw.integers(0, 2, IDS.shape),
    "sum_p2": draw.uniform(0.1, 1, IDS.shape),
    "jsd": draw.uniform(0, 1, IDS.shape),
    "value": draw.normal(0, 1, IDS.shape),
    "score": draw.normal(0, 1, ENDS.shape),
  }
  return {name: jnp.float32(x) for name, x in tokens.items()}


def needs_of(module, kind):
  return getattr(getattr(module, kind), "needs", module.needs)


def total(module, kind, options, stats, batch):
  """(Σ of the terms' means, Terms)."""
  stats = {name: stats[name] for name in needs_of(module, kind)}
  terms = getattr(module, kind)(stats, batch, **options)
  return sum(
    t.sum / jnp.maximum(t.weight, 1e-9) for t in terms.loss.values()
  ), terms


def gradient(module, kind, options, stats, batch):
  """((Σ of the terms' means, Terms), its gradient)."""
  value = partial(total, module, kind, options)
  return jax.value_and_grad(value, has_aux=True)(stats, batch)


def same(found, expected, **tolerance):
  tolerance = tolerance or dict(rtol=1e-6, atol=1e-6)
  jax.tree.map(
    partial(np.testing.assert_allclose, **tolerance), found, expected
  )
