"""Supervised fine-tuning of SmolLM2-135M-Instruct on the built-in suite.

  ./scripts/quickstart.sh

runs this config; by hand:

  alignjax train --config configs/quickstart.py --workdir runs/quickstart \
    --config.model.path=FOLDER_OR_GGUF

Expected: held-out loss 2.94 → about 0.54 in 60 steps, in under ten minutes on
two CPU cores.
Words after the colon: `tiny` (under a minute on a CPU, from scratch).
"""

from configs import common

# Of the held-out split: never trained on.
PROMPTS = (
  "Give a JSON object (name, age, city) for Yuki Tanaka, age 65, from Lima. "
  "The age is a number.",
  "A form asks for a date as YYYY-MM-DD. What do I enter for 21 August 1973?",
  "Summarise this record in one sentence.\n"
  "Home: the Sharks; Away: the Bears; Score: 3-2; Day: Friday",
)


def get_config(arg=""):
  given = common.words(arg, ("tiny",))
  c = common.base()
  c.loss = dict(main=dict(name="sft", weight=1.0))
  c.data.eval.limit = 52  # two rows of each cluster
  c.data.max_length = 96  # tokens; the suite's longest row has 90 of SmolLM2's
  c.optim.lr = 1e-4
  c.train.steps = 60
  c.checkpoint.every = 20
  c.checkpoint.keep = 1  # of 1.4 GB
  c.sample.prompts = PROMPTS
  c.sample.every = 0
  c.sample.max_tokens = 40
  if "tiny" in given:
    common.tiny(c)
  return c
