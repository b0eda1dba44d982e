"""The short form of scripts/toy_dpo.py: 64 answers of two tokens."""

import numpy as np
import pytest

from scripts import toy_dpo
from scripts.toy import kl, make, optimum, whole

BETA = 0.5


@pytest.fixture(scope="module")
def toy():
  return make(length=2, width=32, depth=1, seed=0)


@pytest.fixture(scope="module")
def best(toy):
  return optimum(toy.start, toy.reward, BETA)


def test_every_answer_is_there_once(toy, best):
  assert len(toy.answers) == len(np.unique(toy.answers, axis=0)) == 64
  np.testing.assert_allclose(np.exp(toy.start).sum(), 1, rtol=1e-6)
  np.testing.assert_allclose(np.exp(best).sum(), 1, rtol=1e-12)
  # Not uniform.
  assert -(np.exp(toy.start) * toy.start).sum() < np.log(64) - 0.1
  gap = best - toy.start - toy.reward / BETA
  np.testing.assert_allclose(gap, gap[0], rtol=1e-9)
  assert abs(kl(best, best)) < 1e-12


def test_answers_are_as_likely_as_the_loss_has_them(toy):
  np.testing.assert_allclose(toy_dpo.refer(toy), toy.reference, atol=1e-5)


def test_exact_labels_lead_to_the_optimum_and_hard_ones_past_it(toy, best):
  assert kl(toy.start, best) > 0.2
  found = {}
  for labels in ("exact", "hard"):
    params = toy_dpo.train(
      toy, labels=labels, beta=BETA, steps=150, pairs=128, seed=0
    )
    found[labels] = kl(whole(toy.logp(params)), best)
  assert abs(found["exact"]) < 0.01
  assert found["hard"] > 0.1
