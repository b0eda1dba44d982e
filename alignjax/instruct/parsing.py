"""What a model wrote, taken apart: numbered lists, named parts."""

import re
from collections.abc import Sequence

# White space follows, for "3.5 pounds" and "3:30" begin no item.
_NUMBER = re.compile(
  r"^\s*(?:\*\*)?(?:Task\s+)?\d+\s*[.):](?:\*\*|\s|\Z)\s*", re.M
)
_FENCE = re.compile(r"^```\w*\n(.*?)\n?```$", re.S)


def numbered(text: str, cut: bool) -> list[str]:
  """The items of a numbered list, each on one line; none without a number.

  cut: the text ended at a limit, so that the last item is left out.
  """
  first = _NUMBER.search(text)
  if not first:
    return []
  items = _NUMBER.split(text[first.start() :])[1:]
  items = items[:-1] if cut else items
  # A list ends where a paragraph begins.
  shown = (re.split(r"\n\s*\n", item.strip())[0] for item in items)
  return [" ".join(item.replace("**", "").split()) for item in shown]


def parts(text: str, names: Sequence[str]) -> dict[str, str]:
  """What stands after `Name:` at the start of a line, up to the next one.

  The first of each name; names are compared without case. Names that are not
  there are left out.
  """
  either = "|".join(map(re.escape, names))
  found = [*re.finditer(rf"^[*#\s]*({either})[*\s]*:[*]*", text, re.M | re.I)]
  known = {name.casefold(): name for name in names}
  taken: dict[str, str] = {}
  for here, after in zip(found, [*found[1:], None]):
    name = known[here[1].casefold()]
    if name in taken:
      break  # another example begins, or a second try
    end = after.start() if after else len(text)
    taken[name] = _unfenced(text[here.end() : end].strip())
  return taken


def _unfenced(text: str) -> str:
  fenced = _FENCE.match(text)
  return fenced[1] if fenced else text


def yes(text: str) -> bool | None:
  """Whether a text begins with yes or no; None for neither."""
  said = re.match(r"\W*(yes|no)\b", text, re.I)
  return None if said is None else said[1].casefold() == "yes"
