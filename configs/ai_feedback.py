"""AI feedback: a model compares two answers by principles that people wrote.

Bai et al. 2022, https://arxiv.org/abs/2212.08073, section 4.1; each comparison
in both orders.

  alignjax instruct generate --config configs/ai_feedback.py \
    --workdir runs/ai_feedback --config.model.path=runs/sft/model \
    --config.method.prompts=prompts.jsonl \
    --config.judge.url=http://127.0.0.1:8000/v1 --config.judge.model=NAME

Expected: pairs for `configs/reward.py` and `configs/dpo.py`; of a judge that
goes by the place, none. Without `judge.url` the model judges itself. `likely`:
it writes nothing, and labels are how likely it finds either number, as in the
paper. `endpoint`: a server answers. `tiny`: a small random model, whose
comparisons say nothing.
"""

from configs import common


def get_config(arg=""):
  given = common.words(arg, ("endpoint", "likely", "tiny"))
  c = common.writing(
    dict(
      name="ai_feedback",
      prompts="suite",  # rows with prompts
      split="train",
      limit=0,  # prompts; 0 = all
      principles="",  # a file with a list item each; "" = the package's
      agree=True,  # only where both orders speak for one answer
    )
  )
  c.writer.temperature, c.writer.top_p = 1.0, 1.0
  c.judge.update(common.writer())
  c.judge.temperature, c.judge.max_tokens = 0.0, 160
  c.judge.choices = ("1", "2") if "likely" in given else ()
  if "tiny" in given:
    c.method.limit, c.judge.max_tokens = 4, 8
  return common.written(c, given)
