"""A reward model (Ouyang et al. 2022, section 3.5) from pairs.

  alignjax train --config configs/reward.py --workdir runs/reward \
    --config.model.path=FOLDER_OR_GGUF \
    --config.data.train.path=PAIRS.jsonl --config.data.eval.path=HELDOUT.jsonl

A scalar head reads the last token of each side; the Bradley–Terry loss, and a
small term that keeps scores around 0 (Eisenstein et al. 2023).

Expected: `accuracy` rises above 0.5 within an epoch.
Words after the colon: `tiny` (under a minute on a CPU, from scratch), `lora`
(adapters alone are trained).
"""

from configs import common


def get_config(arg=""):
  given = common.words(arg, ("tiny", "lora"))
  c = common.base()
  c.loss = dict(
    main=dict(name="reward", kind="bt", weight=1.0),
    centre=dict(name="reward", kind="centre", weight=0.01),
  )
  common.scores(c)
  c.data.rows = "pairs"
  c.optim.lr = 1e-5
  c.sample.count = 0  # it writes no text
  if "tiny" in given:
    common.tiny(c)
  if "lora" in given:
    common.lora(c)
  return c
