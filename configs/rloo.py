"""REINFORCE, each sample against the others (Ahmadian et al. 2024).

  alignjax train --config configs/rloo.py --workdir runs/rloo \
    --config.model.path=FOLDER_OR_GGUF --config.data.train.path=PROMPTS.jsonl

Several answers to each prompt are scored by `reward`, less what the KL to the
reference costs; an answer's advantage is how far it is above the mean of the
others. No critic.

Expected: `objective/scores` rises and `objective/kl` with it.
Words after the colon: `tiny` (a minute or two on a CPU, from scratch), `lora`
(adapters alone are trained; the base is the reference), `plus` (REINFORCE++, Hu
et al. 2025: what is still to come, whitened over the rollout, and PPO's clip),
`scored` (a reward model says how good an answer is: `reward.model.path`).
"""

from configs import common


def get_config(arg=""):
  given = common.words(arg, ("tiny", "lora", "plus", "scored"))
  c = common.base()
  c.loss = dict(main=dict(name="rloo", weight=1.0, low=0.2, high=0.2))
  advantage, samples = dict(name="leave_one_out"), 4
  if "plus" in given:
    c.loss = dict(main=dict(name="ppo", kind="policy", weight=1.0, clip=0.2))
    advantage, samples = dict(name="reinforce", kl="k1"), 1
  c.reward = dict(task=dict(name="suite", weight=1.0))
  common.rollout(c, advantage, samples=samples)
  c.optim.lr, c.optim.schedule, c.optim.end = 3e-6, "linear", 0.0
  c.train.batch, c.train.steps = 64, 200
  if "tiny" in given:
    common.tiny_rollout(c)
  if "scored" in given:
    c.reward = dict(model=common.reward_model())
  if "lora" in given:
    common.lora(c)
  return c
