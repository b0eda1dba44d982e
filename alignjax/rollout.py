"""Rollouts: a source of batches that reads the parameters.

Prompts are answered by the policy as it is, answers are scored, and what is
known of them (`experience`) is gone through in minibatches.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from alignjax.data.mixture import Order
from alignjax.sample import Prompts
from alignjax.sharding import fetched
from alignjax.types import Batch


class Question(NamedTuple):
  """A prompt to answer (host).

  ids: its tokens. messages: its turns. row: what else its source knew.
  """

  ids: np.ndarray
  messages: tuple[dict, ...]
  row: dict
  origin: str


class Plan(NamedTuple):
  """How rollouts become updates.

  batch: rows of an update, completions or pairs of them. minibatches: of a
  rollout. epochs: passes over a rollout. samples: completions of a prompt.
  pairs: whether these become one pair.
  """

  batch: int
  minibatches: int
  epochs: int
  samples: int
  pairs: bool = False

  @property
  def rows(self) -> int:
    """Rows of a rollout."""
    return self.batch * self.minibatches

  @property
  def completions(self) -> int:
    """Completions of a rollout."""
    return self.rows * self.samples if self.pairs else self.rows

  @property
  def prompts(self) -> int:
    """Prompts of a rollout."""
    return self.completions // self.samples

  @property
  def updates(self) -> int:
    """Steps between rollouts."""
    return self.minibatches * self.epochs


class Answers(NamedTuple):
  """What was sampled, as rewards see it: a completion each, on the host, and
  the batch they lie in, on the mesh."""

  questions: Sequence[Question]
  texts: Sequence[str]
  batch: Batch


class Told(NamedTuple):
  """What is told of a rollout: means, and some of its completions."""

  metrics: dict[str, float]
  table: list[dict]


def means(table: Sequence[Mapping]) -> dict[str, float]:
  """What is logged of completions: means over the rows of a table."""

  def mean(values) -> float:
    return float(np.mean(list(values)))

  own = {
    "objective/scores": mean(row["score"] for row in table),
    "objective/kl": mean(row["kl"] for row in table),
    "completions/mean_length": mean(row["tokens"] for row in table),
    "completions/clipped_ratio": mean(not row["stopped"] for row in table),
  }
  rewards = (name for name in table[0] if name.startswith("reward/"))
  return {k: mean(row[k] for row in table) for k in rewards} | own


Reward = Callable[[Answers], Float[np.ndarray, "B"]]


def order(plan: Plan, seed: int, rollout: int) -> np.ndarray:
  """int32 [updates, batch]: which rows each update of a rollout takes.

  Every epoch is another permutation, by (seed, rollout).
  """
  # Raw bits are the same in every version of numpy.
  bits = np.random.PCG64([seed, rollout]).random_raw((plan.epochs, plan.rows))
  found = np.argsort(bits, axis=1, kind="stable")
  return found.reshape(plan.updates, plan.batch).astype(np.int32)


class Rollouts:
  """Minibatches of experience by step; a new rollout at every `plan.updates`.

  longest: tokens that prompts are padded to.
  sampler: (state, Prompts) → Samples. lay, experience, take: `laid`, what
  `make_experience` gives, and `rows`, of `alignjax.experience`. These are
  jitted, and lay rows over the mesh.
  decode: token ids → text.
  rewards: name → (weight, function). penalty: what a completion without its
  stop token loses. clip: scores are held within ± clip; 0 = they are not.
  stop: mean of policy/approxkl_avg, in nats a token, after which the rest of a
  rollout is passed over; 0 = never.
  mix: (step's batch, step) → the same with rows of other data.
  """

  def __init__(
    self,
    questions: Sequence[Question],
    plan: Plan,
    *,
    longest: int,
    sampler: Callable,
    lay: Callable,
    experience: Callable,
    take: Callable,
    put: Callable,
    decode: Callable[[Sequence[int]], str],
    rewards: Mapping[str, tuple[float, Reward]],
    penalty: float,
    clip: float,
    stop: float,
    mix: Callable[[Batch, int], Batch],
    seed: int,
  ):
    self.questions, self.plan, self.size = questions, plan, plan.batch
    self.sampler, self.lay, self.experience = sampler, lay, experience
    self.take, self.put, self.decode = take, put, decode
    self.rewards, self.penalty, self.clip = rewards, penalty, clip
    self.stop, self.mix, self.seed = stop, mix, seed
    self.longest = longest
    self._order = Order({"": len(questions)}, {"": 1.0}, seed)
    self._batch, self._over = None, False

  def indices(self, rollout: int) -> list[int]:
    """Questions of a rollout, each once; it asks them `samples` times."""
    n = self.plan.prompts
    return [self._order[i][1] for i in range(rollout * n, (rollout + 1) * n)]

  def origins(self, step: int) -> list[str]:
    """Where the prompts of a step came from."""
    rollout, part = divmod(step, self.plan.updates)
    chosen = self.indices(rollout)
    taken = order(self.plan, self.seed, rollout)[part]
    rows = self.plan.rows // self.plan.prompts  # of a prompt
    at = [chosen[int(i) // rows] for i in taken]
    return [self.questions[i].origin for i in at]

  def epochs(self, step: int) -> dict[str, float]:
    """Passes over the prompts before a step."""
    asked = step // self.plan.updates * self.plan.prompts
    return {"epoch": asked / len(self.questions)}

  def begins(self, step: int) -> bool:
    """Whether a run may go on from a step: from the first of a rollout."""
    return step % self.plan.updates == 0

  def __call__(self, state, step: int):
    """(state, the step's batch, what is told of a new rollout or None).

    No batch: the step is passed over.
    """
    rollout, part = divmod(step, self.plan.updates)
    told = None
    if part == 0:
      state, told = self._roll(state, rollout)
      self._taken = order(self.plan, self.seed, rollout)
      self._over = False
    elif self._batch is None:
      raise ValueError(
        f"Step {step} is inside of a rollout, whose experience is not kept."
      )
    if self._over:
      return state, None, told
    batch = self.take(self._batch, self._taken[part])
    return state, self.mix(batch, step), told

  def heard(self, done: int, metrics: Mapping[str, float]) -> dict:
    """What came of the last of `done` steps; where the rest of the rollout is
    passed over for it: why, and how many steps that are."""
    moved = metrics.get("policy/approxkl_avg", 0.0)
    left = -done % self.plan.updates
    self._over = bool(self.stop) and moved > self.stop
    if not self._over or not left:
      return {}
    return {"policy/approxkl_avg": moved, "passed": left}

  def prompts(self, rollout: int) -> tuple[list[Question], Prompts]:
    """Questions of a rollout's rows, and their tokens [rows, longest]."""
    p = self.plan
    asked = [self.questions[i] for i in self.indices(rollout)]
    asked = [q for q in asked for _ in range(p.samples)]
    tokens = np.zeros((p.completions, self.longest), np.int32)
    for row, q in zip(tokens, asked):
      row[: len(q.ids)] = q.ids
    lengths = np.array([len(q.ids) for q in asked], np.int32)
    n = p.completions
    ids = rollout * n + np.arange(n, dtype=np.int32)
    return asked, Prompts(tokens, lengths, ids)

  def ahead(self, step: int) -> None:
    """Nothing is made before its parameters are there."""

  def answer(self, state, stop: Callable[[], bool]) -> Told | None:
    """What is told of the completions of all questions, each asked once, in as
    many rollouts as it takes; None where stopped.

    What is left of the last one's rows is answered too, and not counted. stop:
    asked before each.
    """
    table = []
    for rollout in range(-(-len(self.questions) // self.plan.prompts)):
      if stop():
        return None
      table += self._roll(state, rollout)[1].table
    table = table[: len(self.questions) * self.plan.samples]
    return Told(means(table), table)

  def score(
    self, answers: Answers, stopped: np.ndarray
  ) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """(what each reward says, their weighted sum after clip and penalty)."""
    parts = {name: f(answers) for name, (_, f) in self.rewards.items()}
    scores = sum(self.rewards[k][0] * x for k, x in parts.items())
    if self.clip:
      scores = np.clip(scores, -self.clip, self.clip)
    return parts, np.float32(scores - self.penalty * (stopped == 0))

  def _roll(self, state, rollout: int):
    """(state, what is told of the completions); the batch is kept."""
    asked, prompts = self.prompts(rollout)
    prompts = self.put(prompts)
    samples = self.sampler(state, prompts)
    batch = self.lay(prompts, samples)
    out = fetched(samples)
    ends = zip(out.tokens, out.lengths, out.stopped)
    texts = [self.decode(ids[: n - end].tolist()) for ids, n, end in ends]
    parts, scores = self.score(Answers(asked, texts, batch), out.stopped)
    control, self._batch, kl, found = self.experience(
      state, batch, samples.logps, self.put(scores)
    )
    columns = {
      "score": scores,
      "kl": fetched(kl),
      "tokens": out.lengths,
      "stopped": out.stopped > 0,
      **{f"reward/{name}": x for name, x in parts.items()},
    }
    table = [
      {
        "prompt": q.messages[-1]["content"],
        "completion": text,
        **{name: x[i].item() for name, x in columns.items()},
      }
      for i, (q, text) in enumerate(zip(asked, texts))
    ]
    metrics = {k: float(v) for k, v in found.items()} | means(table)
    return state._replace(control=control), Told(metrics, table)
