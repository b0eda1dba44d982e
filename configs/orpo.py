"""Odds-ratio preference optimisation (Hong et al. 2024) on pairs.

  alignjax train --config configs/orpo.py --workdir runs/orpo \
    --config.model.path=FOLDER_OR_GGUF \
    --config.data.train.path=PAIRS.jsonl --config.data.eval.path=HELDOUT.jsonl

Needs no reference and no tuning before it: the chosen side is imitated as well.

Expected: the loss falls, and `rewards/accuracies` rises above 0.5.
Words after the colon: `tiny` (under a minute on a CPU, from scratch), `lora`
(adapters alone are trained), `prompt` (the prompt is imitated with the chosen
side, as the authors do).
"""

from configs import common


def get_config(arg=""):
  given = common.words(arg, ("tiny", "lora", "prompt"))
  c = common.base()
  c.loss = dict(main=dict(name="orpo", weight=1.0, beta=0.1))
  c.data.rows = "pairs"
  c.optim.lr = 8e-6
  if "prompt" in given:
    c.loss.main["kind"], c.data.train_on = "with_prompt", "all"
  if "tiny" in given:
    common.tiny(c)
  if "lora" in given:
    common.lora(c)
  return c
