"""IFEval: instructions whose following is verified by rule (Zhou et al. 2023).

https://arxiv.org/abs/2311.07911, from the published JSON lines: key, prompt,
instruction_id_list, kwargs.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from alignjax.evals import files, instructions
from alignjax.evals.items import Item, Line, Task
from alignjax.statistics import intervals
from alignjax.statistics.intervals import Estimate

KEYS = ("key", "prompt", "instruction_id_list", "kwargs")


def task(path: str, *, max_tokens: int, limit: int) -> Task:
  """Answers by greedy decoding, every instruction of a prompt checked.

  path: the file. max_tokens: of an answer (the authors give 1,280). limit:
    prompts, 0 for all.

  prompt/strict: all instructions of a prompt are followed; instruction/strict:
  the mean over all instructions of all prompts; loose: after taking off what
  chat models put around an answer (section 3).
  """
  items = []
  for row in files.first(files.json_records(Path(path), KEYS), limit):
    instructions.strict(row, "x")  # what it cannot check is known at once
    items.append(
      Item(
        f"ifeval-{row['key']}",
        ({"role": "user", "content": row["prompt"]},),
        fields={k: row[k] for k in ("instruction_id_list", "kwargs")},
      )
    )
  about = {
    "source": files.sha256([Path(path)]),
    "shots": 0,
    "decoding": f"greedy, at most {max_tokens} tokens",
    "limit": limit,
  }
  main = {"prompt/strict": "up"}
  return Task("answers", items, _score, about, main, max_tokens, totals=_totals)


def _score(line: Line, output: Mapping) -> dict[str, float]:
  strict, loose = _followed(line, output)
  found = {
    "prompt/strict": float(all(strict)),
    "prompt/loose": float(all(loose)),
  }
  for name, kept in zip(line["instruction_id_list"], strict):
    kind = f"strict/{name.split(':')[0]}"
    found[kind] = min(found.get(kind, 1.0), float(kept))
  return found


def _totals(lines: Sequence[Line], seed: int) -> dict[str, Estimate]:
  followed = [_followed(line, line["output"]) for line in lines]
  prompts = np.repeat(np.arange(len(lines)), [len(x) for x, _ in followed])
  found = {}
  for k, name in enumerate(("instruction/strict", "instruction/loose")):
    scores = np.array([kept for x in followed for kept in x[k]], float)
    found[name] = intervals.mean(scores, prompts, seed=seed)
  return found


def _followed(line: Line, output: Mapping) -> tuple[list[bool], list[bool]]:
  """Which instructions an answer follows, strictly and loosely."""
  row = dict(line) | {"prompt": line["prompt"][0]["content"]}
  text = output["text"]
  return instructions.strict(row, text), instructions.loose(row, text)
