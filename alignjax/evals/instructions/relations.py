"""The two relations a count is asked to have to its bound."""

_RELATIONS = ("at least", "less than")


def holds(count: int, relation: str, bound: int) -> bool:
  """Whether a count is `at least` or `less than` its bound.

  Raises:
    ValueError: another relation.
  """
  if relation not in _RELATIONS:
    raise ValueError(
      f"relation is {relation!r}; it must be one of {', '.join(_RELATIONS)}."
    )
  return count >= bound if relation == "at least" else count < bound
