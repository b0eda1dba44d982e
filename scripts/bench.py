"""Speed of one task: `python scripts/bench.py {sft,generate} [shape flags]`.

Prints one JSON line. Rows have `--seq` tokens (prompt `--prompt-len` and
completion), token ids are drawn uniformly, and every token but the first is
trained. A step is the wall time from the end of one optimizer step to the end
of the next: batches, transfer and metrics are inside. Tokens of a step: sft
batch·seq, generate batch·(seq − prompt) new ones; with --ragged the tokens
that are not padding.
"""

import argparse
import json
import os
import platform
import resource
import statistics
import sys
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

FIRST_ID = 4  # ids below are special in the tokenizers of other libraries


def parse(argv=None):
  """The flags; defaults are the shape that results are quoted for."""
  p = argparse.ArgumentParser(description=__doc__)
  add = p.add_argument
  add("task", choices=("sft", "generate"))
  add("--hidden", type=int, default=256)
  add("--layers", type=int, default=4)
  add("--heads", type=int, default=8)
  add("--kv-heads", type=int, default=4)
  add("--mlp", type=int, default=688)
  add("--vocab", type=int, default=8192)
  add("--seq", type=int, default=256)
  add("--batch", type=int, default=8)
  add("--prompt-len", type=int, default=0, help="0 = seq / 2")
  add("--warmup", type=int, default=3)
  add("--steps", type=int, default=10)
  add("--lr", type=float, default=1e-4)
  add("--seed", type=int, default=0)
  add("--threads", type=int, default=0, help="0 = the library's default")
  add("--remat", action="store_true", help="recompute all activations")
  add("--ragged", action="store_true", help="lengths uniform in [seq/4, seq]")
  add("--sample", action="store_true", help="generate: sample, not greedy")
  add("--dtype", default="float32", help="of activations")
  add("--chunk", type=int, default=32, help="tokens of a row read out at once")
  add("--out", default="", help="append the line to this file")
  a = p.parse_args(argv)
  a.prompt_len = a.prompt_len or a.seq // 2
  return a


def token_rows(a, n, length=None):
  """n lists of token ids, of `length` or as the flags say."""
  rng = np.random.default_rng(a.seed)
  low = max(2, a.seq // 4)
  sizes = rng.integers(low, a.seq + 1, n) if a.ragged else [a.seq] * n
  sizes = [length or size for size in sizes]
  return [
    rng.integers(FIRST_ID, a.vocab, int(size)).astype(np.int32)
    for size in sizes
  ]


def model_config(a):
  from alignjax.models.config import ModelConfig, Rope

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
  )


def sft(a):
  """Steps of the train loop; (step times in ms, tokens of a step)."""
  import jax

  from alignjax import build, optim
  from alignjax.data.loader import Loader, shape_of
  from alignjax.data.rows import Rows
  from alignjax.models.lm import LM
  from alignjax.train import Run
  from alignjax.types import Row
  from configs import sft as experiment

  config = experiment.get_config()
  config.optim.lr, config.optim.schedule = a.lr, "constant"
  config.optim.warmup, config.optim.end = 0, 1.0
  config.train.batch = a.batch
  place = build.placement(config)
  lm = LM(
    model_config(a),
    dtype=a.dtype,
    remat="full" if a.remat else "dots",
    chunk=a.chunk,
    constrain=place.constrain,
  )
  init = jax.jit(lm.init, out_shardings=place.tree(lm.shapes()))
  rows = Rows.of(
    Row(x, np.ones_like(x), "bench")
    for x in token_rows(a, a.batch * (a.warmup + a.steps))
  )
  loader = Loader(
    {"": rows},
    shares={"": 1.0},
    batch=a.batch,
    seed=a.seed,
    shape=shape_of([rows]),
  )
  run = Run(config, place, lm, build.objectives(config))
  state = run.init(*optim.split(init(jax.random.key(a.seed)), ()))
  base = memory()
  times, tokens = [], []
  batch = run.put(loader, 0)
  for i in range(a.warmup + a.steps):
    start = time.perf_counter()
    state, metrics = run.train_step(state, batch)
    batch = run.put(loader, i + 1)
    metrics = jax.device_get(metrics)
    times.append(1e3 * (time.perf_counter() - start))
    tokens.append(float(metrics["tokens"]))
  count = statistics.fmean(tokens[a.warmup :])
  return times, count if a.ragged else a.batch * a.seq, base


def generate(a):
  """Calls of the sampler on fresh prompts; nothing stops early."""
  import jax

  from alignjax.models.lm import LM
  from alignjax.sample import make_sampler, prompts_of

  lm = LM(model_config(a), dtype=a.dtype)
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
      stop=(),
    )
  )
  ids = token_rows(a, a.batch * (a.warmup + a.steps), a.prompt_len)
  base = memory()
  times = []
  for i in range(a.warmup + a.steps):
    start = time.perf_counter()
    part = ids[i * a.batch : (i + 1) * a.batch]
    prompts = prompts_of(part, samples=1, multiple=1, rows=1)
    jax.device_get(sampler(params, prompts, jax.random.key(i)))
    times.append(1e3 * (time.perf_counter() - start))
  return times, a.batch * new, base


def memory() -> float:
  """Resident MB of this process now."""
  pages = int(Path("/proc/self/statm").read_text().split()[1])
  return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def main(argv=None):
  a = parse(argv)
  if a.threads == 1:
    os.environ["XLA_FLAGS"] = (
      os.environ.get("XLA_FLAGS", "")
      + " --xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    )
  times, tokens, base = {"sft": sft, "generate": generate}[a.task](a)
  steady = times[a.warmup :]
  median = statistics.median(steady)
  peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
  line = {
    "peer": "alignjax",
    "task": a.task,
    "tokens_per_s": round(tokens / median * 1e3, 1),
    "step_ms_median": round(median, 2),
    "step_ms_mean": round(statistics.fmean(steady), 2),
    "step_ms_min": round(min(steady), 2),
    "n_steps": len(steady),
    "tokens_per_step": tokens,
    "first_step_ms": round(times[0], 1),
    "peak_rss_mb": round(peak, 1),
    "rss_base_mb": round(base, 1),
    "loadavg": [round(x, 2) for x in os.getloadavg()],
    "cpus": os.cpu_count(),
    "config": {k: v for k, v in vars(a).items() if k not in ("task", "out")}
    | {"lora_rank": 0},
    "versions": {k: version(k) for k in ("jax", "jaxlib", "flax", "optax")}
    | {"python": platform.python_version()},
  }
  text = json.dumps(line)
  print(text, flush=True)
  if a.out:
    with open(a.out, "a") as file:
      file.write(text + "\n")


if __name__ == "__main__":
  main()
