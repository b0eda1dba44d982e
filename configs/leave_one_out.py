"""Leave one out (Wei et al. 2022): tasks that are like nothing trained on.

  alignjax evaluate leave-one-out --config configs/leave_one_out.py \
    --workdir runs/leave_one_out

A small model from random weights is fine-tuned on all clusters of the built-in
tasks but those of a family, once for each, and asked what was left out; beside
it the start, a model of all clusters, and a curve over their number. Another
start: `--config.model.path=FOLDER_OR_GGUF --config.model.preset=`.

Expected: `seen` is above `base` on most clusters whose answers can be told from
the prompt alone. `heldout` stays near `base`: what was never pre-trained has
nothing to carry over but the form of an answer.
Words after the colon: `tiny` (three families and few steps, a minute on a CPU).
"""

from configs import common


def get_config(arg=""):
  given = common.words(arg, ("tiny",))
  c = common.base()
  common.tiny(c)
  c.loss = dict(main=dict(name="sft", weight=1.0))
  c.data.packing = 256  # one shape, whichever clusters are left out
  c.data.too_long = "error"
  c.data.eval.path = ""  # tasks are asked instead
  c.data.workers = 1  # few rows: other processes would take longer to start
  c.train.steps, c.train.batch, c.train.eval_every = 400, 8, 0
  c.optim.name, c.optim.lr, c.optim.warmup = "muon", 5e-3, 20
  c.model.remat = "none"
  c.checkpoint.every, c.checkpoint.keep = 0, 1
  c.sample.count = 0
  c.log.tensorboard = False
  c.evaluation = dict(batch=4096, rows=64)
  c.study = dict(
    families=(
      "numbers",
      "time",
      "facts",
      "translation",
      "words",
      "sentiment",
      "meaning",
      "records",
      "safety",
    ),
    rows=300,  # of each cluster, to train on
    tested=("time", "sentiment", "meaning"),  # what the curve asks
    sizes=(1, 2, 4, 8, 16),  # clusters it trains on, beside all that are left
    task=dict(
      name="suite", split="heldout", shots=0, seed=0, max_tokens=64, limit=30
    ),
  )
  if "tiny" in given:
    c.train.steps, c.train.batch, c.optim.warmup = 4, 8, 1
    c.study.families = ("time", "sentiment", "translation")
    c.study.tested, c.study.sizes = ("sentiment",), (1,)
    c.study.rows = 16
    c.study.task.limit, c.study.task.max_tokens = 3, 8
  return c
