"""Losses and gradients against the numbers of another implementation.

`ALIGNJAX_PARITY_DIR` names another folder with the same file names and keys.
"""

import json
import os
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from parity_cases import (
  batch_of,
  close,
  close_gradient,
  inputs,
  pair_case,
  pairs,
  read,
  total,
)

from alignjax.losses import aot, cpo, distill, dpo, kto, orpo, reward, sft
from alignjax.ops.divergence import jsd
from alignjax.ops.readout import readout
from alignjax.totals import ratio

HERE = Path(__file__).parent / "fixtures" / "parity"
FOLDER = Path(os.environ.get("ALIGNJAX_PARITY_DIR") or HERE)


@pytest.fixture(scope="module")
def numbers():
  return dict(np.load(FOLDER / "trl_1_13_losses.npz"))


@pytest.fixture(autouse=True)
def float64():
  with jax.enable_x64(True):
    yield


def anchor(stats, batch):
  """Cross-entropy of the chosen completions, alone."""
  terms = cpo.sigmoid(stats, batch, beta=0.1, label_smoothing=0.0, alpha=1.0)
  return terms._replace(loss={"nll": terms.loss["nll"]})


# Name in the vectors → the losses whose weighted sum it is.
plain = dict(beta=0.1, reference_free=False)
linked = dict(plain, divergence="reverse_kl")
smooth = dict(linked, label_smoothing=0.0)
sorted_ = dict(plain, label_smoothing=0.0)
DPO = {
  "sigmoid": [(1, dpo.sigmoid, smooth)],
  "sigmoid_beta0.5": [(1, dpo.sigmoid, {**smooth, "beta": 0.5})],
  "hinge": [(1, dpo.hinge, linked)],
  "ipo": [(1, dpo.ipo, linked)],
  "sigmoid_norm": [(1, dpo.sigmoid_norm, smooth)],
  "exo_pair_ls1e-3": [(1, dpo.exo_pair, {**smooth, "label_smoothing": 1e-3})],
  "nca_pair": [(1, dpo.nca_pair, plain)],
  "robust_ls0.1": [(1, dpo.robust, {**smooth, "label_smoothing": 0.1})],
  "bco_pair": [(1, dpo.bco_pair, plain)],
  "sppo_hard": [(1, dpo.sppo_hard, plain)],
  "aot": [(1, aot.aot, sorted_)],
  "aot_ls0.1": [(1, aot.aot, {**sorted_, "label_smoothing": 0.1})],
  "aot_unpaired": [(1, aot.aot_unpaired, sorted_)],
  "apo_zero": [(1, dpo.apo_zero, plain)],
  "apo_down": [(1, dpo.apo_down, plain)],
  "discopop": [(1, dpo.discopop, {**linked, "tau": 0.05})],
  "sft": [(1, anchor, {})],
  "mpo": [
    (0.8, dpo.sigmoid, smooth),
    (0.2, dpo.bco_pair, plain),
    (1.0, anchor, {}),
  ],
  "f_forward_kl": [(1, dpo.sigmoid, {**smooth, "divergence": "forward_kl"})],
  "f_js_divergence": [
    (1, dpo.sigmoid, {**smooth, "divergence": "js_divergence"})
  ],
  "f_alpha0.5": [(1, dpo.sigmoid, {**smooth, "divergence": "alpha=0.5"})],
  "wpo": [(1, dpo.wpo, sorted_)],
  "ld_alpha0.3": [(1, dpo.ld, {**sorted_, "ld_alpha": 0.3})],
}


@pytest.mark.parametrize("name", DPO)
def test_dpo(numbers, name):
  stats, batch = pair_case(numbers)

  def value(logits):
    found = stats(logits)
    terms = [(w, f(found, batch, **o)) for w, f, o in DPO[name]]
    return sum(w * total(t) for w, t in terms), terms[0][1].metrics

  logits = inputs(numbers)[0]
  grad = jax.value_and_grad(value, has_aux=True)
  (loss, metrics), gradient = grad(logits)
  close(loss, numbers[f"dpo/{name}/loss"])
  close_gradient(gradient, numbers[f"dpo/{name}/grad_logits"])
  expected = json.loads(str(numbers[f"dpo/{name}/metrics"]))
  if "rewards/margins" in metrics and name != "sft":
    for key in set(metrics) - {"mean_token_accuracy"}:
      close(ratio(metrics[key]), expected[key])
    assert set(metrics) <= set(expected)


