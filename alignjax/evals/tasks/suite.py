"""The built-in tasks, each by its own metric."""

from collections.abc import Mapping, Sequence

import numpy as np

from alignjax import metrics, rewards
from alignjax.data import suite
from alignjax.evals import files, overlap
from alignjax.evals.items import Item, Line, Task
from alignjax.statistics import intervals
from alignjax.statistics.intervals import Estimate


def task(
  path: Sequence[str],
  *,
  split: str,
  shots: int,
  seed: int,
  max_tokens: int,
  limit: int,
) -> Task:
  """Answers by greedy decoding, by cluster.

  path: clusters, () for all. split: "heldout" or "train". shots: examples of
    the same cluster's training split, drawn by `seed`, as earlier turns.
    limit: rows a cluster, 0 for all.

  score: the cluster's metric (exact match, label, number, JSON equality,
  ROUGE-L, refusal); reward: the same, less for long or rude answers, as RLHF is
  paid by; json_valid; of sentences also rouge_l as rouge-score has it, and bleu
  of all of them together.
  """
  names = tuple(path) or suite.clusters()
  items, drawn = [], {}
  for name in names:
    rows = files.first(_all(split, name), limit)
    known = _all("train", name) if shots else []
    at = np.random.default_rng([seed, len(name)]).permutation(len(known))
    shown = [known[i] for i in at[:shots]]
    drawn[name] = [row["id"] for row in shown]
    taught = [turn for row in shown for turn in _turns(row)]
    for row in rows:
      items.append(
        Item(
          row["id"],
          (*taught, _turns(row)[0]),
          gold=row["answers"],
          group=name,
          fields={"metric": row["metric"], "template": row["template"]},
        )
      )
  about = {
    "split": split,
    "shots": shots,
    "examples": drawn if shots else {},
    "seed": seed,
    "decoding": f"greedy, at most {max_tokens} tokens",
    "limit": limit,
    "bleu": overlap.bleu(["a"], [["a"]])[1] + ", nrefs as there are",
  }
  main = {"score": "up"}
  return Task("answers", items, _score, about, main, max_tokens, totals=_totals)


def _score(line: Line, output: Mapping) -> dict[str, float]:
  text, answers, metric = output["text"], line["gold"], line["metric"]
  found = {
    "score": metrics.score(metric, text, answers),
    "reward": metrics.reward(metric, text, answers),
    "ended": float(output["stopped"]),
    "tokens": float(output["tokens"]),
  }
  if metric == "json_match":
    found["json_valid"] = float(rewards.parses(text))
  if metric == "rouge_l":
    found["rouge_l"] = overlap.rouge_l(text, answers)
  return found


def _totals(lines: Sequence[Line], seed: int) -> dict[str, Estimate]:
  own = [x for x in lines if x["metric"] == "rouge_l"]
  if not own:
    return {}
  counts = overlap.bleu_counts(
    [x["output"]["text"] for x in own], [x["gold"] for x in own]
  )
  return {
    "bleu": intervals.bootstrap(
      lambda at: overlap.bleu_of(counts[at].sum(0)), len(own), seed=seed
    )
  }


def _all(split: str, name: str) -> list[dict]:
  """All rows of a cluster."""
  return suite.rows(split, n=suite.size(split, name), clusters=(name,))


def _turns(row: Mapping) -> tuple[dict, dict]:
  return (
    {"role": "user", "content": row["prompt"]},
    {"role": "assistant", "content": row["completion"]},
  )
