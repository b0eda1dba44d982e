"""Supervised fine-tuning (Ouyang et al. 2022, section 3.5) on the task suite.

  alignjax train --config configs/sft.py --workdir runs/sft \
    --config.model.path=FOLDER_OR_GGUF

Expected: held-out loss falls from the first evaluation; see docs/results.md.
Words after the colon: `tiny` (under a minute on a CPU, from scratch),
`replicated_kv` (key/value heads on every device).
"""

from configs import common


def get_config(arg=""):
  given = common.words(arg, ("tiny", "replicated_kv"))
  c = common.base()
  c.loss = dict(main=dict(name="sft", weight=1.0))
  if "tiny" in given:
    common.tiny(c)
  if "replicated_kv" in given:
    common.replicated_kv(c)
  return c
