"""Rollouts on the page: the first, one between and the last."""

from collections.abc import Mapping, Sequence

from alignjax.log.table import line, ranked

START = 160  # characters that are seen of a text that is folded
LINES = 6  # more than START characters or LINES lines are folded
END = 4000  # characters after which a text is cut


def rollouts(samples: Sequence[dict], rows: Sequence[dict]) -> list[dict]:
  """Step, means and kept completions of the first, a middle and the last one.

  samples: of samples.jsonl, the rollouts' alone. rows: of metrics.jsonl.
  """
  kept: dict[int, list] = {}
  for row in samples:
    kept.setdefault(row["step"], []).append(row)
  means = {row["step"]: line(row) for row in rows if row["step"] in kept}
  steps = sorted(kept)
  last = len(steps) - 1
  return [
    {
      "step": f"{steps[i]:,}",
      "means": means.get(steps[i], ""),
      "rows": [_row(row) for row in ranked(kept[steps[i]])],
    }
    for i in sorted({0, last // 2, last} if steps else ())
  ]


def _row(row: Mapping) -> dict:
  forms = {"score": "{:.3g}", "kl": "{:z.2f}", "tokens": "{:,}"}
  numbers = [
    "–" if row.get(name) is None else form.format(row[name])
    for name, form in forms.items()
  ]
  texts = [_text(str(row.get(k) or "")) for k in ("prompt", "completion")]
  return {
    "texts": texts,
    "numbers": numbers,
    "cut": "no" if row.get("stopped", True) else "yes",
  }


def _text(text: str) -> dict:
  """start: what is seen of a text that is folded, "" where it is not."""
  start = ""
  if len(text) > START or text.count("\n") > LINES:
    start = " ".join(text[:START].split()) or "(white space)"
  return {"start": start, "text": text[:END], "more": max(len(text) - END, 0)}