def test_label_smoothing_is_not_ignored(numbers):
  stats, batch = pair_case(numbers)
  found = stats(inputs(numbers)[0])
  hard = dpo.sigmoid(found, batch, **smooth)
  soft = dpo.sigmoid(found, batch, **{**smooth, "label_smoothing": 0.1})
  ignored = numbers["dpo/sigmoid_ls0.1_IGNORED/loss"]
  close(total(hard), ignored)
  assert abs(total(soft) - ignored) > 1e-3
  ratios = found["logp"] - batch.fields["reference/logp"]
  sums = [np.where(batch.completions == i, ratios, 0).sum(1) for i in (1, 2)]
  x = 0.1 * (sums[0] - sums[1])
  flipped = 0.9 * np.log1p(np.exp(-x)) + 0.1 * np.log1p(np.exp(x))
  np.testing.assert_allclose(total(soft), flipped.mean(), rtol=1e-12)


KTO = dict(beta=0.1, desirable_weight=1.0, undesirable_weight=1.5)


@pytest.mark.parametrize("kind", ["kto", "apo_zero_unpaired"])
def test_kto(numbers, kind):
  logits, ref, ids, mask = inputs(numbers)
  rolled = jnp.roll(ids, -1, 0), jnp.roll(mask, -1, 0)
  labels = np.array([1, 1, 0, 0, 1, 0])

  def both(logits):
    own, other = read(logits, ids), read(logits, rolled[0])
    return {k: jnp.concatenate([own[k], other[k]], 1) for k in own}

  batch = batch_of(
    jnp.concatenate([mask[:, 1:], 2 * rolled[1][:, 1:]], 1),
    label=np.stack([labels, np.zeros(6)], 1),
    kl=np.tile([0.0, 1.0], (6, 1)),
    reference__logp=both(ref)["logp"],
  )

  def value(logits):
    terms = getattr(kto, kind)(both(logits), batch, **KTO)
    return total(terms), terms.metrics

  (loss, metrics), gradient = jax.value_and_grad(value, has_aux=True)(logits)
  close(loss, numbers[f"kto/{kind}/loss"])
  close_gradient(gradient, numbers[f"kto/{kind}/grad_logits"])
  expected = json.loads(str(numbers[f"kto/{kind}/metrics"]))
  for key in set(metrics) - {"mean_token_accuracy"}:
    close(ratio(metrics[key]), expected[key])


@pytest.mark.parametrize(
  "name", ["bt", "margin", "center0.01", "margin_center"]
)
def test_reward(numbers, name):
  logits = jnp.asarray(numbers["reward/logits"], jnp.float64)
  half = len(logits) // 2
  margin = numbers["reward/margin"] if "margin" in name else np.zeros(half)
  batch = batch_of(
    np.tile([1, 2], (half, 1)),
    label=np.tile([1.0, 0.0], (half, 1)),
    margin=np.stack([margin, np.zeros(half)], 1),
  )

  def value(logits):
    stats = {"score": pairs(logits)}
    found = reward.bt(stats, batch)
    weight = 0.01 if "center" in name else 0.0
    return total(found) + weight * total(reward.centre(stats, batch)), found

  (loss, terms), gradient = jax.value_and_grad(value, has_aux=True)(logits)
  close(loss, numbers[f"reward/{name}/loss"])
  close_gradient(gradient, numbers[f"reward/{name}/grad_logits"])
  expected = json.loads(str(numbers[f"reward/{name}/metrics"]))
  for key in terms.metrics:
    close(ratio(terms.metrics[key]), expected[key])


