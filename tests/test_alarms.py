"""Alarms of a rollout: each on both sides of its limit, said when it begins."""

import re

import numpy as np
import pytest

from alignjax.alarms import QUIET, RARE, TOLERANCE, Alarms, alarms
from configs import common

FINE = {
  "objective/kl": 0.8,
  "objective/scores": 0.4,
  "objective/kl_coef": 0.05,
  "objective/entropy": 1.2,
  "rollout/logp_gap": 3e-7,
  "rollout/equal_groups": 0.5,
  "rollout/length_change": 1.0,
  "rollout/score_std": 0.3,
  "completions/mean_length": 20.0,
  "completions/clipped_ratio": 0.1,
  "val/ratio_gap": 2e-7,
  "policy/approxkl_avg": 1e-9,
}
LIMITS = dict(completions=64, tolerance=1e-4, kl_limit=10.0)
FLOOR = -RARE / 64

# Kind, metric, the last value that is fine, the first that is not.
CASES = [
  ("negative_kl", "objective/kl", FLOOR + 1e-6, FLOOR - 1e-6),
  ("logp_gap", "rollout/logp_gap", 1e-4, 1.1e-4),
  ("ratio", "val/ratio_gap", 1e-4, 1.1e-4),
  ("equal_scores", "rollout/score_std", 1e-5, 1e-8),
  ("equal_scores", "rollout/score_std", 1e-5, 0.0),
  ("equal_groups", "rollout/equal_groups", 0.9, 0.91),
  ("cut", "completions/clipped_ratio", 0.5, 0.52),
  ("longer", "rollout/length_change", 2.0, 2.01),
  ("shorter", "rollout/length_change", 0.34, 0.33),
  ("kl", "objective/kl", 10.0, 10.1),
  ("entropy", "objective/entropy", 0.05, 0.049),
]


def fits(text):
  lines = text.splitlines()
  assert len(lines) <= 3 and max(map(len, lines)) <= 80, text


def test_wide_numbers_fit():
  wide = {"objective/kl": -1234.5, "rollout/logp_gap": 1.234e-4}
  wide |= {"val/ratio_gap": 1.234e-4, "rollout/score_std": 0.0}
  wide |= {"objective/scores": -1.2345e-7, "rollout/length_change": 0.0123}
  wide |= {"completions/clipped_ratio": 0.567, "objective/entropy": 1.23e-12}
  limits = {"completions": 10_240, "tolerance": 1.05e-4, "kl_limit": 123.4}
  low = alarms(FINE | wide, **limits)
  high = {"objective/kl": 1.234e9, "rollout/length_change": 1.23e9}
  high = alarms(FINE | high | {"rollout/equal_groups": 0.912}, **limits)
  assert set(low) | set(high) == {kind for kind, *_ in CASES}
  for text in (*low.values(), *high.values()):
    fits(text)


def test_a_rollout_without_fault_raises_none():
  assert alarms(FINE, **LIMITS) == {}


@pytest.mark.parametrize("kind, name, fine, wrong", CASES)
def test_each_on_both_sides_of_its_limit(kind, name, fine, wrong):
  assert alarms(FINE | {name: fine}, **LIMITS) == {}
  found = alarms(FINE | {name: wrong}, **LIMITS)
  assert list(found) == [kind]
  text = found[kind]
  assert text.startswith(f"{name} = ")
  fits(text)


@pytest.mark.parametrize("name", FINE)
def test_what_is_not_there_raises_none(name):
  assert alarms({k: v for k, v in FINE.items() if k != name}, **LIMITS) == {}
  assert alarms(FINE | {name: float("nan")}, **LIMITS) == {}


def test_a_step_without_a_rollout_is_not_looked_at():
  """Later updates of a rollout move ratios from 1, as they should."""
  later = {"val/ratio_gap": 0.3, "objective/kl": 1000.0}
  assert alarms(later, **LIMITS) == {}


def test_a_limit_of_nothing_is_none():
  far = FINE | {"objective/kl": 1e4}
  assert alarms(far, **LIMITS | {"kl_limit": 0.0}) == {}


def test_tolerance_is_of_the_dtype():
  coarse = FINE | {"rollout/logp_gap": 0.03, "val/ratio_gap": 0.01}
  assert set(alarms(coarse, **LIMITS)) == {"logp_gap", "ratio"}
  limits = LIMITS | {"tolerance": TOLERANCE["bfloat16"]}
  assert alarms(coarse, **limits) == {}


def test_equal_scores_are_said_once_though_groups_are_equal_too():
  same = {"rollout/score_std": 0.0, "rollout/equal_groups": 1.0}
  assert list(alarms(FINE | same, **LIMITS)) == ["equal_scores"]


@pytest.mark.parametrize("completions", [4, 32, 512])
@pytest.mark.parametrize("moved", [0.0, 0.01, 0.1, 0.5, 2.0])
def test_chance_does_not_make_kl_negative(completions, moved):
  """Completions of 8 tokens from softmax(moved · normal), reference uniform;
  the estimate is below 0 at times, and the alarm does not speak."""
  draw = np.random.default_rng(completions)
  logits = moved * draw.normal(size=50)
  logp = logits - np.log(np.exp(logits).sum())
  shape = 2000, completions, 8
  tokens = draw.choice(50, size=shape, p=np.exp(logp))
  means = (logp[tokens] + np.log(50)).sum(-1).mean(-1)
  limits = LIMITS | {"completions": completions, "kl_limit": 0.0}
  for kl in (means.min(), means.mean()):
    assert alarms(FINE | {"objective/kl": kl}, **limits) == {}
  if moved in (0.01, 0.1) and completions < 512:
    assert means.min() < 0


def test_completions_drawn_otherwise_than_scored_are_noticed():
  """Drawn evenly, scored as if by a sharper policy."""
  draw = np.random.default_rng(0)
  logits = draw.normal(size=50)
  logp = logits - np.log(np.exp(logits).sum())
  tokens = draw.integers(0, 50, (64, 8))
  kl = (logp[tokens] + np.log(50)).sum(-1).mean()
  assert kl < -2
  assert list(alarms(FINE | {"objective/kl": kl}, **LIMITS)) == ["negative_kl"]


def test_said_once_and_again_after_it_ended():
  told = Alarms(**LIMITS)
  cut = FINE | {"completions/clipped_ratio": 0.6}
  both = cut | {"objective/entropy": 0.01}
  assert told(FINE) == {}
  assert list(told(cut)) == ["cut"]
  assert told(cut) == {}
  assert list(told(both)) == ["entropy"]
  for _ in range(QUIET - 1):  # not yet ended
    assert told(FINE) == {}
  assert told({"loss": 1.0}) == {}  # no rollout
  assert told(cut) == {}
  for _ in range(QUIET):
    assert told(FINE) == {}
  assert set(told(both)) == {"cut", "entropy"}


def test_keys_that_are_named_exist():
  known = common.base()
  common.rollout(known, {})
  wrong = [alarms(FINE | {name: w}, **LIMITS) for _, name, _, w in CASES]
  text = "\n".join(t for found in wrong for t in found.values())
  keys = re.findall(r"(?<![\w/.])(?:rollout|train|model|optim|data)\.\w+", text)
  assert len(set(keys)) > 8
  for key in keys:
    block, name = key.split(".")
    assert name in known[block], key
