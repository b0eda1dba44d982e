"""What `bench.py` times of ppo, grpo and rloo: rollouts and their updates.

Prompts are words, one a token, in a file: they are read, answered, decoded and
scored by the functions that `alignjax train` calls. What scores is a rule, or
in ppo a reward model of the policy's size, asked on the rows as they lie.
"""

import json
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import jax
import numpy as np
from bench_tasks import draw, experiment, memory, model_config

from alignjax import build, optim
from alignjax.build.critics import valued
from alignjax.data.tokenizer import build as tokenizer_of
from alignjax.models.lm import LM
from alignjax.rollout import Answers
from alignjax.train import Run
from configs import common


def rollouts(a):
  """Steps of a rollout, what is known of it, and all updates by it."""
  return steps(a, *prepared(a))


def steps(a, run, state, source):
  """The same, of a run with its state and its rollouts."""
  spent = timed(source)
  base = memory()
  times = []
  updates = source.plan.updates
  for i in range(a.warmup + a.steps):
    start = time.perf_counter()
    for step in range(i * updates, (i + 1) * updates):
      state, batch, _ = source(state, step)
      state, metrics = run.train_step(state, batch)
      jax.device_get(metrics)
    times.append(1e3 * (time.perf_counter() - start))
  generating = statistics.median(spent[a.warmup :])
  new = a.batch * (a.seq - a.prompt_len)
  more = {
    "generate_ms_median": round(generating, 1),
    "generate_new_tokens_per_s": round(new / generating * 1e3, 1),
  }
  return times, a.batch * a.seq, base, more


def configured(a):
  """The task's config, with what the flags say."""
  c = experiment(a)
  r = c.rollout
  r.samples = 1 if a.task == "ppo" else a.num_generations
  r.minibatches, r.epochs = 1, a.inner_epochs
  r.max_tokens, r.temperature, r.kl = a.seq - a.prompt_len, 1.0, a.beta
  if a.task == "grpo":
    c.loss.kl.weight = a.beta
    if not a.beta:
      del c.loss.kl
  c.reward = dict(even=dict(name=f"{__name__}.even", weight=1.0))
  c.data.eval = common.source("", "")
  c.data.max_length = max(c.data.max_length, a.prompt_len)
  c.train.steps = (a.warmup + a.steps) * r.epochs
  # Nothing is looked at or kept.
  c.train.eval_every = c.checkpoint.every = c.sample.every = 0
  return c


def prepared(a):
  """(run, its state, its rollouts)."""
  config = configured(a)
  place = build.placement(config)
  lm = LM(
    model_config(a, scores=0),
    dtype=a.dtype,
    remat="full" if a.remat else "dots",
    chunk=a.chunk,
    constrain=place.constrain,
  )
  run = Run(config, place, valued(lm, config), build.objectives(config))
  params = initial(run.lm, place, a.seed)
  state = run.init(*optim.split(params, config.optim.frozen))
  with tempfile.TemporaryDirectory() as folder:
    file = Path(folder) / "prompts.jsonl"
    file.write_text("".join(questions(a)))
    config.data.train = common.source(str(file), "train")
    source = run.data(words(a.vocab), Path(folder)).train
  if a.task == "ppo":
    source.rewards = {"model": (1.0, judge(a))}
  return run, state, source


def initial(lm: LM, place, seed: int) -> dict:
  """Random parameters on the mesh."""
  make = jax.jit(lm.init, out_shardings=place.tree(lm.shapes()))
  return make(jax.random.key(seed))


def judge(a) -> Callable[[Answers], np.ndarray]:
  """What a reward model of the policy's size says of the rows as they lie."""
  place = build.placement(experiment(a, "reward"))
  lm = LM(model_config(a, scores=1), dtype=a.dtype, constrain=place.constrain)
  params = initial(lm, place, a.seed + 8)
  score = jax.jit(lambda params, batch: lm.stats(params, batch, ("score",)))

  def scored(answers):
    # What the rollout knows beside has nothing to do with a score.
    batch = answers.batch._replace(fields={})
    return np.asarray(score(params, batch)["score"])[:, 0]

  return scored


def timed(source) -> list[float]:
  """ms of each call of the sampler from here on."""
  sampler, spent = source.sampler, []

  def sample(*given):
    start = time.perf_counter()
    found = jax.block_until_ready(sampler(*given))
    spent.append(1e3 * (time.perf_counter() - start))
    return found

  source.sampler = sample
  return spent


def even(prompts, completions: Sequence[str], rows) -> list[float]:
  """The share of even ids in each completion."""
  del prompts, rows
  ids = [np.int32([word[1:] for word in x.split()]) for x in completions]
  return [float((x % 2 == 0).mean()) for x in ids]


def questions(a):
  """Lines of a file of prompts, one for each that the rollouts ask."""
  rng = np.random.default_rng(a.seed + 2)
  samples = 1 if a.task == "ppo" else a.num_generations
  for _ in range((a.warmup + a.steps) * a.batch // samples):
    ids = draw(a, a.prompt_len, rng)
    prompt = " ".join(f"t{i}" for i in ids)
    yield json.dumps({"prompt": prompt, "completion": "t0"}) + "\n"


def words(vocab: int):
  """A tokenizer whose token i is the word `t<i>`, and none of which is the
  end."""
  from tokenizers import models, pre_tokenizers

  known = {f"t{i}": i for i in range(vocab)}
  return tokenizer_of(
    models.WordLevel(known, unk_token="t0"),
    pre_tokenizer=pre_tokenizers.WhitespaceSplit(),
    names={},
    chat_template="{{ messages[0].content }}",
  )
