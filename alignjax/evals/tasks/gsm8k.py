"""GSM8K, problems of grade school (Cobbe et al. 2021).

https://arxiv.org/abs/2110.14168, from the published JSON lines: question,
answer, which ends with `#### NUMBER`.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from alignjax import metrics, rewards
from alignjax.evals import files
from alignjax.evals.items import Item, Line, Task


def task(
  path: str,
  *,
  examples: str,
  shots: int,
  seed: int,
  max_tokens: int,
  chat: bool,
  limit: int,
) -> Task:
  """Answers by greedy decoding; the number they end with is compared.

  path: a .jsonl file. examples: one of the training split, from which `shots`
    are drawn by `seed`; "" where shots is 0. chat: examples and question are
    turns of a conversation, not `Question: … Answer: …`. limit: problems, 0 for
    all.

  strict: the number after the last `####` is right. flexible: the last number
  of the answer is.
  """
  keys = "question", "answer"
  rows = files.first(files.json_records(Path(path), keys), limit)
  drawn, read = [], [Path(path)]
  if shots and not examples:
    raise ValueError(f"shots = {shots} needs examples, a file of them.")
  if shots:
    file = Path(examples)
    known = files.json_records(file, keys)
    if len(known) < shots:
      raise ValueError(f"{file} has {len(known)} examples, shots = {shots}.")
    at = np.random.default_rng(seed).permutation(len(known))[:shots].tolist()
    drawn, read = at, [*read, file]
    shown = [known[i] for i in at]
  else:
    shown = []
  items = []
  for number, row in enumerate(rows):
    if rewards.marked(row["answer"]) is None:
      raise ValueError(
        f"{path}: answer {number + 1} does not end with #### NUMBER."
      )
    items.append(
      Item(
        f"gsm8k-{number}",
        _turns(shown, row) if chat else _text(shown, row),
        gold=row["answer"],
      )
    )
  about = {
    "source": files.sha256(read),
    "shots": shots,
    "examples": drawn,
    "seed": seed,
    "prompt": "chat" if chat else "Question: … Answer:",
    "decoding": f"greedy, at most {max_tokens} tokens",
    "limit": limit,
  }
  stop = () if chat else ("\nQuestion:",)
  main = {"strict": "up", "flexible": "up"}
  return Task("answers", items, _score, about, main, max_tokens, stop)


def _score(line: Line, output: Mapping) -> dict[str, float]:
  gold = rewards.marked(line["gold"])
  return {
    "strict": float(rewards.marked(output["text"]) == gold),
    "flexible": metrics.score("numeric", output["text"], [line["gold"]]),
  }


def _turns(shown, row) -> tuple[dict, ...]:
  turns: list[dict] = []
  for one in shown:
    turns.append({"role": "user", "content": one["question"]})
    turns.append({"role": "assistant", "content": one["answer"]})
  return (*turns, {"role": "user", "content": row["question"]})


def _text(shown, row) -> str:
  before = "".join(
    f"Question: {one['question']}\nAnswer: {one['answer']}\n\n" for one in shown
  )
  return f"{before}Question: {row['question']}\nAnswer:"
