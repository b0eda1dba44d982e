"""The command line: `alignjax train | data | generate | chat | export`.

Commands are dispatched by hand and import what they need when they run, so
that help costs nothing.
"""

import argparse
import json
import os
import sys
import traceback
from pathlib import Path

USAGE = """usage: alignjax COMMAND [options]

  train     --config FILE[:words] --workdir DIR [--config.KEY=VALUE ...]
            [--profile] [--resume=weights-only|fresh-optimizer]
                              train; the same command continues a run
  data      preview | stats --config FILE[:words] [--n 3]
            [--config.KEY=VALUE ...]           look at what is trained on
            audit FILE                         look at preferences
  generate  --model PATH --prompt TEXT ...     answer prompts
  chat      --model PATH                       talk to a model
  export    --workdir DIR --out FOLDER         write a Hugging Face folder

Every command takes --help, and --debug for a full traceback.
"""

AUDIT = """Reports on a set of preferences: bad, repeated, contradictory rows,
prompts that two splits share, and what of a completion's length and form goes
with being preferred."""

ERROR_LINES = 5


def main(argv: list[str] | None = None) -> int:
  """Runs one command; returns the exit status (0, 1 error, 2 usage).

  A training run that was told to stop raises SystemExit with status 75.
  """
  argv = list(sys.argv[1:] if argv is None else argv)
  debug = "--debug" in argv
  argv = [a for a in argv if a != "--debug"]
  if not argv or argv[0] in ("-h", "--help", "help"):
    print(USAGE)
    return 0 if argv else 2
  command = COMMANDS.get(argv[0])
  if command is None:
    print(
      f"error: no command {argv[0]!r}; one of {', '.join(COMMANDS)}.",
      file=sys.stderr,
    )
    return 2
  try:
    command(argv[1:])
  except KeyboardInterrupt:
    return 130
  except Exception as error:
    if debug:
      traceback.print_exc()
    else:
      print(_brief(error), file=sys.stderr)
    return 1
  return 0


def _brief(error: Exception) -> str:
  """An error in at most five lines."""
  # str() of a KeyError is its argument's repr.
  text = str(error.args[0] if isinstance(error, KeyError) else error)
  lines = [line for line in text.strip().splitlines() if line.strip()]
  meant = isinstance(
    error, ValueError | OSError | ImportError | FloatingPointError
  )
  head = "error" if meant else f"error ({type(error).__name__})"
  if not meant:
    lines = [*lines[: ERROR_LINES - 1], "Run again with --debug to see where."]
  return f"{head}: " + "\n  ".join(lines[:ERROR_LINES])


def train(argv: list[str]) -> None:
  """`alignjax train`."""
  if "--help" in argv or "-h" in argv:
    print(
      "usage: alignjax train --config FILE[:words] --workdir DIR "
      "[--config.KEY=VALUE ...] [--profile] [--resume=MODE] [--debug]\n\n"
      "Trains as the config says. The folder keeps config, metrics, samples,\n"
      "checkpoints and report.html; the same command continues a run.\n"
      "--resume=weights-only: the weights of the folder's run, from step 0.\n"
      "--resume=fresh-optimizer: its weights and place, new moments.\n"
      "Exit status: 0 done, 1 error, 2 usage, 75 stopped by SIGTERM or SIGINT\n"
      "and saved (the same command goes on), 130 or 143 at the second signal."
    )
    return
  from alignjax.options import read

  config, values = read("train", argv, workdir="", profile=False, resume="")
  if not values["workdir"]:
    raise ValueError("train needs --workdir DIR, the folder of the run.")
  quiet()
  from alignjax.train import train as run

  workdir = Path(values.pop("workdir"))
  print(run(config, workdir, **values))


def data(argv: list[str]) -> None:
  """`alignjax data preview`, `alignjax data stats`, `alignjax data audit`."""
  if argv[:1] == ["audit"]:
    return audit(argv[1:])
  if "--help" in argv or "-h" in argv:
    print(
      "usage: alignjax data preview --config FILE[:words] [--n 3] "
      "[--config.KEY=VALUE ...]\n"
      "       alignjax data stats --config FILE[:words] "
      "[--config.KEY=VALUE ...]\n"
      "       alignjax data audit FILE (see data audit --help)\n\n"
      "preview: the rows a run trains on first, trained tokens coloured.\n"
      "stats: rows, tokens, lengths and fill rate. Neither loads weights."
    )
    return
  from alignjax.options import read

  what, rest = (argv[0] if argv else ""), argv[1:]
  if what not in ("preview", "stats"):
    raise ValueError(
      f"data has no command {what!r}; write data preview or data stats, "
      "with a config, or data audit FILE."
    )
  more = {"n": 3} if what == "preview" else {}
  config, values = read(f"data {what}", rest, **more)
  quiet()
  from rich.console import Console

  from alignjax import inspection

  console = Console(highlight=False)
  if what == "stats":
    shown = inspection.stats(config)
  else:
    colours = console.color_system is not None
    shown = inspection.preview(config, values["n"], colours=colours)
  for part in shown:
    console.print(part, soft_wrap=True)


