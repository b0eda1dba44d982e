"""Post-training of language models in JAX."""


def load(path: str, **options):
  """(lm, params, tokenizer) of a folder, GGUF file or hub name.

  See `alignjax.pretrained.load`. Imported on call, so that the command line
  answers `--help` without starting JAX.
  """
  from alignjax.pretrained import load

  return load(path, **options)
