"""The command line: `alignjax train | plan | data | generate | chat | …`.

Commands are dispatched by hand and import what they need when they run, so
that help costs nothing.
"""

import sys
import traceback

from alignjax.cli.data import data
from alignjax.cli.evaluate import compare, evaluate
from alignjax.cli.feedback import feedback
from alignjax.cli.harness import harness
from alignjax.cli.hosts import end, join, leave
from alignjax.cli.instruct import instruct
from alignjax.cli.models import export, score
from alignjax.cli.plan import plan
from alignjax.cli.text import chat, generate
from alignjax.cli.train import train
from alignjax.cli.winrate import winrate

USAGE = """usage: alignjax COMMAND [options]

  train     --config FILE[:words] --workdir DIR [--config.KEY=VALUE ...]
            [--profile] [--resume=weights-only|fresh-optimizer]
                              train; the same command continues a run
  plan      --config FILE[:words] [--topology v5e:4x4] [--config.KEY=VALUE ...]
                              what it would need and how fast it could be
  data      preview | stats --config FILE[:words] [--n 3]
            [--config.KEY=VALUE ...]           look at what is trained on
            validate FILE ...                  check rows, write a data card
            audit FILE                         look at preferences
            contamination --train FILE --eval FILE
                              what of one stands in the other
  instruct  convert --dataset NAME=PATH ... --out FILE
                              rows of data sets, worded by templates
            generate --config FILE[:words] --workdir DIR
                              rows that a model writes
  feedback  sample | serve | raters | report | export | simulate
                              people compare answers; their votes as rows
  generate  --model PATH --prompt TEXT ...     answer prompts
  chat      --model PATH                       talk to a model
  score     --model PATH --data FILE --out FILE
                              a reward model's scores of completions
  evaluate  --config FILE[:words] --workdir DIR [--config.KEY=VALUE ...]
                              ask a model tasks; the same command goes on
  harness   --config FILE --tasks TASKS --out FILE
                              tasks of lm-evaluation-harness
  compare   NAME=FOLDER NAME=FOLDER ...        what evaluate wrote, in pairs
  winrate   NAME=FOLDER NAME=FOLDER ... --task TASK --judge JUDGE --out FILE
                              whose answers a judge prefers, in both orders
  export    --workdir DIR --out FOLDER         write a Hugging Face folder

Every command takes --help, and --debug for a full traceback. train, evaluate,
score and harness are one run on many hosts: --hosts=auto on a TPU slice or by
SLURM, --hosts=ADDRESS:PORT,N,I on host I of N where host 0 listens there.
"""

ERROR_LINES = 5

COMMANDS = {
  "train": train,
  "plan": plan,
  "data": data,
  "instruct": instruct,
  "feedback": feedback,
  "generate": generate,
  "chat": chat,
  "score": score,
  "evaluate": evaluate,
  "harness": harness,
  "compare": compare,
  "winrate": winrate,
  "export": export,
}

MANY = ("train", "evaluate", "score", "harness")  # run on several hosts


def main(argv: list[str] | None = None) -> int:
  """Runs one command; returns the exit status (0, 1 error, 2 usage).

  A training run that was told to stop raises SystemExit with status 75.
  """
  argv = list(sys.argv[1:] if argv is None else argv)
  debug = "--debug" in argv
  hosts = "".join(a[8:] for a in argv if a.startswith("--hosts="))
  argv = [a for a in argv if a != "--debug" and not a.startswith("--hosts=")]
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
    if argv[0] in MANY:
      join(hosts)
    command(argv[1:])
  except KeyboardInterrupt:
    return 130
  except Exception as error:
    if debug:
      traceback.print_exc()
    else:
      print(_brief(error), file=sys.stderr)
    if hosts and "Gloo" in str(error):  # between CPUs, it hears of it first
      end("another host")
    if hosts:
      leave(1)
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
