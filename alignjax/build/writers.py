"""Writing configs → who writes, and by which method."""

import importlib
import importlib.util
import math
from collections.abc import Callable
from functools import cache
from pathlib import Path

from ml_collections import ConfigDict

from alignjax.build import evaluations, named
from alignjax.instruct import endpoints, writers
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
  """Who writes and who judges; a model of ours is read once, when it is asked.

  workdir: where what they say is kept. show: (who, done, all).
  """
  ours = cache(lambda: evaluations.subject(config))

  def ask(name: str) -> Ask | None:
    entry = config[name]
    if not entry:
      return None
    return Ask(
      writer(config, name, ours),
      workdir / f"{name}.replies.jsonl",
      lambda done, total: show(name, done, total),
    )

  return Tools(ask("writer"), ask("judge"), config.seed)


def writer(
  config: ConfigDict, name: str, ours: Callable
) -> Writer | Callable[[], Writer]:
  """The writer of `config.writer` or `config.judge`; of ours what reads it.

  ours: gives the model and what is known of it. Raises ValueError for settings
  that cannot be.
  """
  options = config[name].to_dict()
  tokens, top_p = options["max_tokens"], options["top_p"]
  heat = options["temperature"]
  if tokens < 1 or not 0 <= heat < math.inf or not 0 < top_p <= 1:
    raise ValueError(
      f"config.{name}: max_tokens = {tokens}, temperature = {heat}, top_p = "
      f"{top_p}.\nLegal: 1 or more, 0 or more, above 0 and at most 1."
    )
  options.pop("price")
  choices = tuple(options.pop("choices", ()))
  options["seed"] = config.seed
  if choices and (options["url"] or len(choices) != 2):
    raise ValueError(
      f"config.{name}.choices = {choices}: two, of which a model of ours says "
      "how likely either is.\nAn endpoint has none: leave choices empty."
    )
  if options["url"]:
    url, model = options.pop("url"), options.pop("model")
    return endpoints.endpoint(url, model, **options)
  left = {k: v for k, v in options.items() if k not in _REMOTE}
  if options["model"]:
    raise ValueError(
      f"config.{name}.model = {options['model']!r} without a url has no "
      "effect.\nGive the url of an endpoint, or config.model.path for a model "
      "of ours."
    )

  def read() -> Writer:
    subject, about = ours()
    known = {k: about[k] for k in ("sha256", "dtype", "template")}
    if choices:
      return writers.chooser(subject, known, choices)
    return writers.own(subject, known, **left)

  return read
