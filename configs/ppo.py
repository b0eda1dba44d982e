"""Proximal policy optimisation with a critic (Ouyang et al. 2022).

  alignjax train --config configs/ppo.py --workdir runs/ppo \
    --config.model.path=FOLDER_OR_GGUF --config.data.train.path=PROMPTS.jsonl

The policy answers prompts, the answers are scored by `reward` (here: by the
rules of the built-in tasks), a critic says what was to be expected, and both
learn from the difference, not too far from the policy as it started (Huang et
al. 2024, "The N+ implementation details of RLHF with PPO").

Expected: `objective/scores` rises and `objective/kl` with it.
Words after the colon: `tiny` (a minute or two on a CPU, from scratch), `lora`
(adapters alone are trained; the base is the reference), `trunk` (the critic is
a head on the policy), `scored` (a reward model says how good an answer is:
`reward.model.path`, and mostly `critic.path` too), `ptx` (eight rows of
`rollout.mix.data` beside, for the likelihood of what should not be forgotten).
"""

from configs import common


def get_config(arg=""):
  given = common.words(arg, ("tiny", "lora", "trunk", "scored", "ptx"))
  c = common.base()
  c.loss = dict(
    policy=dict(name="ppo", kind="policy", weight=1.0, clip=0.2),
    value=dict(name="ppo", kind="value", weight=0.1, clip=0.2),
  )
  c.reward = dict(task=dict(name="suite", weight=1.0))
  gae = dict(
    name="gae",
    kl="k1",
    gamma=1.0,
    lam=0.95,
    score_at="next",
    whiten_rewards=False,
  )
  common.rollout(c, gae, epochs=4, temperature=0.7)
  common.critic(c, trunk="trunk" in given)
  if "ptx" in given:
    c.rollout.mix.batch = 8
    c.rollout.mix.data = common.source("suite", "train")
    c.loss.ptx = dict(name="sft", weight=0.5, rows="mixed")
  c.optim.lr, c.optim.schedule, c.optim.end = 3e-6, "linear", 0.0
  c.optim.adamw.eps = 1e-5
  c.train.batch, c.train.steps = 32, 400
  if "tiny" in given:
    common.tiny_rollout(c)
    c.rollout.epochs, c.train.steps = 2, 80
  if "scored" in given:
    c.reward = dict(model=common.reward_model())
  if "lora" in given:
    common.lora(c)
    c.optim.frozen = ("(?!lora/|critic/|value_head).*",)
  return c
