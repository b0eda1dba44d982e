"""Rejection sampling: the best of n answers to each prompt, as rows for SFT.

RAFT, Dong et al. 2023, https://arxiv.org/abs/2304.06767: `configs/sft.py` on
the rows is its other half.

  alignjax instruct generate --config configs/best_of.py --workdir runs/best \
    --config.model.path=runs/sft/model --config.method.prompts=prompts.jsonl \
    --config.method.reward=runs/reward/model

Expected: a row of each prompt, `score` above the mean of its answers
(`made.mean`). `endpoint` asks a server; `tiny` a small random model, by a rule.
"""

from configs import common


def get_config(arg=""):
  given = common.words(arg, ("endpoint", "tiny"))
  c = common.writing(
    dict(
      name="best_of",
      prompts="suite",  # rows with prompts
      split="train",
      limit=0,  # prompts; 0 = all
      n=8,  # answers to each
      reward="alignjax.rewards.suite",  # or the folder of a reward model
      least=-1e9,  # the score below which no answer is good enough
    )
  )
  c.writer.temperature, c.writer.top_p = 1.0, 1.0
  if "tiny" in given:
    c.method.limit, c.method.n = 4, 2
  return common.written(c, given)
