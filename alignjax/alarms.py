"""What is wrong with a rollout, by its numbers: value, rule or cause, remedy.

Pure, on the host. What is done about it is not decided here.
"""

import functools
import math
import textwrap
from collections.abc import Mapping

# How far the log-probabilities of a token may be apart that are computed twice,
# with a cache and without, in nats, by the dtype of activations.
TOLERANCE = {"float32": 1e-4, "bfloat16": 0.2}
RARE = math.log(1e6)  # a false alarm of negative KL in a million rollouts
EQUAL = 0.9  # share of prompts
CUT = 0.5  # share of completions
LONGER, SHORTER = 2.0, 1 / 3  # mean length, by that of the first rollout
ENTROPY = 0.05  # nats a token
QUIET = 5  # rollouts in a row without an alarm, after which it has ended
MADE = "rollout/logp_gap"  # is among the metrics of a step with a rollout


def alarms(
  metrics: Mapping[str, float],
  *,
  completions: int,
  tolerance: float,
  kl_limit: float,
) -> dict[str, str]:
  """Kind → what is to be said of it, in at most three lines of 80 columns.

  metrics: of the step that made a rollout, which is its first update. Of
    another step nothing is said, and nothing of a metric that is not there.
  completions: of the rollout.
  tolerance: nats a token (`TOLERANCE`); of ratios, how far they are from 1.
  kl_limit: nats a completion; 0 = none.

  Negative KL: the mean over n completions y, drawn from π, of
  log π(y) − log ref(y) estimates the KL, and is below 0 now and then. For
  E[ref(y)/π(y)] ≤ 1, whatever the two are, Markov's inequality has
  P(mean ≤ −x) ≤ e^(−n·x). The alarm is at n·x = ln 10⁶. Another reference
  cannot make it so low; a π that is not what was sampled from can.
  """
  if MADE not in metrics:
    return {}
  found = {}

  def value(name: str) -> float:
    return metrics.get(name, math.nan)  # of which every comparison is false

  kl, gap, scores = map(value, ("objective/kl", MADE, "objective/scores"))
  floor = -RARE / completions
  if kl < floor:
    found["negative_kl"] = _text(
      f"objective/kl = {kl:.3g} nats a completion; chance keeps "
      f"{completions:,} of them above {floor:.2g}. They were not drawn as they "
      "are scored: temperature, filters, dtype.",
      f"See rollout/logp_gap = {gap:.1e}; check rollout.temperature, "
      "model.dtype.",
    )
  if gap > tolerance:
    found["logp_gap"] = _text(
      f"{MADE} = {gap:.3g} nats, above {tolerance:g}: training gives a token "
      "another probability than it was sampled with; ratios and KL are wrong.",
      "Set model.dtype=float32; if it stays, sampling has a fault.",
    )
  ratio = value("val/ratio_gap")
  if ratio > tolerance:
    found["ratio"] = _text(
      f"val/ratio_gap = {ratio:.3g}, above {tolerance:g}, at a rollout's first "
      "update: ratios begin at 1, unless the step computes what the rollout "
      "did not.",
      "Set train.neftune=0 and model.dtype=float32.",
    )
  if value("rollout/score_std") <= 1e-6 * max(1.0, abs(scores)):
    found["equal_scores"] = _text(
      f"rollout/score_std = 0: all {completions:,} completions score "
      f"{scores:.4g}, which teaches nothing. The reward tells none apart, or "
      "all are at the bound of rollout.clip.",
      "See samples.jsonl; check config.reward, rollout.clip and data.train.",
    )
  equal = value("rollout/equal_groups")
  if equal > EQUAL and "equal_scores" not in found:
    found["equal_groups"] = _text(
      f"rollout/equal_groups = {equal:.3g}, above {EQUAL}: of so many prompts "
      "all completions have one score, and teach nothing.",
      "Raise rollout.samples or rollout.temperature, or change data.train.",
    )
  cut = value("completions/clipped_ratio")
  if cut > CUT:
    found["cut"] = _text(
      f"completions/clipped_ratio = {cut:.3g}, above {CUT}: most completions "
      "are cut before a stop token, and scored as they are.",
      "Raise rollout.max_tokens, or rollout.missing_stop: what these lose.",
    )
  length = value("rollout/length_change")
  if length > LONGER:
    found["longer"] = _text(
      f"rollout/length_change = {length:.3g} times the first mean length, "
      f"above {LONGER:g}: the reward or the loss favours length.",
      "See samples.jsonl; check config.reward, raise rollout.kl.",
    )
  if length < SHORTER:
    found["shorter"] = _text(
      f"rollout/length_change = {length:.3g} times the first mean length, "
      f"below {SHORTER:.2f}: the reward or rollout.missing_stop favours what "
      "ends at once.",
      "See samples.jsonl; check both, raise rollout.kl.",
    )
  if kl > kl_limit > 0:
    found["kl"] = _text(
      f"objective/kl = {kl:.3g} nats a completion, above rollout.kl_limit = "
      f"{kl_limit:g}: that far from the reference, scores may rise where the "
      "reward errs.",
      "Raise rollout.kl or the weight of a KL loss, or lower optim.lr.",
    )
  entropy = value("objective/entropy")
  if entropy < ENTROPY:
    found["entropy"] = _text(
      f"objective/entropy = {entropy:.3g} nats a token, below {ENTROPY}: the "
      "policy repeats itself and finds nothing new.",
      "Raise rollout.kl, lower optim.lr, or add the loss ppo, kind=entropy.",
    )
  return found


def _text(what: str, remedy: str) -> str:
  fill = functools.partial(
    textwrap.fill, width=80, break_long_words=False, break_on_hyphens=False
  )
  return f"{fill(what)}\n{fill(remedy)}"


class Alarms:
  """Alarms that begin: each is said once, and again after it has ended.

  It has ended after `QUIET` rollouts without it: a number that wavers about its
  limit is said once. Options: those of `alarms`.
  """

  def __init__(self, *, completions: int, tolerance: float, kl_limit: float):
    self._alarms = functools.partial(
      alarms,
      completions=completions,
      tolerance=tolerance,
      kl_limit=kl_limit,
    )
    self._quiet: dict[str, int] = {}  # rollouts without it, of what was said

  def __call__(self, metrics: Mapping[str, float]) -> dict[str, str]:
    """Kind → text of what begins with these metrics; {} without a rollout."""
    if MADE not in metrics:
      return {}
    found = self._alarms(metrics)
    new = {k: text for k, text in found.items() if k not in self._quiet}
    quiet = {k: n + 1 for k, n in self._quiet.items() if n + 1 < QUIET}
    self._quiet = quiet | dict.fromkeys(found, 0)
    return new
