"""`alignjax train`."""

from pathlib import Path

from alignjax.cli.arguments import quiet


def train(argv: list[str]) -> None:
  """Trains as a config says."""
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
