"""Evaluation of a model: the built-in tasks, and published sets on disk.

  alignjax evaluate --config configs/evaluate.py:suite,mmlu \
    --config.model.path=FOLDER_OR_GGUF --config.tasks.mmlu.path=MMLU_FOLDER \
    --workdir runs/evals

Expected: a table of every metric with n and its 95 % interval, and
`summary.json` (docs/results.md has one of SmolLM2-135M-Instruct).
Words after the colon are tasks, `suite` where none is given: `suite`, `mmlu`,
`truthfulqa`, `bbq`, `xstest`, `ifeval`, `gsm8k`, `preferences`, `perplexity`.
Each but suite and preferences needs its `path`. `tiny`: a small random model
and few rows.
"""

from configs import common

TASKS = dict(
  suite=dict(
    name="suite",
    path=(),  # clusters; () = all
    split="heldout",
    shots=0,
    seed=0,
    max_tokens=48,
    limit=12,  # rows a cluster; 0 = all
  ),
  mmlu=dict(
    name="mmlu",
    path="",  # the folder that holds dev/ and test/
    split="test",
    shots=5,
    subjects=(),  # () = all that have a file
    answer="letter",  # letter | text
    normalisation="raw",  # raw | tokens | bytes
    permute=False,  # also with the answers moved on, four times the work
    chat=False,
    limit=0,  # questions a subject; 0 = all
  ),
  truthfulqa=dict(
    name="truthfulqa",
    path="",  # the CSV
    primer="",  # a file of text before each question
    chat=False,
    limit=0,
  ),
  bbq=dict(
    name="bbq",
    path="",  # a .jsonl file, or a folder of them
    answer="letter",
    normalisation="raw",
    chat=False,
    limit=0,
  ),
  xstest=dict(name="xstest", path="", max_tokens=64, limit=0),
  ifeval=dict(name="ifeval", path="", max_tokens=1280, limit=0),
  gsm8k=dict(
    name="gsm8k",
    path="",
    examples="",  # a file of the training split, for shots
    shots=0,
    seed=0,
    max_tokens=320,
    chat=True,
    limit=0,
  ),
  preferences=dict(
    name="preferences",
    path="suite",
    split="heldout",
    group="",  # key of a row that tables are made by
    limit=0,
  ),
  perplexity=dict(
    name="perplexity", path="", split="train", key="text", limit=0
  ),
)


def get_config(arg=""):
  given = common.words(arg, (*TASKS, "tiny"))
  names = [name for name in TASKS if name in given] or ["suite"]
  c = common.evaluation(**{name: TASKS[name] for name in names})
  if "tiny" in given:
    c.model.preset = "tiny"
    for name in ("suite", "preferences"):
      if name in names:
        c.tasks[name].limit = 2 if name == "suite" else 24
    if "suite" in names:
      c.tasks.suite.max_tokens = 8
  return c
