"""What a run did, on the terminal: `python scripts/show_run.py RUN_FOLDER`.

Held-out loss, or score, and the answers to the fixed prompts, at the first step
and at the last.
"""

import sys
from pathlib import Path

from alignjax.log import read_metrics


def show(workdir: Path) -> str:
  """The text that is printed."""
  evaluations = read_metrics(workdir / "evaluations.jsonl")
  samples = read_metrics(workdir / "samples.jsonl")
  first, last = evaluations[0], evaluations[-1]
  key, name, unit = "loss", "held-out loss", " nats a token"
  if key not in first:
    key, name, unit = "objective/scores", "held-out score", ""
  lines = [
    "",
    f"{name} {first[key]:.3f} → {last[key]:.3f}{unit} "
    f"(step {first['step']} → {last['step']})",
  ]
  answers = {}
  for sample in samples:
    if sample.get("name") == "rollouts":
      continue
    answers.setdefault(sample["prompt"], []).append(sample["completion"])
  for prompt, texts in answers.items():
    lines += ["", f"> {_indent(prompt, 2)}"]
    lines.append(f"  before: {_indent(texts[0], 10)}")
    lines.append(f"  after:  {_indent(texts[-1], 10)}")
  report, model = workdir / "report.html", workdir / "model"
  lines += ["", f"report: {report}"]
  if model.is_dir():
    lines.append(f"model:  {model}")
  return "\n".join(lines)


def _indent(text: str, spaces: int) -> str:
  return text.strip().replace("\n", "\n" + " " * spaces)


if __name__ == "__main__":
  print(show(Path(sys.argv[1])))
