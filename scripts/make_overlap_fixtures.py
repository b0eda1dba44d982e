"""Makes tests/fixtures/overlap.json: what sacrebleu and rouge-score compute.

Run by hand, in an environment of its own:

  python3.11 -m venv /tmp/overlapenv
  /tmp/overlapenv/bin/pip install sacrebleu==2.6.0 rouge-score==0.1.2
  /tmp/overlapenv/bin/python scripts/make_overlap_fixtures.py
"""

import json
from pathlib import Path

from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics import BLEU

FILE = Path(__file__).parents[1] / "tests" / "fixtures" / "overlap.json"

# Output, references. All invented.
ITEMS = (
  ("The ferry leaves at nine.", ["The ferry leaves at nine."]),
  (
    "A grey heron stood in the shallow water near the mill.",
    [
      "Near the mill a grey heron was standing in shallow water.",
      "In the shallow water near the mill stood a grey heron.",
      "The heron by the mill stood still.",
    ],
  ),
  (
    "Bake the loaf for forty minutes, then let it cool.",
    ["Bake it for 40 minutes; then let the loaf cool down completely."],
  ),
  (
    "It cost 1,250.50 crowns (tax included), she said: 'too much!'",
    [
      '"Too much!" she said. It cost 1,250.50 crowns, tax included.',
      "The price was 1250.50 crowns.",
    ],
  ),
  ("the the the the", ["The lamp is on the table."]),
  ("Ja.", ["Nein, danke."]),
  ("", ["Something was to be said here."]),
  (
    "Zoë's café re-opened on the quay — naïve, but hopeful.",
    ["The café of Zoë re-opened at the quay, naive but full of hope."],
  ),
  (
    "wind wind rain wind rain rain wind snow",
    ["rain wind wind snow rain wind rain wind"],
  ),
  ("Всё хорошо.", ["Всё хорошо."]),
  ("under_score and hy-phen\nnew line", ["Underscore and hyphen, new line."]),
  ("one two three", ["four five six", "three two one", "one three"]),
)
# Which items each corpus has.
CORPORA = {
  "all": list(range(len(ITEMS))),
  "one reference": [k for k, item in enumerate(ITEMS) if len(item[1]) == 1],
  "one item": [1],
  "drawn": [3, 1, 1, 8, 0, 3, 2],
  "nothing in common": [5],
}


def corpus(items: list[int]) -> dict:
  outputs, references = zip(*(ITEMS[k] for k in items))
  most = max(map(len, references))
  streams = [
    [refs[k] if k < len(refs) else None for refs in references]
    for k in range(most)
  ]
  metric = BLEU()
  score = metric.corpus_score(list(outputs), streams).score
  return {
    "items": items,
    "bleu": score,
    "signature": metric.get_signature().format(),
  }


def rouge(output: str, references: list[str]) -> float:
  scorer = RougeScorer(["rougeL"], use_stemmer=False)
  return float(scorer.score_multi(references, output)["rougeL"].fmeasure)


def main() -> None:
  made = {
    "items": [
      {"output": o, "references": r, "rouge_l": rouge(o, r)} for o, r in ITEMS
    ],
    "corpora": {name: corpus(items) for name, items in CORPORA.items()},
  }
  text = json.dumps(made, indent=1, ensure_ascii=False)
  FILE.write_text(text + "\n", "utf-8")
  print(f"{FILE.name}: {len(ITEMS)} items, {len(CORPORA)} corpora")


if __name__ == "__main__":
  main()
