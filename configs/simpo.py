"""Simple preference optimisation (Meng et al. 2024) on pairs.

  alignjax train --config configs/simpo.py --workdir runs/simpo \
    --config.model.path=FOLDER_OR_GGUF \
    --config.data.train.path=PAIRS.jsonl --config.data.eval.path=HELDOUT.jsonl

Mean log-probabilities are compared, with a margin γ and no reference.

Expected: the loss falls, and `rewards/accuracies` rises above 0.5.
Words after the colon: `tiny` (under a minute on a CPU, from scratch), `lora`
(adapters alone are trained).
"""

from configs import common


def get_config(arg=""):
  given = common.words(arg, ("tiny", "lora"))
  c = common.base()
  c.loss = dict(
    main=dict(
      name="cpo", kind="simpo", weight=1.0, beta=2.0, gamma=0.5, alpha=0.0
    )
  )
  c.data.rows = "pairs"
  c.optim.lr = 1e-6
  if "tiny" in given:
    common.tiny(c)
  if "lora" in given:
    common.lora(c)
  return c
