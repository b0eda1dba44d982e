"""Direct preference optimisation (Rafailov et al. 2023) on pairs.

  alignjax train --config configs/dpo.py --workdir runs/dpo \
    --config.model.path=FOLDER_OR_GGUF \
    --config.data.train.path=PAIRS.jsonl --config.data.eval.path=HELDOUT.jsonl

Rows are `prompt`, `chosen`, `rejected`, or one of the forms the README names.
The reference is the model as it starts; its log-probabilities are computed once
and kept beside the run.

Expected: `rewards/accuracies` rises from chance, and `rewards/margins` from 0,
within an epoch (docs/results.md has a run).
Words after the colon: `tiny` (under a minute on a CPU, from scratch), `lora`
(adapters alone are trained; the base is the reference), `moving` (every 512
steps, 8 if tiny, the reference takes 0.6 of the policy's weights, all of its
adapters': TR-DPO, Gorbatovski et al. 2024; `rewards/margins` drop there).
"""

from configs import common


def get_config(arg=""):
  given = common.words(arg, ("tiny", "lora", "moving"))
  c = common.base()
  c.loss = dict(
    main=dict(
      name="dpo",
      kind="sigmoid",
      weight=1.0,
      beta=0.1,
      label_smoothing=0.0,
      divergence="reverse_kl",
      reference_free=False,
    )
  )
  c.data.rows = "pairs"
  c.optim.lr = 5e-6
  if "moving" in given:
    c.reference.every = 8 if "tiny" in given else 512
    c.reference.alpha = 1.0 if "lora" in given else 0.6
  if "tiny" in given:
    common.tiny(c)
  if "lora" in given:
    common.lora(c)
  return c
