"""Group relative policy optimisation (Shao et al. 2024).

  alignjax train --config configs/grpo.py --workdir runs/grpo \
    --config.model.path=FOLDER_OR_GGUF --config.data.train.path=PROMPTS.jsonl

Several answers to each prompt are scored by `reward`; an answer's advantage is
how far it is above the others. No critic; the KL to the reference is a term of
the loss.

Expected: `objective/scores` rises while `rollout/equal_groups` falls or stays.
`alignjax/losses/grpo.py` has more kinds for `loss.main`, with their options:
dr_grpo, gspo, cispo.
Words after the colon: `tiny` (a minute or two on a CPU, from scratch), `lora`
(adapters alone are trained; the base is the reference), `dapo` (mean over
tokens, a higher upper clip, no KL; Yu et al. 2025), `scored` (a reward model
says how good an answer is: `reward.model.path`).
"""

from configs import common


def get_config(arg=""):
  given = common.words(arg, ("tiny", "lora", "dapo", "scored"))
  c = common.base()
  infinite = float("inf")
  c.loss = dict(
    main=dict(
      name="grpo", kind="grpo", weight=1.0, low=0.2, high=0.2, cap=infinite
    ),
    kl=dict(
      name="grpo", kind="kl", weight=0.04, over="sequences", corrected=True
    ),
  )
  if "dapo" in given:
    c.loss.main.kind, c.loss.main.high = "dapo", 0.28
    del c.loss.kl
  c.reward = dict(task=dict(name="suite", weight=1.0))
  group = dict(name="group", scale="group")
  common.rollout(c, group, samples=8)
  c.optim.lr, c.optim.schedule, c.optim.end = 1e-6, "constant", 1.0
  c.train.batch, c.train.steps = 64, 200
  if "tiny" in given:
    common.tiny_rollout(c)
    if "kl" in c.loss:
      c.loss.kl.weight = 0.001
  if "scored" in given:
    c.reward = dict(model=common.reward_model())
  if "lora" in given:
    common.lora(c)
  return c
