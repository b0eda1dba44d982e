"""Distillation of a larger model (GKD, Agarwal et al. 2023).

  alignjax train --config configs/distill.py --workdir runs/distill \
    --config.model.path=STUDENT --config.teacher.path=TEACHER \
    --config.data.train.path=TRAIN.jsonl --config.data.eval.path=HELDOUT.jsonl

On the trained tokens of each row the student's distribution is drawn to the
teacher's, over the whole vocabulary: their generalised Jensen–Shannon
divergence (`teacher.beta`). The teacher is frozen and may be of any family and
size; the vocabulary must be one. The rows are given, not sampled from the
student: λ = 0 in the paper.

Expected: `main/jsd` falls, and `nll` towards the teacher's own.
Words after the colon: `tiny` (under a minute on a CPU; the teacher is random
too, so `main/jsd` falls, from 0.012 to 0.001, and nothing is learnt of the
rows), `lora` (adapters alone are trained).
"""

from configs import common


def get_config(arg=""):
  given = common.words(arg, ("tiny", "lora"))
  c = common.base()
  c.loss = dict(main=dict(name="distill", weight=1.0))
  if "tiny" in given:
    common.tiny(c)
    c.teacher.preset = "tiny"
  if "lora" in given:
    common.lora(c)
  return c
