"""What a model takes, read without its weights."""

import gguf
from ml_collections import ConfigDict

from alignjax.models import gguf_io
from alignjax.models.config import ModelConfig
from alignjax.models.presets import preset
from alignjax.pretrained import locate, read_config


def model_config(config: ConfigDict) -> ModelConfig | None:
  """The config of `config.model`, None of a folder that has none."""
  m = config.model
  if not m.path:
    return preset(m.preset)
  found = locate(m.path, m.revision or None, ("*config.json",))
  if found.is_file():
    return gguf_io.read_config(gguf.GGUFReader(found), found)
  if not (found / "config.json").is_file():
    return None
  return read_config(found)
