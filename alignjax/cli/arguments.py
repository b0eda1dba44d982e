"""What several commands have in common: quiet libraries, a model's options."""

import argparse
import os


def quiet() -> None:
  """Library chatter off; warnings that matter are messages of ours."""
  os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
  os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
  import absl.logging

  absl.logging.set_verbosity(absl.logging.ERROR)


def model_options(parser: argparse.ArgumentParser) -> None:
  """Options of a model that reads text."""
  add = parser.add_argument
  add("--revision", default=None, help="of a hub name")
  add("--adapter", metavar="FOLDER", help="of PEFT, merged into the model")
  add("--template", default=None, help="built-in name or .jinja file")
  add("--dtype", default="float32", help="of weights and arithmetic")
