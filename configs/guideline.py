"""Instances by an annotation guideline, as a model writes them.

The guideline is a Markdown file with rules, checks and examples of both kinds
(`alignjax/instruct/guidelines.py` shows one).

  alignjax instruct generate --config configs/guideline.py \
    --workdir runs/guideline --config.model.path=FOLDER_OR_GGUF \
    --config.method.guideline=tone.md

Expected: `rows.jsonl` with `method.rows` rows that keep every check, for each
label in turn. `endpoint` asks a server instead; `tiny` a small random model.
"""

from configs import common


def get_config(arg=""):
  given = common.words(arg, ("endpoint", "tiny"))
  c = common.writing(
    dict(
      name="guideline",
      guideline="",  # the Markdown file
      rows=64,  # at most
      rounds=16,  # at most
      prompts=16,  # requests of a round
      examples=3,  # positive ones shown in each
      likeness=0.7,  # ROUGE-L from which an instance is not new
    )
  )
  return common.written(c, given)
