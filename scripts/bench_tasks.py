"""What `bench.py` times: rows, steps of the train loop, calls of the sampler.

A task returns the time of each step in ms, the tokens of a step, and the
resident MB before the first one.
"""

import importlib
import os
import statistics
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import jax
import numpy as np

from alignjax import build, optim, sharding
from alignjax.annotate import annotate, make_annotator, with_fields
from alignjax.data.layouts import Annotated, Apart
from alignjax.data.loader import InOrder, Loader, shape_of
from alignjax.data.pairs import shared
from alignjax.data.rows import Rows
from alignjax.models.config import ModelConfig, Rope
from alignjax.models.lm import LM
from alignjax.models.lora import Lora
from alignjax.sample import make_sampler, prompts_of
from alignjax.train import Run
from alignjax.types import Row
from configs import common

FIRST_ID = 4  # ids below are special in the tokenizers of other libraries


def training(a):
  """Steps of the train loop."""
  config = experiment(a)
  place = build.placement(config)
  lm = LM(
    model_config(a, scores=config.model.scores),
    dtype=a.dtype,
    remat="full" if a.remat else "dots",
    chunk=a.chunk,
    constrain=place.constrain,
    lora=Lora(**config.lora) if a.lora_rank else None,
  )
  objectives = build.objectives(config)
  run = Run(config, place, lm, objectives)
  parts = run.reads.parts
  init = jax.jit(lm.init, out_shardings=place.tree(lm.shapes()))
  params = init(jax.random.key(a.seed))
  trained, frozen = optim.split(params, config.optim.frozen)
  refer = None
  if build.reads_reference(objectives):
    refer = jax.jit(make_annotator(run.reads.stats, ("logp",)))
    # Adapters leave it in the state; else it is weights of its own.
    reference = None if a.lora_rank else init(jax.random.key(a.seed + 7))

  count = a.warmup + a.steps
  drawn = Rows.of((sequences if a.task == "sft" else pairs)(a, a.batch * count))
  table = drawn if a.shared else Apart(drawn)
  lengths = Apart(drawn).lengths
  if a.cached:
    shape = shape_of([table], parts=parts)
    batches = InOrder({"": table}, batch=a.batch, shape=shape)

    def of(i):
      put = partial(batches.batch, i)
      batch = sharding.put_rows(put, a.batch, place.rows)
      return refer(frozen if reference is None else reference, batch)

    table = Annotated(table, {"reference/logp": annotate(of, batches)["logp"]})
  loader = Loader(
    {"": table},
    shares={"": 1.0},
    batch=a.batch,
    seed=a.seed,
    shape=shape_of([table], parts=parts),
  )
  state = run.init(trained, frozen)
  base = memory()
  times, tokens = [], []
  batch = run.put(loader, 0)
  for i in range(count):
    start = time.perf_counter()
    if refer is not None and not a.cached:
      found = refer(state.frozen if reference is None else reference, batch)
      batch = with_fields(batch, found, "reference")
    state, metrics = run.train_step(state, batch)
    batch = run.put(loader, i + 1)
    jax.device_get(metrics)
    times.append(1e3 * (time.perf_counter() - start))
    tokens.append(sum(int(lengths[row]) for _, row in loader.indices(i)))
  return times, statistics.fmean(tokens[a.warmup :]), base


def experiment(a, name=""):
  """The task's file in configs/, or another one, with what the flags say."""
  config = importlib.import_module(f"configs.{name or a.task}").get_config()
  config.optim.lr, config.optim.schedule = a.lr, "constant"
  config.optim.warmup, config.optim.end = 0, 1.0
  config.train.batch = a.batch
  if a.shared:
    config.data.layout = "shared"
  if a.task == "dpo":
    config.loss.main.beta = a.beta
  if a.lora_rank:
    common.lora(config, a.lora_rank, 2.0 * a.lora_rank)
  return config


def generate(a):
  """Calls of the sampler on fresh prompts; no answer ends but for --ragged."""
  lm = LM(model_config(a, scores=0), dtype=a.dtype)
  params = jax.jit(lm.init)(jax.random.key(a.seed))
  new = a.seq - a.prompt_len
  sampler = jax.jit(
    make_sampler(
      lm,
      max_tokens=new,
      temperature=1.0 if a.sample else 0.0,
      top_k=0,
      top_p=1.0,
      min_p=0.0,
      stop=tuple(range(stops(a))),
      slots=a.slots,
    )
  )
  rng = np.random.default_rng(a.seed)
  count = a.warmup + a.steps
  ids = [draw(a, a.prompt_len, rng).tolist() for _ in range(a.batch * count)]
  base = memory()
  times, tokens = [], []
  for i in range(count):
    start = time.perf_counter()
    part = ids[i * a.batch : (i + 1) * a.batch]
    prompts = prompts_of(part, samples=1, multiple=1, rows=1)
    out = jax.device_get(sampler(params, prompts, jax.random.key(i)))
    times.append(1e3 * (time.perf_counter() - start))
    tokens.append(int(out.lengths.sum()))
  return times, statistics.fmean(tokens[a.warmup :]), base


def stops(a) -> int:
  """How many ids end an answer.

  To weights that know nothing all tokens are about as likely, so that lengths
  are geometric, a quarter of the limit in the mean, and cut off there.
  """
  return -(-4 * a.vocab // (a.seq - a.prompt_len)) if a.ragged else 0


def model_config(a, *, scores: int) -> ModelConfig:
  """A decoder of Llama's kind in the shape of the flags."""
  return ModelConfig(
    family="llama",
    vocab=a.vocab,
    width=a.hidden,
    depth=a.layers,
    heads=a.heads,
    kv_heads=a.kv_heads,
    head_size=a.hidden // a.heads,
    hidden=a.mlp,
    max_length=max(2048, a.seq),
    rope=Rope(theta=10000.0),
    scores=scores,
  )


def sequences(a, n: int) -> Iterator[Row]:
  """n rows of one sequence."""
  rng = np.random.default_rng(a.seed)
  for size in sizes(a, n, rng):
    yield Row(draw(a, size, rng), np.ones(size, np.int32), "bench")


def pairs(a, n: int) -> Iterator[Row]:
  """n rows of two sequences that begin with the same prompt."""
  rng = np.random.default_rng(a.seed + 1)
  fields = {"label": np.float32([1, 0]), "margin": np.float32([0, 0])}
  for two in zip(sizes(a, n, rng), sizes(a, n, rng)):
    prompt = draw(a, min(a.prompt_len, min(two) - 1), rng)
    sides = [np.append(prompt, draw(a, s - len(prompt), rng)) for s in two]
    rows = [Row(side, np.ones_like(side), "bench") for side in sides]
    yield shared(rows, len(prompt), "bench", fields)


def sizes(a, n: int, rng: np.random.Generator) -> list[int]:
  """Tokens of n sequences."""
  if not a.ragged:
    return [a.seq] * n
  return rng.integers(max(2, a.seq // 4), a.seq + 1, n).tolist()


def draw(a, n: int, rng: np.random.Generator) -> np.ndarray:
  """n token ids."""
  return rng.integers(FIRST_ID, a.vocab, n).astype(np.int32)


def memory() -> float:
  """Resident MB of this process now."""
  pages = int(Path("/proc/self/statm").read_text().split()[1])
  return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
