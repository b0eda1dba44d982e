"""Identity preference optimisation (Azar et al. 2023) on pairs.

  alignjax train --config configs/ipo.py --workdir runs/ipo \
    --config.model.path=FOLDER_OR_GGUF \
    --config.data.train.path=PAIRS.jsonl --config.data.eval.path=HELDOUT.jsonl

The log-ratios of both sides are per token, and their difference is drawn to
1/(2β), so that certain preferences do not drive it without end.

Expected: the loss falls from 1/(4β²) at the first step; `rewards/accuracies`
rises.
Words after the colon: `tiny` (under a minute on a CPU, from scratch), `lora`
(adapters alone are trained; the base is the reference).
"""

from configs import common


def get_config(arg=""):
  given = common.words(arg, ("tiny", "lora"))
  c = common.base()
  c.loss = dict(
    main=dict(
      name="dpo",
      kind="ipo",
      weight=1.0,
      beta=0.1,
      divergence="reverse_kl",
      reference_free=False,
    )
  )
  c.data.rows = "pairs"
  c.optim.lr = 5e-6
  if "tiny" in given:
    common.tiny(c)
  if "lora" in given:
    common.lora(c)
  return c
