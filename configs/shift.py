"""Distribution shift of a reward model: from one rubric to another.

  alignjax evaluate shift --config configs/shift.py --workdir runs/shift

A small reward model from random weights learns to prefer polite answers, long
or short, and goes on with a few pairs in which short ones are preferred, polite
or rude. `right` is a rubric too, for a start that can tell what is:
`--config.study.before=right --config.model.path=FOLDER_OR_GGUF
--config.model.preset=`.

Two files of pairs may stand in their place, as rounds of comparisons are
(docs/loop.md).

Expected: on the new rubric it begins at no better than its old one happens to
be there, and rises with the number of new pairs; what it loses of the old one
is the price. From random weights `right` is not learnt in so few steps.
Words after the colon: `tiny` (few pairs and steps, a minute on a CPU).
"""

from configs import common


def get_config(arg=""):
  given = common.words(arg, ("tiny",))
  c = common.base()
  common.tiny(c)
  common.scores(c)
  c.loss = dict(
    main=dict(name="reward", kind="bt", weight=1.0),
    centre=dict(name="reward", kind="centre", weight=0.01),
  )
  c.data.rows, c.data.packing = "pairs", 1024
  # Pairs are counted, so none may be left out.
  c.data.max_length, c.data.too_long = 512, "error"
  c.data.eval.path = ""  # tasks are asked instead
  c.data.workers = 1  # few rows: other processes would take longer to start
  c.train.steps, c.train.batch, c.train.eval_every = 60, 4, 0
  c.optim.name, c.optim.lr, c.optim.warmup = "muon", 3e-3, 10
  c.checkpoint.every, c.checkpoint.keep = 0, 1
  c.model.remat = "none"
  c.sample.count = 0
  c.log.tensorboard = False
  c.evaluation = dict(batch=4096, rows=64)
  c.study = dict(
    before="polite",  # right | polite | short, or a file of pairs
    after="short",  # another of them, or another file
    # () = all; the prompts of these are short.
    clusters=(
      "arithmetic",
      "comparison",
      "capitals",
      "french",
      "german",
      "spanish",
      "plurals",
      "past_tense",
    ),
    pairs=512,  # of the first rubric; of a file at most
    sizes=(1, 2, 8, 32, 128, 512),  # new pairs, of the second
    steps=60,  # on new pairs, however many; enough to see all once
    heldout=250,  # pairs of each rubric that are asked
  )
  if "tiny" in given:
    c.data.packing = 640
    c.study.before, c.study.after = "right", "polite"
    c.train.steps, c.train.batch, c.optim.warmup = 4, 2, 1
    c.study.pairs, c.study.sizes, c.study.steps = 32, (8, 16), 2
    c.study.heldout = 16
  return c
