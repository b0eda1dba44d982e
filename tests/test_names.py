"""Every name that code reads is there; lint cannot tell, for shapes are names
in strings."""

import builtins
import dis
import importlib
import pkgutil
from collections.abc import Iterator
from types import CodeType, ModuleType

import alignjax


def modules() -> Iterator[ModuleType]:
  for found in pkgutil.walk_packages(alignjax.__path__, "alignjax."):
    if not found.name.endswith("__main__"):
      yield importlib.import_module(found.name)


def codes(code: CodeType) -> Iterator[CodeType]:
  yield code
  for const in code.co_consts:
    if isinstance(const, CodeType):
      yield from codes(const)


def missing(module: ModuleType) -> list[str]:
  """Names that functions of a module read, and nobody has given."""
  with open(module.__file__, encoding="utf-8") as file:
    whole = compile(file.read(), module.__file__, "exec")
  known = vars(module).keys() | vars(builtins).keys()
  return [
    f"{module.__name__}, {code.co_name}: {step.argval}"
    for code in codes(whole)
    for step in dis.get_instructions(code)
    if step.opname == "LOAD_GLOBAL" and step.argval not in known
  ]


def test_names_are_there():
  assert [name for module in modules() for name in missing(module)] == []


def test_one_that_is_not_is_found(tmp_path):
  file = tmp_path / "lost.py"
  file.write_text("import math\ndef f(x):\n  return math.pi + dataclass(x)\n")
  module = ModuleType("lost")
  module.__file__ = str(file)
  exec(file.read_text(), vars(module))
  assert missing(module) == ["lost, f: dataclass"]
