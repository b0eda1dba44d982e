"""Options of a command that reads a config: the file, its words, its changes.

`--config FILE[:words]` is python; `--config.KEY=VALUE` changes a value of it.
"""

import difflib
import importlib.util
import sys
from pathlib import Path


def read(command: str, argv: list[str], **options: str | bool | int):
  """(the config, values of the options) of a command's arguments.

  options: name → default of what the command takes beside the config.

  Raises ValueError or FileNotFoundError for what cannot be read.
  """
  from absl import flags
  from ml_collections import config_flags

  given, argv = _take(argv, "--config")
  if not given:
    raise ValueError(f"{command} needs --config FILE (see configs/).")
  config = load_config(given)
  check_keys(config, argv)
  values = flags.FlagValues()
  argv = [f"alignjax {command}", *argv]
  held = config_flags.DEFINE_config_dict(
    "config", config, flag_values=values, lock_config=True, sys_argv=argv
  )
  define = {
    str: flags.DEFINE_string,
    bool: flags.DEFINE_boolean,
    int: flags.DEFINE_integer,
  }
  for name, default in options.items():
    define[type(default)](name, default, name, flag_values=values)
  try:
    rest = values(argv)[1:]
  except (AttributeError, KeyError, TypeError, flags.Error) as error:
    legal = ", ".join(f"--{name}" for name in ("config", *options, "debug"))
    raise ValueError(
      f"{error}\nOptions of {command}: {legal} and --config.KEY=VALUE."
    ) from error
  if rest:
    raise ValueError(f"{rest[0]!r} is not an option of {command}.")
  return held.value, {name: values[name].value for name in options}


def load_config(given: str):
  """The ConfigDict of `FILE[:words]`: what the file's get_config returns."""
  path, _, words = given.partition(":")
  file = Path(path).resolve()
  if not file.is_file():
    raise FileNotFoundError(
      f"No config file {path}.\nConfigs are python files with "
      "get_config(); those of the project are in configs/."
    )
  # Configs import their shared blocks as `configs.common`.
  sys.path[:0] = [str(file.parent.parent), str(file.parent)]
  spec = importlib.util.spec_from_file_location("config_file", file)
  if spec is None:
    raise ValueError(f"{path} is not a python file (.py).")
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  if not hasattr(module, "get_config"):
    raise ValueError(f"{path} has no function get_config.")
  return module.get_config(*[words] if words else [])


def check_keys(config, argv: list[str]) -> None:
  """Raises where `--config.KEY=VALUE` names a key that is not there."""
  for option in argv:
    if not option.startswith("--config."):
      continue
    key = option.removeprefix("--config.").split("=")[0]
    at, node = "config", config
    for name in key.split("."):
      if "[" in name:  # an entry of a tuple: left to the flags
        break
      legal = list(node) if hasattr(node, "keys") else []
      if name not in legal:
        close = difflib.get_close_matches(name, legal, 1)
        meant = f" Did you mean {at}.{close[0]}?" if close else ""
        raise ValueError(
          f"The config has no key {key}.{meant}\n"
          f"Keys of {at}: {', '.join(legal) or 'none'}."
        )
      at, node = f"{at}.{name}", node[name]


def _take(argv: list[str], flag: str) -> tuple[str, list[str]]:
  """The value of `--flag value` or `--flag=value`, "" for none; the rest."""
  for i, a in enumerate(argv):
    if a.startswith(flag + "="):
      return a[len(flag) + 1 :], argv[:i] + argv[i + 1 :]
    if a == flag and i + 1 < len(argv):
      return argv[i + 1], argv[:i] + argv[i + 2 :]
  return "", argv
