"""Evaluation configs → the model that is asked, and what it is asked."""

import hashlib
import importlib
import importlib.util
import json

import jax
from ml_collections import ConfigDict

from alignjax import pretrained
from alignjax.build import models, named
from alignjax.build.tokens import of_template
from alignjax.checkpoint.files import names, open_folder, sha256
from alignjax.data.templates import load_template
from alignjax.evals.answering import Subject
from alignjax.evals.items import Task

# Files of a model's folder that what it says depends on.
READ = (".safetensors", ".gguf", ".json", ".jinja", ".txt", ".model")


def tasks(config: ConfigDict) -> dict[str, Task]:
  """The tasks of `config.tasks` by name, their files read and checked.

  An entry's `name` is a file in `alignjax/evals/tasks/`, or the import path of
  a module of your own; its function `task` takes `path` and, as keywords, every
  other key of the entry.
  """
  if not config.tasks:
    raise ValueError("config.tasks is empty: there is nothing to evaluate.")
  return {name: _task(name, entry) for name, entry in config.tasks.items()}


def subject(config: ConfigDict) -> tuple[Subject, dict]:
  """The model on its mesh, and what a summary says of it."""
  place = models.placement(config)
  lm, tokenizer = models.outline(config, place)
  template = load_template(config.template or None, tokenizer)
  if config.batch < 1 or config.rows < 1 or config.rows % place.row_multiple:
    raise ValueError(
      f"batch = {config.batch} tokens, rows = {config.rows} answers at a time; "
      f"both must be positive, rows a multiple of {place.row_multiple} devices."
    )
  params = models.weights(config, place, lm)
  about = identity(config) | {
    "parameters": sum(x.size for x in jax.tree.leaves(params)),
    "template": f"{template.name} {of_template(template)[:8]}",
  }
  found = Subject(
    lm, params, tokenizer, template, place, config.batch, config.rows
  )
  return found, about


def identity(config: ConfigDict) -> dict:
  """Which weights are evaluated: the hash of their files, or their seed."""
  m = config.model
  said = {k: m[k] for k in ("path", "preset", "revision", "adapter") if m[k]}
  digest = hashlib.sha256()
  if m.preset:
    digest.update(json.dumps([m.preset, config.seed]).encode())
  for path, revision in ((m.path, m.revision), (m.adapter, "")):
    if path:
      found = open_folder(pretrained.locate(path, revision or None))
      files = [found / n for n in names(found)] if found.is_dir() else [found]
      for file in files:
        if file.suffix in READ:
          digest.update(f"{file.name} {sha256(file)}".encode())
  return said | {"sha256": digest.hexdigest()[:16], "dtype": m.dtype}


def _task(name: str, entry: ConfigDict) -> Task:
  where, options = f"config.tasks.{name}", entry.to_dict()
  missing = [k for k in ("name", "path") if k not in options]
  if missing:
    raise ValueError(f"{where} needs {missing[0]}.")
  module, path = options.pop("name"), options.pop("path")
  own = f"alignjax.evals.tasks.{module}"
  if "." not in module and importlib.util.find_spec(own):
    found = importlib.import_module(own)
  else:
    found = named.imported(module, where)
  if path == "":
    raise ValueError(
      f"{where}.path is empty; give the file or folder of {name}:\n"
      f"--config.tasks.{name}.path=…"
    )
  return named.function(found, "task", options, where=where, first=("path",))(
    path
  )
