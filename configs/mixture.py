"""Supervised fine-tuning on a mixture of sources, packed.

  alignjax train --config configs/mixture.py --workdir runs/mixture \
    --config.model.path=FOLDER_OR_GGUF \
    --config.data.train.parts.trees.path=TREES.jsonl.gz \
    --config.data.train.parts.pairs.path=PAIRS.json \
    --config.data.train.parts.tasks.path=TASKS.jsonl \
    --config.data.eval.parts.trees.path=TREES.jsonl.gz \
    --config.data.eval.parts.pairs.path=PAIRS.json

trees: OpenAssistant conversations (Köpf et al. 2023); pairs: Alpaca rows;
tasks: Self-Instruct tasks (Wang et al. 2023). The last tenth of trees and pairs
is held out. Shares are by the number of rows; `weight` on every part sets them
otherwise.

Expected: held-out loss falls as without packing (`data.packing=0`), in less
time; see docs/results.md.
Words after the colon: `tiny` (under a minute on a CPU, from scratch).
"""

from configs import common

TREES = "alignjax.data.oasst.read"
TASKS = "alignjax.data.self_instruct.read"


def get_config(arg=""):
  given = common.words(arg, ("tiny",))
  c = common.base()
  c.loss = dict(main=dict(name="sft", weight=1.0))
  c.data.train = common.mixture(
    trees=common.source("", "train[:90%]", reader=TREES),
    pairs=common.source("", "train[:90%]"),
    tasks=common.source("", "train", reader=TASKS),
  )
  c.data.eval = common.mixture(
    trees=common.source("", "train[90%:]", reader=TREES),
    pairs=common.source("", "train[90%:]"),
  )
  c.data.packing = 512
  if "tiny" in given:
    common.tiny(c)
    c.data.train = common.mixture(
      few=common.source("suite", "train", limit=64, weight=1.0),
      many=common.source("suite", "train", limit=256, weight=3.0),
    )
    c.data.packing = 256
  return c
