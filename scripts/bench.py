"""Speed of a task: `python scripts/bench.py {sft,reward,dpo,generate} [flags]`.

Prints one JSON line. Sequences have `--seq` tokens, drawn uniformly, the first
`--prompt-len` of them the prompt; both sides of a pair have the same prompt.
sft trains every token but the first, dpo the completions, reward the score of
the last token. A step is the wall time from the end of one optimizer step to
the end of the next: batches, transfer and metrics are inside. So is, in dpo,
the reference's pass over the same pairs, which other libraries make in every
step; with --cached it is made once, before the first step, as `alignjax train`
does.

Tokens of a step, `--batch` being sequences or pairs: sft batch·seq, reward and
dpo 2·batch·seq, generate batch·(seq − prompt) new ones; with --ragged the
tokens that are not padding. generate --ragged ends an answer at any token of a
fixed part of the vocabulary, after a quarter of (seq − prompt) tokens in the
mean were there no limit; the tokens made are counted. --slots decodes as many
rows at once, which changes none of them. With --shared the prompt of a pair is
computed once for both sides, and counted twice all the same.
"""

import argparse
import json
import os
import platform
import resource
import statistics
import sys
from importlib.metadata import version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))


def parse(argv=None):
  """The flags; defaults are the shape that results are quoted for."""
  p = argparse.ArgumentParser(description=__doc__)
  add = p.add_argument
  add("task", choices=("sft", "reward", "dpo", "generate"))
  add("--hidden", type=int, default=256)
  add("--layers", type=int, default=4)
  add("--heads", type=int, default=8)
  add("--kv-heads", type=int, default=4)
  add("--mlp", type=int, default=688)
  add("--vocab", type=int, default=8192)
  add("--seq", type=int, default=256)
  add("--batch", type=int, default=8)
  add("--prompt-len", type=int, default=0, help="0 = seq / 2")
  add("--beta", type=float, default=0.1, help="of dpo")
  add("--warmup", type=int, default=3)
  add("--steps", type=int, default=10)
  add("--lr", type=float, default=1e-4)
  add("--seed", type=int, default=0)
  add("--threads", type=int, default=0, help="0 = the library's default")
  add("--remat", action="store_true", help="recompute all activations")
  add("--lora-rank", type=int, default=0, help="> 0: adapters on all kernels")
  add("--ragged", action="store_true", help="lengths uniform in [seq/4, seq]")
  add("--slots", type=int, default=0, help="generate: rows at once; 0 = all")
  add("--shared", action="store_true", help="pairs: prompts computed once")
  add("--cached", action="store_true", help="dpo: the reference beforehand")
  add("--sample", action="store_true", help="generate: sample, not greedy")
  add("--dtype", default="float32", help="of activations")
  add("--chunk", type=int, default=32, help="tokens of a row read out at once")
  add("--out", default="", help="append the line to this file")
  a = p.parse_args(argv)
  for flag, tasks in {
    "lora_rank": ("sft", "reward", "dpo"),
    "shared": ("reward", "dpo"),
    "cached": ("dpo",),
    "sample": ("generate",),
    "slots": ("generate",),
  }.items():
    if getattr(a, flag) and a.task not in tasks:
      name = flag.replace("_", "-")
      p.error(f"--{name} has no effect on {a.task}; on {', '.join(tasks)}")
  if a.task == "generate" and a.ragged and not a.sample:
    p.error("--ragged needs --sample: greedy answers do not end by chance")
  a.prompt_len = a.prompt_len or a.seq // 2
  return a


def main(argv=None):
  a = parse(argv)
  if a.threads == 1:
    os.environ["XLA_FLAGS"] = (
      os.environ.get("XLA_FLAGS", "")
      + " --xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    )
  import bench_tasks  # jax reads its flags when it is imported

  run = bench_tasks.generate if a.task == "generate" else bench_tasks.training
  times, tokens, base = run(a)
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
    "config": {k: v for k, v in vars(a).items() if k not in ("task", "out")},
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
