"""`alignjax export` and `alignjax score`."""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

from alignjax.cli.arguments import model_options, quiet

SCORE = """Scores of the completions in a file, by one or more reward models
(folders that export writes). One line of JSON a row, in the file's order; a row
that is not scored keeps its line, with the reason. Of pairs a report is shown:
accuracy, calibration, and what the length of the answers has to do with it."""


def export(argv: list[str]) -> None:
  """`alignjax export`."""
  parser = argparse.ArgumentParser("alignjax export")
  source = parser.add_mutually_exclusive_group(required=True)
  source.add_argument("--workdir", help="a run: its newest checkpoint")
  source.add_argument("--model", help="folder, .gguf file or hub name")
  add = parser.add_argument
  add("--out", required=True, help="folder to write")
  add("--dtype", default="float32", help="of the weights")
  add("--adapter", metavar="FOLDER", help="of PEFT, merged into --model")
  add(
    "--adapter-only",
    action="store_true",
    help="of --workdir: its adapter as a PEFT folder, without the base",
  )
  a = parser.parse_args(argv)
  if a.adapter and not a.model:
    raise ValueError(
      "export --adapter FOLDER is merged into --model; a run has its own, "
      "merged already.\nGive --model BASE, or --adapter-only for the run's."
    )
  if a.adapter_only and (a.model or a.dtype != "float32"):
    other = "--model" if a.model else f"--dtype {a.dtype}"
    raise ValueError(
      f"export --adapter-only is of a run, float32; {other} has no effect."
      "\nGive --workdir RUN --out FOLDER."
    )
  quiet()
  if a.adapter_only:
    _export_adapter(Path(a.workdir), Path(a.out))
  else:
    from alignjax.pretrained import export as write
    from alignjax.pretrained import load

    if a.model:
      lm, params, tokenizer = load(a.model, adapter=a.adapter)
    else:
      from alignjax.build import trained

      lm, params, tokenizer = trained(Path(a.workdir))
    write(Path(a.out), lm, params, tokenizer, dtype=a.dtype)
  print(a.out)


def _export_adapter(workdir: Path, folder: Path) -> None:
  from alignjax.build.adapters import trained_adapters
  from alignjax.models.adapters import save_adapter

  lm, params, base = trained_adapters(workdir)
  save_adapter(
    params["lora"],
    lm.config,
    folder,
    lm.lora,
    base=base,
    score_head=params.get("score_head"),
  )


def score(argv: list[str]) -> None:
  """`alignjax score`."""
  a = _score_options().parse_args(argv)
  if not (a.out or a.json or a.calibrate):
    raise ValueError(
      "score needs --out FILE for the scores; --json FILE for the report "
      "alone, or --calibrate."
    )
  quiet()
  import jax
  from rich.console import Console

  from alignjax.checkpoint.files import open_folder, write
  from alignjax.data.audit import record
  from alignjax.scoring import completions
  from alignjax.scoring.report import report, tables
  from alignjax.scoring.run import Options, score

  given = vars(a)
  source = completions.Source(
    a.data, *(given[k] for k in completions.Source._fields[1:])
  )
  found = score(
    a.model,
    source,
    Options(**{k: given[k] for k in Options._fields}),
    ensemble=a.ensemble,
    penalty=a.penalty,
    calibrate=a.calibrate,
    progress=_bar(),
  )
  told = report(found)
  if jax.process_index() != 0:
    return
  if a.out:
    lines = (completions.line(*row) + "\n" for row in found.rows)
    write(open_folder(a.out), "".join(lines))
  if a.json:
    numbers = json.dumps(record(told), indent=2, ensure_ascii=False)
    write(open_folder(a.json), numbers + "\n")
  console = Console(highlight=False)
  for part in tables(told):
    console.print(part, soft_wrap=True)
  for head, (mean, std) in enumerate(zip(found.mean, found.std)):
    print(f"head {head}: mean {mean:g}, standard deviation {std:g} are kept")


def _bar() -> Callable[[int, int], None]:
  """(batches done, all of them), on standard error."""
  from alignjax.log.progress import Progress

  bars = []

  def show(done: int, total: int) -> None:
    if done == 1:  # of each model
      bars.append(Progress(sys.stderr, total, 0))
    bars[-1].show(done, {})
    if done == total:
      bars[-1].close()

  return show


def _score_options() -> argparse.ArgumentParser:
  parser = argparse.ArgumentParser("alignjax score", description=SCORE)
  add = parser.add_argument
  add(
    "--model",
    action="append",
    required=True,
    help="a reward model's folder; several are an ensemble",
  )
  add("--data", required=True, metavar="FILE", help="or folder, or hub name")
  add("--out", metavar="FILE", help="of the scores, .jsonl")
  add("--json", metavar="FILE", help="to write the report's numbers to")
  add("--split", default="train", help="of a folder; train[:90%%] is a slice")
  add("--limit", type=int, default=0, help="rows; 0 = all")
  add("--format", help="of the rows; recognised without it")
  add("--pairs", default="all", help="of ranked lists; as of data audit")
  add("--reader", help="import path of a reader of your own")
  model_options(parser)
  add("--max-length", type=int, default=512, help="tokens; longer: not scored")
  add("--batch", type=int, default=0, help="completions; 0 = eight a device")
  add("--on-bad-row", default="error", help="error | skip")
  add("--ensemble", help="mean | min | uncertainty, of heads and models")
  add("--penalty", type=float, help="of uncertainty: mean − penalty · variance")
  add(
    "--calibrate",
    action="store_true",
    help="keep mean and deviation of these rows' scores with the model",
  )
  return parser
