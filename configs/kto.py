"""Kahneman–Tversky optimisation (Ethayarajh et al. 2024), no pairs needed.

  alignjax train --config configs/kto.py --workdir runs/kto \
    --config.model.path=FOLDER_OR_GGUF \
    --config.data.train.path=PAIRS.jsonl --config.data.eval.path=HELDOUT.jsonl

Rows are `prompt`, `completion` and a `label`, true or false; pairs are taken
apart. Each prompt is read with another row's answer too: these estimate the KL
divergence that answers are measured against.

Expected: the loss falls from 0.5; `rewards/chosen` rises above
`rewards/rejected`.
Words after the colon: `tiny` (under a minute on a CPU, from scratch), `lora`
(adapters alone are trained; the base is the reference).
"""

from configs import common


def get_config(arg=""):
  given = common.words(arg, ("tiny", "lora"))
  c = common.base()
  c.loss = dict(
    main=dict(
      name="kto",
      kind="kto",
      weight=1.0,
      beta=0.1,
      desirable_weight=1.0,
      undesirable_weight=1.0,
    )
  )
  c.data.rows = "judged+kl"
  c.optim.lr = 5e-6
  if "tiny" in given:
    common.tiny(c)
  if "lora" in given:
    common.lora(c)
  return c
