"""Jinja that a file of another may bring: compiled in the sandbox.

No private attribute, no change of a value, no file, nothing random (neither
`lipsum` nor the filter `random`): a text is a function of its row. Time and
memory are not bounded. What has no wording of its own is not printed: a null
leaves the row out, a list, an object or a truth value is an error.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import jinja2
import jinja2.meta
import jinja2.nodes
import jinja2.sandbox


class LeftOut(Exception):
  """Why no row is made of one; the message is what it is counted by."""


class _Null:
  """A null of a row: false in an `if`, and no text, not even "None"."""

  def __bool__(self) -> bool:
    return False

  def __str__(self) -> str:
    raise LeftOut("null value")

  def __getattr__(self, name: str):
    if name.startswith("__"):
      raise AttributeError(name)
    raise LeftOut("null value")


NULL = _Null()


def without_null(value: Any) -> Any:
  """The same, with `NULL` for each null, all the way down."""
  if isinstance(value, dict):
    return {key: without_null(inner) for key, inner in value.items()}
  if isinstance(value, list | tuple):
    return [without_null(inner) for inner in value]
  return NULL if value is None else value


def _printed(value: Any) -> Any:
  if value is None:
    raise LeftOut("null value")
  if isinstance(value, bool | list | tuple | dict):
    raise TypeError(
      f"prints {repr(value)[:40]}, which is no text; "
      "use join, a field of it, or an if"
    )
  return value


def _environment() -> jinja2.sandbox.ImmutableSandboxedEnvironment:
  made = jinja2.sandbox.ImmutableSandboxedEnvironment(
    autoescape=False,  # prompts are no HTML
    undefined=jinja2.StrictUndefined,
    finalize=_printed,
    trim_blocks=True,
    lstrip_blocks=True,
  )
  made.globals = {"range": made.globals["range"]}
  del made.filters["random"]
  return made


_ENVIRONMENT = _environment()


class Compiled:
  """A text or an expression of a template file, called with the values.

  what: how errors name it, `file:line: phrasing 2, prompt`.
  """

  def __init__(
    self,
    what: str,
    source: str,
    known: Iterable[str],
    *,
    expression: bool = False,
  ):
    self.what = what
    self._is_expression = expression
    try:
      if expression:
        self._made = _ENVIRONMENT.compile_expression(
          source, undefined_to_none=False
        )
        tree = _ENVIRONMENT.parse("{{ " + source + " }}")
      else:
        self._made = _ENVIRONMENT.from_string(source)
        tree = _ENVIRONMENT.parse(source)
    except jinja2.TemplateError as e:
      raise ValueError(f"{what}: {e}\nin: {source.strip()[:120]}") from e
    self.reads = jinja2.meta.find_undeclared_variables(tree)
    self.paths = {p for p in _paths(tree) if p.split(".")[0] in self.reads}
    lost = sorted(self.reads - set(known))
    if lost:
      raise ValueError(
        f"{what} reads {lost[0]!r}, which is no field\n"
        f"legal: {', '.join(known) or 'none'}"
      )

  def __call__(self, values: Mapping[str, Any], origin: str) -> Any:
    """The text, or the value of an expression.

    Raises LeftOut, and ValueError where the file does not fit the row.
    """
    try:
      if not self._is_expression:
        return self._made.render(values)
      found = self._made(values)
      return str(found) if isinstance(found, jinja2.Undefined) else found
    except LeftOut:
      raise
    except Exception as e:  # it is a program: anything may go wrong
      raise ValueError(
        f"{self.what}: {str(e)[:200] or type(e).__name__}\n"
        f"row: {origin}\nfields there: {', '.join(_leaves(values))[:300]}"
      ) from e


def _leaves(value: Mapping, before: str = "") -> list[str]:
  """`translation.de`: the names of all fields, nested ones with their way."""
  found = []
  for name, inner in value.items():
    nested = isinstance(inner, dict) and inner
    path = f"{before}{name}"
    found += _leaves(inner, f"{path}.") if nested else [path]
  return found


def _paths(node: jinja2.nodes.Node) -> Iterator[str]:
  """What a template reads: `translation.de`, as far as names go."""
  if path := _chain(node):
    yield path
    while not isinstance(node, jinja2.nodes.Name):
      if isinstance(node, jinja2.nodes.Getitem):
        yield from _paths(node.arg)
      node = node.node
    return
  method = isinstance(node, jinja2.nodes.Call) and node.node
  for child in node.iter_child_nodes():
    # `answer.split('####')` reads answer.
    called = child is method and isinstance(child, jinja2.nodes.Getattr)
    yield from _paths(child.node if called else child)


def _chain(node: jinja2.nodes.Node) -> str:
  """A name with what is taken of it, "" where a node is no such thing."""
  if isinstance(node, jinja2.nodes.Name):
    return node.name
  if isinstance(node, jinja2.nodes.Getattr):
    base = _chain(node.node)
    return base and f"{base}.{node.attr}"
  if isinstance(node, jinja2.nodes.Getitem):
    base, key = _chain(node.node), getattr(node.arg, "value", None)
    return f"{base}.{key}" if base and isinstance(key, str) else base
  return ""


def overlap(ours: Iterable[str], others: Iterable[str]) -> str:
  """A path that holds one of the others or is held by it, "" for none."""
  others = [f"{path}." for path in others]
  for path in sorted(ours):
    mine = f"{path}."
    if any(o.startswith(mine) or mine.startswith(o) for o in others):
      return path
  return ""
