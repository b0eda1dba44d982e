"""From the files of a run folder to its report."""

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

from alignjax.log import read_metrics, replace_file
from alignjax.log.table import NAME
from alignjax.report.curves import POINTS, draw
from alignjax.report.page import render
from alignjax.report.rollouts import rollouts

# What is drawn first, and its name on the page: where completions are sampled,
# what became of them, for the loss says little there.
FIRST = {
  "objective/scores": "Score",
  "objective/kl": "KL to the reference, nats a completion",
  "completions/mean_length": "Tokens of a completion",
  "completions/clipped_ratio": "Share of completions cut",
  "loss": "Loss",
  "lr": "Learning rate",
  "grad_norm": "Gradient norm",
  "tokens_per_s": "Tokens per second",
}
NOT_DRAWN = ("step", "tokens", "wall_s", "nonfinite", "epoch", "step_s")
# Steps whose update was not applied, by the kind of event.
SKIPPED = {"nonfinite": "Skipped, not finite", "spike": "Skipped, spike"}
# Numbers told from the first to the last, and which of them is noteworthy.
TOLD = (
  ("Score", "objective/scores", "best", max),
  ("Held-out score", "eval/objective/scores", "best", max),
  ("KL, nats a completion", "objective/kl", "highest", max),
  ("Training loss", "loss", "best", min),
  ("Held-out loss", "eval/loss", "best", min),
)
STEPS = 5  # that are named
ROW = ("step", "wall_s", "nonfinite")  # the log's own fields
SAMPLES = 12  # completions shown for a prompt; the file has all of them


def write_report(workdir: str | Path) -> Path:
  """Writes report.html from what lies in a run folder; returns its path.

  Reads metrics.jsonl and, where present, evaluations.jsonl, samples.jsonl,
  events.jsonl, config.json and run.json; `tokens` is counted per row. The same
  folder gives the same bytes.

  Raises:
    FileNotFoundError: no metrics.jsonl.
    ValueError: metrics.jsonl without a row, or a file that is not JSON.
  """
  workdir = Path(workdir)
  held = [
    {k if k in ROW else f"eval/{k}": v for k, v in row.items()}
    for row in _lines(workdir / "evaluations.jsonl")
  ]
  rows = sorted(
    _rows(workdir / "metrics.jsonl") + held, key=lambda row: row["step"]
  )
  config = _json(workdir / "config.json", {})
  run = _json(workdir / "run.json", {})
  samples, rolled = [], []
  for row in _lines(workdir / "samples.jsonl"):
    (rolled if row.get("name") == NAME else samples).append(row)
  curves, more = _curves(rows)
  page = render(
    title=str(config.get("name") or workdir.resolve().name),
    subtitle=_subtitle(run),
    facts=_facts(rows, config, _lines(workdir / "events.jsonl")),
    curves=curves,
    more=more,
    thinned=_thinned(rows),
    answers=_answers(samples),
    rollouts=rollouts(rolled, rows),
    samples=_samples(samples),
    config=json.dumps(config, indent=2, ensure_ascii=False) if config else "",
    environment=flat(run),
  )
  # A model's text may hold lone surrogates, which UTF-8 cannot write.
  page = page.encode("utf-8", "replace").decode("utf-8")
  path = workdir / "report.html"
  replace_file(path, page)
  return path


def _rows(path: Path) -> list[dict]:
  if not path.exists():
    raise FileNotFoundError(
      f"no metrics.jsonl in {path.parent}: nothing to report\n"
      "give the folder that `alignjax train --workdir` wrote"
    )
  rows = [row for row in read_metrics(path) if "step" in row]
  if not rows:
    raise ValueError(
      f"{path} has no row: the run stopped before its first logged step\n"
      "train further with the same command, then report again"
    )
  return rows


def _json(path: Path, absent: Mapping | Sequence) -> dict | list:
  if not path.exists():
    return absent
  try:
    value = json.loads(path.read_bytes())
  except ValueError as error:
    raise ValueError(
      f"{path} is not JSON: {error}\nmend or remove it"
    ) from error
  if type(value) is not type(absent):
    kind = "an object" if isinstance(absent, dict) else "a list"
    raise ValueError(f"{path} must hold {kind}\nmend or remove it")
  return value


def _lines(path: Path) -> list[dict]:
  return read_metrics(path) if path.exists() else []


def _answers(samples: Sequence[dict]) -> list[dict]:
  """Each prompt's first and last completion, where they are of two steps."""
  found: dict[tuple, dict] = {}
  for row in samples:
    text = {n: str(row.get(n) or "") for n in ("prompt", "reference")}
    key = (row.get("name"), text["prompt"])
    answer = found.setdefault(key, text | {"first": row["step"]})
    answer.setdefault("before", str(row.get("completion") or ""))
    answer |= {"after": str(row.get("completion") or ""), "last": row["step"]}
  return [a for a in found.values() if a["first"] != a["last"]]


def _curve(rows: Sequence[dict], name: str):
  pairs = [(row["step"], row[name]) for row in rows if name in row]
  if not pairs:
    return None
  steps, values = zip(*pairs)
  return steps, [math.nan if v is None else v for v in values]


