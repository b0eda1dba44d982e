"""Jinja that a file of another may bring: compiled in the sandbox.

No private attribute, no change of a value, no file, nothing random (neither
`lipsum` nor the filter `random`): a text is a function of its row. Time and
memory are not bounded. Texts and numbers alone are printed: a null leaves the
row out, as does whatever else is done with it; a list, an object, a truth value
or a method is an error.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import jinja2
import jinja2.compiler
import jinja2.meta
import jinja2.nodes
import jinja2.sandbox


class LeftOut(Exception):
  """Why no row is made of one; the message is what it is counted by."""


class _Null:
  """A null of a row: false in an `if`, none, and no text, not even "None"."""

  def __bool__(self) -> bool:
    return False

  def __eq__(self, other) -> bool:
    return other is None or other is self

  __hash__ = None

  def __str__(self) -> str:
    raise LeftOut("null value")

  __repr__ = __int__ = __float__ = __str__

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
  printed = (str, int, float, jinja2.Undefined, _Null)  # the last two raise
  if isinstance(value, bool) or not isinstance(value, printed):
    known = isinstance(value, bool | list | tuple | dict)
    shown = repr(value)[:40] if known else f"a {type(value).__name__}"
    raise TypeError(
      f"prints {shown}, which is no text; use join, a field of it, or an if"
    )
  return value


def _text(value: Any) -> str:
  return str(_printed(value))


class _Code(jinja2.compiler.CodeGenerator):
  """Holds what `~` joins to the rule for what is printed."""

  def visit_Template(self, node, frame=None):
    for found in node.find_all(jinja2.nodes.Concat):
      where = {"lineno": found.lineno, "environment": found.environment}
      found.nodes = [
        jinja2.nodes.Filter(one, "string", [], [], None, None, **where)
        for one in found.nodes
      ]
    super().visit_Template(node, frame)


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
  made.filters["string"] = _text
  made.tests["none"] = lambda value: value is None or value is NULL
  made.policies["json.dumps_kwargs"] = {"sort_keys": True, "default": _text}
  made.code_generator_class = _Code
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
      if _Null.__name__ in str(e):  # Python's words for what a null cannot do
        raise LeftOut("null value") from None
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
