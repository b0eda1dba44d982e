"""`alignjax plan`."""

from alignjax.cli.arguments import quiet


def plan(argv: list[str]) -> None:
  """Tells what a run would need, from its compiled programs."""
  if not argv or "--help" in argv or "-h" in argv:
    print(
      "usage: alignjax plan --config FILE[:words] [--topology v5e:4x4]\n"
      "  [--prompt N] [--fit | --scaling] [--out FILE]\n"
      "  [--config.KEY=VALUE ...] [--debug]\n\n"
      "Compiles the programs of a run, for a TPU that need not be here (v5e,\n"
      "v5p, v6e; pip install 'alignjax[plan]'), for cpu:8, or for the devices\n"
      "of this machine, and prints what one device needs and does: memory,\n"
      "products, collectives, and how fast it could be at most.\n"
      "Weights and rows are not read: rows are as long as the config lets in.\n"
      "--prompt N: so many tokens of each are not trained.\n"
      "--fit: tries microbatches and what is kept for the backward pass, and\n"
      "says which is fastest of those that fit; --scaling: the update on 8 to\n"
      "256 chips, as many rows for each; --out FILE: the plan as JSON."
    )
    return
  from alignjax.options import read

  config, values = read(
    "plan", argv, topology="", prompt=0, out="", fit=False, scaling=False
  )
  quiet()
  from alignjax.plan import chips

  chips.check(values["topology"])
  chips.prepare(values["topology"])
  from rich.console import Console

  from alignjax import plan as plans

  say = Console(width=max(100, Console().width)).print
  topology, prompt = values["topology"], values["prompt"]
  if values["fit"]:
    plans.fit(config, topology, prompt, say)
  elif values["scaling"]:
    plans.scaling(config, topology, prompt, say)
  else:
    plans.plan(config, topology, prompt=prompt, out=values["out"], say=say)
