"""Objectives of sampled completions against another implementation's numbers.

`ALIGNJAX_PARITY_DIR` as in `test_parity.py`.
"""

import os
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from parity_cases import batch_of, close, close_gradient, total

from alignjax.losses import grpo, ppo, rloo
from alignjax.ops import advantages, returns

HERE = Path(__file__).parent / "fixtures" / "parity"
FOLDER = Path(os.environ.get("ALIGNJAX_PARITY_DIR") or HERE)


@pytest.fixture(autouse=True)
def float64():
  with jax.enable_x64(True):
    yield


@pytest.fixture(scope="module")
def groups():
  return dict(np.load(FOLDER / "trl_1_13_losses.npz"))


@pytest.fixture(scope="module")
def rollout():
  return dict(np.load(FOLDER / "trl_1_12_ppo.npz"))


INF = float("inf")
CLIP = dict(low=0.2, high=0.2)
FREE = dict(**CLIP, cap=INF)
KL = dict(over="sequences")
# Name in the vectors → the losses whose weighted sum it is.
GROUPS = {
  "grpo/grpo": [(1, grpo.grpo, FREE)],
  "grpo/bnpo": [(1, grpo.dapo, FREE)],
  "grpo/dapo": [(1, grpo.dapo, FREE)],
  "grpo/dr_grpo": [(1, grpo.dr_grpo, dict(**FREE, max_tokens=8))],
  "grpo/gspo": [(1, grpo.gspo, dict(low=3e-4, high=4e-4))],
  "grpo/cispo": [(1, grpo.cispo, dict(high=5.0))],
  "grpo/dapo_cliphigher_delta": [
    (1, grpo.dapo, dict(low=0.2, high=0.28, cap=1.5))
  ],
  "grpo/grpo_beta0.04_k3_biascorr": [
    (1, grpo.grpo, FREE),
    (0.04, grpo.kl, dict(**KL, corrected=True)),
  ],
  "grpo/grpo_beta0.04_k3_plain": [
    (1, grpo.grpo, FREE),
    (0.04, grpo.kl, dict(**KL, corrected=False)),
  ],
  "rloo/clip": [(1, rloo.loss, CLIP)],
}


@pytest.mark.parametrize("name", GROUPS)
def test_groups(groups, name):
  def of(key):
    return jnp.asarray(groups[f"grpo/{key}"], jnp.float64)

  mask = groups["grpo/mask"]
  batch = batch_of(
    mask,
    old__logp=of("old_logps"),
    reference__logp=of("ref_logps"),
    advantages=np.repeat(groups["grpo/adv"][:, None], mask.shape[1], 1),
  )

  def loss(logp):
    stats = {"logp": logp, "entropy": jnp.zeros_like(logp)}
    return sum(w * total(f(stats, batch, **o)) for w, f, o in GROUPS[name])

  found, gradient = jax.value_and_grad(loss)(of("logps"))
  close(found, groups[f"{name}/loss"])
  close_gradient(gradient, groups[f"{name}/grad_logps"])


PPO = {
  "k1": {},
  "k3": dict(kl="k3"),
  "whiten": dict(whiten_rewards=True),
  "eospen": {},
  "g0.9_l0.9": dict(gamma=0.9, lam=0.9),
}
USUAL = dict(
  kl="k1", gamma=1.0, lam=0.95, score_at="next", whiten_rewards=False
)


@pytest.mark.parametrize("name", PPO)
def test_ppo(rollout, name):
  def of(key):
    return jnp.asarray(rollout[f"ppo/{key}"], jnp.float64)

  def expect(x, key):
    # Printed in float32, as far as they go.
    np.testing.assert_allclose(x, of(f"{name}/{key}"), rtol=1e-5, atol=1e-6)

  options = {**USUAL, **PPO[name]}
  lengths = rollout["ppo/seq_len_idx"] + 1
  at = np.arange(rollout["ppo/responses"].shape[1])
  tokens = jnp.asarray(at < lengths[:, None])
  valued = at <= lengths[:, None]
  scores = of("scores")
  if name == "eospen":  # 1 less for a response without its stop token, 2
    stopped = (rollout["ppo/responses"] == 2).any(1)
    scores = scores - jnp.where(jnp.asarray(stopped), 0.0, 1.0)
  expect(scores, "scores")
  batch = batch_of(
    tokens.astype(jnp.int32),
    old__logp=of("logprobs"),
    reference__logp=of("ref_logprobs"),
    old__value=of("values"),
    valued=valued.astype(float),
  )
  kl = advantages.divergence(batch, kind=options["kl"])
  expect(kl, "kl")
  shaped = returns.rewards(
    kl, scores, tokens.sum(1), coefficient=0.05, score_at="next"
  )
  if not options["whiten_rewards"]:
    expect(shaped, "rewards")
  made = advantages.gae(batch, scores, jnp.float64(0.05), 1, **options)
  expect(made["advantages"], "advantages")
  expect(made["returns"], "returns")
  batch = batch._replace(fields=batch.fields | made)

  def loss(logp, values):
    stats = {"logp": logp, "entropy": 0 * logp, "value": values}
    of_policy = total(ppo.policy(stats, batch, clip=0.2))
    of_values = total(ppo.value(stats, batch, clip=0.2))
    return of_policy + 0.1 * of_values, (of_policy, of_values)

  grad = jax.value_and_grad(loss, (0, 1), has_aux=True)
  (found, parts), gradients = grad(of("new_logprobs"), of("vpred"))
  close(found, rollout[f"ppo/{name}/loss"])
  close(parts[0], rollout[f"ppo/{name}/pg_loss"])
  close(parts[1], rollout[f"ppo/{name}/vf_loss"])
  close_gradient(gradients[0], rollout[f"ppo/{name}/grad_new_logprobs"])
  close_gradient(gradients[1], rollout[f"ppo/{name}/grad_vpred"])
