"""`alignjax export`."""

import argparse
from pathlib import Path

from alignjax.cli.arguments import quiet


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