@pytest.mark.parametrize("name", ["nll_mean", "nll_items100", "dft"])
def test_sft(numbers, name):
  logits, _, ids, mask = inputs(numbers)
  batch = batch_of(mask[:, 1:])

  def value(logits):
    kind = sft.dft if name == "dft" else sft.loss
    (term,) = kind(read(logits, ids), batch).loss.values()
    return term.sum / 100 if name == "nll_items100" else ratio(term)

  loss, gradient = jax.value_and_grad(value)(logits)
  close(loss, numbers[f"sft/{name}/loss"])
  close_gradient(gradient, numbers[f"sft/{name}/grad_logits"])


def test_sft_in_chunks(numbers):
  _, _, ids, mask = inputs(numbers)
  batch = batch_of(mask[:, 1:])

  def value(hidden, head):
    stats = readout(
      hidden[:, :-1],
      head,
      ids[:, 1:],
      needs=("logp", "correct", "entropy"),
      chunk=4,
      softcap=0.0,
      constrain=lambda x, name: x,
    )
    return total(sft.loss(stats, batch)), stats

  given = [
    jnp.asarray(numbers[f"sft/{k}"], jnp.float64) for k in ("hidden", "lm_head")
  ]
  grad = jax.value_and_grad(value, (0, 1), has_aux=True)
  (loss, stats), gradients = grad(*given)
  close(loss, numbers["sft/chunked/loss"])
  for key, gradient in zip(("hidden", "lm_head"), gradients):
    close_gradient(gradient, numbers[f"sft/chunked/grad_{key}"])
  trained = batch.completions > 0
  assert trained.sum() == numbers["sft/chunked/n_valid"]
  entropy = (stats["entropy"] * trained).sum()
  close(entropy, numbers["sft/chunked/entropy_sum"])
  assert (stats["correct"] * trained).sum() == numbers["sft/chunked/correct"]


CPO = {
  "sigmoid": partial(cpo.sigmoid, beta=0.1, label_smoothing=0.0, alpha=0.0),
  "hinge": partial(cpo.hinge, beta=0.1, alpha=0.0),
  "ipo": partial(cpo.ipo, beta=0.1, alpha=0.0),
  "simpo": partial(cpo.simpo, beta=0.1, gamma=0.5, alpha=0.0),
  "simpo_beta2_gamma1": partial(cpo.simpo, beta=2.0, gamma=1.0, alpha=0.0),
}


@pytest.mark.parametrize("name", CPO)
def test_cpo(numbers, name):
  stats, batch = pair_case(numbers)
  value = jax.value_and_grad(lambda x: total(CPO[name](stats(x), batch)))
  loss, gradient = value(inputs(numbers)[0])
  close(loss, numbers[f"cpo/{name}/loss"])
  close_gradient(gradient, numbers[f"cpo/{name}/grad_logits"])


def test_orpo(numbers):
  stats, batch = pair_case(numbers)
  terms = orpo.loss(stats(inputs(numbers)[0]), batch, beta=0.1)
  prefix = "orpo/minus_beta_logsig_logodds_mean"
  close(ratio(terms.loss["odds_ratio"]), numbers[f"{prefix}/loss"])
  close(ratio(terms.metrics["log_odds"]), numbers[f"{prefix}/log_odds_mean"])


@pytest.mark.parametrize("beta", [0.0, 0.5, 0.9, 1.0])
def test_gkd(numbers, beta):
  student, teacher, ids, mask = inputs(numbers)
  batch = batch_of(mask)
  identity = jnp.eye(student.shape[-1], dtype=jnp.float64)

  def value(student):
    found = jsd(
      student,
      identity,
      teacher,
      identity,
      beta=beta,
      chunk=4,
      student_softcap=0.0,
      teacher_softcap=0.0,
      constrain=lambda x, name: x,
    )
    blank = jnp.zeros_like(found)
    stats = {"jsd": found, "logp": blank, "correct": blank}
    return total(distill.loss(stats, batch))

  loss, gradient = jax.value_and_grad(value)(student)
  close(loss, numbers[f"gkd/beta{beta}/loss"])
  close_gradient(gradient, numbers[f"gkd/beta{beta}/grad_student"])
