"""DPO on pairs that the policy samples as it is (Guo et al. 2024).

  alignjax train --config configs/online_dpo.py:scored --workdir runs/online \
    --config.model.path=FOLDER_OR_GGUF --config.data.train.path=PROMPTS.jsonl \
    --config.reward.model.path=REWARD_MODEL

Of several answers to a prompt the best and the worst by `reward` become a pair;
prompts whose answers all score the same teach nothing
(`rollout/equal_groups`).

Expected: `objective/scores` rises and `objective/kl` with it;
`rewards/accuracies` stays between chance and 1, as its pairs are always new.
Words after the colon: `tiny` (a minute or two on a CPU, from scratch), `lora`
(adapters alone are trained; the base is the reference), `scored` (a reward
model says how good an answer is: `reward.model.path`).
"""

from configs import common


def get_config(arg=""):
  given = common.words(arg, ("tiny", "lora", "scored"))
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
  c.reward = dict(task=dict(name="suite", weight=1.0))
  common.rollout(c, {}, samples=4, pairs=True)
  c.optim.lr, c.optim.schedule, c.optim.end = 1e-6, "constant", 1.0
  c.train.batch, c.train.steps = 16, 200
  if "tiny" in given:
    common.tiny_rollout(c)
    c.train.batch = 8
  if "scored" in given:
    c.reward = dict(model=common.reward_model())
  if "lora" in given:
    common.lora(c)
  return c