def audit(argv: list[str]) -> None:
  """`alignjax data audit`."""
  from alignjax.data import audit as report
  from alignjax.data.audit_tables import tables
  from alignjax.data.compared import PAIRS
  from alignjax.data.preferences import FORMATS

  parser = argparse.ArgumentParser("alignjax data audit", description=AUDIT)
  add = parser.add_argument
  add("path", metavar="FILE", help="file, folder or hub name of a data set")
  add("--split", default="train", help="of a folder; train[:90%%] is a slice")
  add("--against", default="", help="a set that may share prompts with it")
  add("--format", choices=FORMATS, help="of the rows; recognised without it")
  add("--pairs", choices=PAIRS, default="all", help="of ranked lists")
  add("--reader", help="import path of a reader of your own")
  add("--json", default="", metavar="FILE", help="to write the numbers to")
  options = vars(parser.parse_args(argv))
  file = options.pop("json")
  found = report.audit(**options)
  if file:
    numbers = json.dumps(report.record(found), indent=2, ensure_ascii=False)
    Path(file).write_text(numbers + "\n", "utf-8")
  from rich.console import Console

  console = Console(highlight=False)
  for part in tables(found):
    console.print(part, soft_wrap=True)


def quiet() -> None:
  """Library chatter off; warnings that matter are messages of ours."""
  os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
  os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
  import absl.logging

  absl.logging.set_verbosity(absl.logging.ERROR)


def sampling_options(parser: argparse.ArgumentParser) -> None:
  """Options that generate and chat share."""
  add = parser.add_argument
  add("--model", required=True, help="folder, .gguf file or hub name")
  add("--revision", default=None, help="of a hub name")
  add("--template", default=None, help="built-in name or .jinja file")
  add("--max-tokens", type=int, default=128)
  add("--temperature", type=float, default=0.0, help="0 = greedy")
  add("--top-k", type=int, default=0, help="0 = all")
  add("--top-p", type=float, default=1.0)
  add("--min-p", type=float, default=0.0)
  add("--seed", type=int, default=0)
  add("--dtype", default="float32")


def _generator(a, samples: int):
  """(messages lists → completions) of a model on this machine."""
  quiet()
  from alignjax.data.templates import load_template
  from alignjax.generate import make_generator
  from alignjax.pretrained import load

  lm, params, tokenizer = load(a.model, revision=a.revision, dtype=a.dtype)
  if tokenizer is None:
    raise ValueError(f"{a.model} has no tokenizer.json; copy it there.")
  generate = make_generator(
    lm,
    tokenizer,
    load_template(a.template, tokenizer),
    max_tokens=a.max_tokens,
    temperature=a.temperature,
    top_k=a.top_k,
    top_p=a.top_p,
    min_p=a.min_p,
    samples=samples,
    seed=a.seed,
  )
  return lambda conversations: generate(params, conversations)


def generate(argv: list[str]) -> None:
  """`alignjax generate`."""
  parser = argparse.ArgumentParser("alignjax generate")
  sampling_options(parser)
  parser.add_argument("--prompt", action="append", required=True)
  parser.add_argument("--n", type=int, default=1, help="samples a prompt")
  a = parser.parse_args(argv)
  answers = _generator(a, a.n)(
    [[{"role": "user", "content": text}] for text in a.prompt]
  )
  for text, completions in zip(a.prompt, answers):
    for c in completions:
      mean = sum(c.logps) / max(len(c.logps), 1)
      end = "" if c.stopped else "  [cut at --max-tokens]"
      print(f"> {text}\n{c.text}{end}\n  ({mean:.3f} nats a token)")


def chat(argv: list[str]) -> None:
  """`alignjax chat`."""
  parser = argparse.ArgumentParser("alignjax chat")
  sampling_options(parser)
  parser.add_argument("--system", default="", help="system message")
  a = parser.parse_args(argv)
  answer = _generator(a, 1)
  turns = [{"role": "system", "content": a.system}] if a.system else []
  print("An empty line or Ctrl-D ends the conversation.", file=sys.stderr)
  while True:
    try:
      text = input("> ").strip()
    except EOFError:
      return
    if not text:
      return
    turns.append({"role": "user", "content": text})
    reply = answer([turns])[0][0].text
    print(reply)
    turns.append({"role": "assistant", "content": reply})


def export(argv: list[str]) -> None:
  """`alignjax export`."""
  parser = argparse.ArgumentParser("alignjax export")
  source = parser.add_mutually_exclusive_group(required=True)
  source.add_argument("--workdir", help="a run: its newest checkpoint")
  source.add_argument("--model", help="folder, .gguf file or hub name")
  parser.add_argument("--out", required=True, help="folder to write")
  parser.add_argument("--dtype", default="float32", help="of the weights")
  a = parser.parse_args(argv)
  quiet()
  from alignjax.pretrained import export as write
  from alignjax.pretrained import load

  if a.model:
    lm, params, tokenizer = load(a.model)
  else:
    from alignjax.build import trained

    lm, params, tokenizer = trained(Path(a.workdir))
  write(Path(a.out), lm, params, tokenizer, dtype=a.dtype)
  print(a.out)


COMMANDS = {
  "train": train,
  "data": data,
  "generate": generate,
  "chat": chat,
  "export": export,
}


if __name__ == "__main__":
  sys.exit(main())
