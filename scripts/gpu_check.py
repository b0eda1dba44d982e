"""What an accelerator does with a model, what it could, and what was said.

  python scripts/gpu_check.py [--preset llama3_1b] [--rows 4] [--length 2048]

Random weights of a preset in bfloat16, full rows of random tokens, nothing but
this repository. Prints a table: the measured rate of products and of memory;
a supervised step, its model FLOPs utilisation against that rate (FLOPs that
cannot be done without, as `alignjax plan` counts them), and its memory, planned
and measured; sampling, beside the time in which weights and cache can be read
once a token. `scripts/gpu_check.sh` makes the environment and tests it before.
"""

import argparse
import platform
import sys
import time
from importlib.metadata import version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import jax
import jax.numpy as jnp
import numpy as np

from alignjax import build
from alignjax.optim import split
from alignjax.plan import target
from alignjax.plan.measure import gib, measure
from alignjax.plan.programs import jobs
from alignjax.sample import Prompts, make_sampler
from alignjax.train import Run


def parse(argv=None):
  p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  p.add_argument("--preset", default="llama3_1b")
  p.add_argument("--rows", type=int, default=4)
  p.add_argument("--length", type=int, default=2048)
  p.add_argument("--new", type=int, default=256, help="tokens to be sampled")
  p.add_argument("--remat", default="dots")
  p.add_argument("--size", type=int, default=8192, help="of a matrix")
  p.add_argument("--steps", type=int, default=10)
  return p.parse_args(argv)


def seconds(function, *arguments, steps: int) -> float:
  """Median of a call, of those after the first two."""
  found = []
  for _ in range(steps + 2):
    start = time.perf_counter()
    jax.block_until_ready(function(*arguments))
    found.append(time.perf_counter() - start)
  return float(np.median(found[2:]))


def rates(size: int, steps: int) -> tuple[float, float]:
  """(FLOPs a second of bfloat16 products, bytes a second of memory)."""
  x = jnp.ones((size, size), jnp.bfloat16)
  took = seconds(jax.jit(jnp.matmul), x, x, steps=steps)
  y = jnp.ones((size, 8 * size), jnp.float32)
  moved = seconds(jax.jit(lambda y: y + 1.0), y, steps=steps)
  return 2 * size**3 / took, 2 * y.nbytes / moved


def configured(options):
  from configs import sft

  c = sft.get_config()
  c.mesh = (1, 1, 1)
  c.model.preset, c.model.remat = options.preset, options.remat
  c.model.dtype = c.model.param_dtype = c.optim.moment_dtype = "bfloat16"
  c.train.batch, c.data.max_length = options.rows, options.length
  return c


def full(shapes, vocab: int):
  """A batch without padding, of random tokens that are all trained."""
  rng = np.random.default_rng(0)
  batch = jax.tree.map(lambda s: np.ones(s.shape, s.dtype), shapes)
  B, L = batch.tokens.shape
  tokens = rng.integers(0, vocab, (B, L + 1), np.int32)
  T = batch.targets.shape[1]
  return batch._replace(
    tokens=tokens[:, :-1],
    positions=np.tile(np.arange(L, dtype=np.int32), (B, 1)),
    where=np.tile(np.arange(T, dtype=np.int32), (B, 1)),
    targets=tokens[:, 1 : T + 1],
  )


def step(config, options):
  """What is planned of an update; its median seconds, the peak of memory in
  bytes (0: not told), and the last loss."""
  place = build.placement(config)
  objectives = build.objectives(config)
  job = jobs(config, place)[-1]
  planned = measure(job, target(""))
  model = build.model(config, place)
  run = Run(config, place, model.lm, objectives)
  state = run.init(*split(model.params, config.optim.frozen))
  del model
  batch = jax.device_put(
    full(job.arguments[1], run.lm.config.vocab), place.rows
  )
  took = []
  for _ in range(options.steps + 2):
    start = time.perf_counter()
    state, metrics = run.train_step(state, batch)
    loss = float(metrics["loss"])
    took.append(time.perf_counter() - start)
  stats = jax.devices()[0].memory_stats() or {}
  peak = stats.get("peak_bytes_in_use", 0)
  return planned, float(np.median(took[2:])), peak, loss


def sampling(config, options) -> tuple[float, int]:
  """(seconds of `--new` tokens, bytes that each token has to read)."""
  place = build.placement(config)
  model = build.model(config, place)
  lm, params = model.lm, model.params
  filters = dict(temperature=1.0, top_k=0, top_p=1.0, min_p=0.0, stop=())
  B, L = options.rows, options.length - options.new
  tokens = np.random.default_rng(1).integers(0, lm.config.vocab, (B, L))
  prompts = Prompts(
    jnp.asarray(tokens, jnp.int32), jnp.full(B, L), jnp.arange(B)
  )

  def timed(new):
    sampler = jax.jit(make_sampler(lm, max_tokens=new, **filters))
    steps = max(2, options.steps // 3)
    return seconds(sampler, params, prompts, jax.random.key(0), steps=steps)

  c = lm.config
  cache = 2 * 2 * B * c.depth * c.kv_heads * c.head_size * options.length
  weights = sum(x.size for x in jax.tree.leaves(params)) * 2
  # What the prompt takes is taken off: the same with one token.
  return timed(options.new) - timed(1), weights + cache


def main() -> None:
  options = parse()
  device = jax.devices()[0]
  names = ", ".join(f"{n} {version(n)}" for n in ("jax", "jaxlib", "flax"))
  print(f"{device.device_kind}; {names}; Python {platform.python_version()}")
  config = configured(options)
  # First: the peak of memory is one of the process.
  planned, took, peak, loss = step(config, options)
  assert np.isfinite(loss), loss
  flops, bandwidth = rates(options.size, options.steps)
  tokens = options.rows * options.length
  drawn, read = sampling(config, options)
  bound = read * (options.new - 1) / bandwidth
  said = planned.memory.peak
  apart = f", {said / peak - 1:+.0%} apart" if peak else ", not measured here"
  print(f"""
| {options.preset}, {options.rows} rows of {options.length}, bfloat16 | |
| --- | --- |
| products, {options.size}³ | {flops / 1e12:,.1f} TFLOP/s |
| memory | {bandwidth / 1e9:,.0f} GB/s |
| step | {took * 1e3:,.0f} ms, {tokens / took:,.0f} tokens/s |
| MFU of the measured rate | {planned.useful / took / flops:.3f} |
| memory of a step, planned | {gib(said)}{apart} |
| memory, measured peak | {gib(peak) if peak else "–"} |
| {options.new} tokens of {options.rows} rows | {drawn * 1e3:,.0f} ms |
| of it reading weights and cache | {bound / drawn:.2f} |""")


if __name__ == "__main__":
  main()
