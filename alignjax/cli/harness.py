"""`alignjax harness`."""

import json

from alignjax.cli.arguments import quiet

USAGE = """usage: alignjax harness --config FILE[:words] --tasks NAME[,NAME ...]
         --out FILE [--include-path FOLDER] [--shots N] [--limit N] [--chat]
         [--config.KEY=VALUE ...] [--debug]

A model through tasks of lm-evaluation-harness (pip install 'alignjax[evals]').
The config is of `alignjax evaluate`: its model, template, batch and rows count,
its tasks do not.

  --include-path FOLDER  of task files (YAML) of your own, looked into first
  --shots N   examples; without it the task's own number
  --limit N   items of each task; without it all
  --chat      prompts are conversations, by the chat template
  --out FILE  for numbers, settings and every item, JSON
"""


def harness(argv: list[str]) -> None:
  """`alignjax harness`."""
  if "--help" in argv or "-h" in argv:
    print(USAGE)
    return
  from alignjax import options

  config, given = options.read(
    "harness",
    argv,
    **{"include-path": ""},
    tasks="",
    shots=-1,
    limit=0,
    chat=False,
    out="",
  )
  tasks = [name.strip() for name in given["tasks"].split(",") if name.strip()]
  if not tasks or not given["out"]:
    missing = "--out FILE" if tasks else "--tasks NAME[,NAME ...]"
    raise ValueError(f"harness needs {missing}.")
  for name, least in (("shots", -1), ("limit", 0)):
    if given[name] < least:
      raise ValueError(
        f"--{name} is {given[name]}; leave it out for all of it."
      )
  quiet()
  import jax
  from rich.console import Console

  from alignjax.build import evaluations
  from alignjax.cli.evaluate import bars
  from alignjax.evals import harness_tasks
  from alignjax.evals.tables import table
  from alignjax.log.records import replace_file

  index = harness_tasks.index(tasks, given["include-path"] or None)
  subject, about = evaluations.subject(config)
  found = harness_tasks.run(
    subject,
    tasks,
    about=about,
    shots=None if given["shots"] < 0 else given["shots"],
    limit=given["limit"] or None,
    index=index,
    chat=given["chat"],
    show=bars(),
  )
  if jax.process_index() == 0:
    text = json.dumps(found, indent=1, ensure_ascii=False)
    replace_file(given["out"], text + "\n")
    Console(highlight=False).print(table(found))
    print(given["out"])
