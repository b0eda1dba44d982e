"""The short form of scripts/toy_dpo.py: 64 answers of two tokens."""

import numpy as np
import pytest

from scripts import toy_dpo

BETA = 0.5


@pytest.fixture(scope="module")
def toy():
  return toy_dpo.make(length=2, width=32, depth=1, beta=BETA, seed=0)


def test_every_answer_is_there_once(toy):
  assert len(toy.answers) == len(np.unique(toy.answers, axis=0)) == 64
  whole = toy.reference.sum(1, dtype=np.float64)
  np.testing.assert_allclose(np.exp(whole).sum(), 1, rtol=1e-6)
  np.testing.assert_allclose(np.exp(toy.best).sum(), 1, rtol=1e-12)
  assert -(np.exp(whole) * whole).sum() < np.log(64) - 0.1  # not uniform
  gap = toy.best - whole - toy.reward / BETA
  np.testing.assert_allclose(gap, gap[0], rtol=1e-9)
  assert abs(toy_dpo.kl(toy.best[:, None], toy.best)) < 1e-12


def test_exact_labels_lead_to_the_optimum_and_hard_ones_past_it(toy):
  assert toy_dpo.kl(toy.reference, toy.best) > 0.2
  found = {}
  for labels in ("exact", "hard"):
    params = toy_dpo.train(
      toy, labels=labels, beta=BETA, steps=150, pairs=128, seed=0
    )
    found[labels] = toy_dpo.kl(toy.logp(params), toy.best)
  assert abs(found["exact"]) < 0.01
  assert found["hard"] > 0.1
