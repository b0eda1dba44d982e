"""How often a loop runs, where the compiler does not say."""

from alignjax.plan.hlo import Computation, Instruction, Program


def trip_count(
  program: Program,
  inside: Computation,
  loop: Instruction,
  condition: Computation,
  body: Computation,
) -> int | None:
  """(limit − start) / step of `i < limit`, from the text; None where it is not
  of this form."""
  test = condition.root
  named, get = condition.named, None
  if test.op == "fusion":  # compare(gte, constant), fused
    called = program.called(test)
    passed = dict(zip((p.name for p in called.parameters), test.operands))
    named = condition.named | called.named
    test = called.root
    get = passed
  if test.op != "compare":
    return None
  sides = [_source(named, get, name) for name in test.operands]
  counter = next((s for s in sides if s.op == "get-tuple-element"), None)
  limit = next((s for s in sides if s.op == "constant"), None)
  if counter is None or limit is None:
    return None
  place = int(counter.attribute("index"))
  start = _start(inside, loop, place)
  step = _step(program, body, place)
  if start is None or not step:
    return None
  direction, bound = test.attribute("direction"), int(limit.inside)
  bound += direction in ("LE", "GE")
  return max(0, -(-(bound - start) // step))


def _source(named, passed, name: str) -> Instruction:
  """The instruction behind copies and the arguments of a fusion."""
  i = named[name]
  while i.op in ("copy", "bitcast", "convert") or (
    i.op == "parameter" and passed and i.name in passed
  ):
    i = named[passed[i.name] if i.op == "parameter" else i.operands[0]]
  return i


def _start(inside: Computation, loop: Instruction, place: int) -> int | None:
  made = inside.named.get(loop.operands[0])
  if made is None or made.op != "tuple":
    return None
  i = _source(inside.named, None, made.operands[place])
  return int(i.inside) if i.op == "constant" else None


def _step(program: Program, body: Computation, place: int) -> int | None:
  """What the counter grows by in a round."""
  root = body.root
  if root.op != "tuple":
    return None
  i = _source(body.named, None, root.operands[place])
  named, passed = body.named, None
  if i.op == "fusion":
    called = program.called(i)
    passed = dict(zip((p.name for p in called.parameters), i.operands))
    named = body.named | called.named
    i = called.root
  if i.op != "add":
    return None
  for name in i.operands:
    found = _source(named, passed, name)
    if found.op == "constant":
      return int(found.inside)
  return None
