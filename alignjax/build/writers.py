"""Writing configs → who writes, and by which method."""

import importlib
import importlib.util
from pathlib import Path

from ml_collections import ConfigDict

from alignjax.build import evaluations, named
from alignjax.instruct import writers
from alignjax.instruct.made import Tools
from alignjax.instruct.writers import Ask, Writer

# What is of an endpoint alone, or of the bill.
_REMOTE = ("url", "model", "api_key_env", "workers", "per_minute")
_REMOTE += ("timeout", "retries")


def method(config: ConfigDict):
  """The function of `config.method`: (tools) → rows, and what was left out.

  Its `name` is a file in `alignjax/instruct/methods/`, or the import path of a
  module of your own; its function `make` takes the other keys.
  """
  options = config.method.to_dict()
  name = options.pop("name")
  own = f"alignjax.instruct.methods.{name}"
  if "." not in name and importlib.util.find_spec(own):
    module = importlib.import_module(own)
  else:
    module = named.imported(name, "config.method")
  return named.function(
    module, "make", options, where="config.method", first=("tools",)
  )


def tools(config: ConfigDict, workdir: Path, show) -> Tools:
  """Who writes and who judges; a model of ours is read once.

  workdir: where what they say is kept. show: (who, done, all).
  """
  ours = []

  def ask(name: str) -> Ask | None:
    entry = config[name]
    if not entry:
      return None
    if not entry.url and not ours:
      ours.append(evaluations.subject(config))
    return Ask(
      writer(config, name, ours),
      workdir / f"{name}.replies.jsonl",
      lambda done, total: show(name, done, total),
    )

  return Tools(ask("writer"), ask("judge"), config.seed)


def writer(config: ConfigDict, name: str, ours: list) -> Writer:
  """The writer of `config.writer` or `config.judge`."""
  options = config[name].to_dict()
  options.pop("price")
  choices = tuple(options.pop("choices", ()))
  options["seed"] = config.seed
  if choices and (options["url"] or len(choices) != 2):
    raise ValueError(
      f"config.{name}.choices = {choices}: two, of which a model of ours says "
      "how likely either is.\nAn endpoint has none: leave choices empty."
    )
  if options["url"]:
    return writers.endpoint(options.pop("url"), options.pop("model"), **options)
  left = {k: v for k, v in options.items() if k not in _REMOTE}
  if options["model"]:
    raise ValueError(
      f"config.{name}.model = {options['model']!r} without a url has no "
      "effect.\nGive the url of an endpoint, or config.model.path for a model "
      "of ours."
    )
  (subject, about), *_ = ours
  known = {k: about[k] for k in ("sha256", "dtype", "template")}
  if choices:
    return writers.chooser(subject, known, choices)
  return writers.own(subject, known, **left)