def _curves(rows: Sequence[dict]) -> tuple[list[dict], list[dict]]:
  """The main figures, `FIRST`, and one for each other metric of the rows."""
  seen = {name.removeprefix("eval/") for row in rows for name in row}
  rest = sorted(
    name
    for name in seen - set(FIRST) - set(NOT_DRAWN)
    if not name.startswith("epoch/")  # a straight line for each part
  )
  last = max(row["step"] for row in rows)
  figures = []
  for number, name in enumerate([*FIRST, *rest]):
    train, held = _curve(rows, name), _curve(rows, f"eval/{name}")
    if train is None and held is None:
      continue
    label = FIRST.get(name, name)
    svg = draw(label, train, held, last=last, key=f"c{number}")
    figure = {"name": label, "train": train, "held": held, "svg": svg}
    figures.append((name, figure))
  return (
    [figure for name, figure in figures if name in FIRST],
    [figure for name, figure in figures if name not in FIRST],
  )


def _thinned(rows: Sequence[dict]) -> int:
  """How many steps a point of the loss curve stands for, 0 for each its own."""
  count = sum("loss" in row for row in rows)
  return -(-count // POINTS) if count > POINTS else 0


def _facts(
  rows: Sequence[dict], config: Mapping, events: Sequence[dict]
) -> list[dict]:
  facts = []

  def say(name: str, value: str, note: str = "") -> None:
    facts.append({"name": name, "value": value, "note": note})

  last = max(row["step"] for row in rows)
  train = config.get("train")
  planned = train.get("steps") if isinstance(train, dict) else None
  say("Steps", f"{last:,}", f"of {planned:,}" if planned else "")
  tokens = sum(row.get("tokens") or 0 for row in rows)
  if tokens:
    say("Tokens", f"{tokens:,.0f}")
  if "wall_s" in rows[-1]:
    say("Wall time", duration(rows[-1]["wall_s"]))
  speeds = [row["tokens_per_s"] for row in rows if row.get("tokens_per_s")]
  if speeds:
    say("Tokens per second", f"{statistics.median(speeds):,.0f}", "median")
  for label, name, word, pick in TOLD:
    finite = [
      (row[name], row["step"]) for row in rows if row.get(name) is not None
    ]
    if finite:
      best, step = pick(finite, key=lambda found: found[0])
      first_to_last = f"{finite[0][0]:z.3f} → {finite[-1][0]:z.3f}"
      say(label, first_to_last, f"{word} {best:z.3f} at step {step:,}")
  for kind, name in SKIPPED.items():
    steps = [e["step"] for e in events if e.get("kind") == kind]
    if steps:
      at = ", ".join(f"{step:,}" for step in steps[:STEPS])
      at += ", …" if len(steps) > STEPS else ""
      say(name, f"{len(steps):,}", f"at step {at}")
  told = {e["step"] for e in events}
  broken = [
    row["step"]
    for row in rows
    if row.get("nonfinite") and row["step"] not in told
  ]
  if broken:
    say("Rows not finite", f"{len(broken):,}", f"first at step {broken[0]:,}")
  return facts


def duration(seconds: float) -> str:
  minutes, seconds = divmod(round(seconds), 60)
  hours, minutes = divmod(minutes, 60)
  if hours:
    return f"{hours} h {minutes:02} min"
  return f"{minutes} min {seconds:02} s" if minutes else f"{seconds} s"


def _subtitle(run: Mapping) -> str:
  words = []
  if "started" in run:
    words.append(f"started {run['started']}")
  packages = run.get("packages")
  if isinstance(packages, dict) and "alignjax" in packages:
    words.append(f"alignjax {packages['alignjax']}")
  if "commit" in run:
    changed = " with changes" if run.get("dirty") else ""
    words.append(f"commit {str(run['commit'])[:10]}{changed}")
  return " · ".join(words)


def _samples(rows: Sequence[dict]) -> list[dict]:
  """Completions of each prompt in order of steps, evenly thinned."""
  groups: dict[tuple, list] = {}
  for row in rows:
    key = (str(row.get("name", "")), str(row.get("prompt", "")))
    pair = (row.get("step", ""), str(row.get("completion", "")))
    groups.setdefault(key, []).append(pair)
  shown = []
  for (_, prompt), pairs in groups.items():
    n = min(len(pairs), SAMPLES)
    at = [i * (len(pairs) - 1) // max(n - 1, 1) for i in range(n)]
    group = {"prompt": prompt, "left_out": len(pairs) - n}
    shown.append({**group, "rows": [pairs[i] for i in at]})
  return shown


def flat(value: Mapping, prefix: str = "") -> list[tuple[str, str]]:
  """Rows of a table, nested objects under dotted names."""
  rows = []
  for name, x in value.items():
    if isinstance(x, dict):
      rows += flat(x, f"{prefix}{name}.")
    else:
      text = x if isinstance(x, str) else json.dumps(x, ensure_ascii=False)
      rows.append((prefix + name, text))
  return rows
