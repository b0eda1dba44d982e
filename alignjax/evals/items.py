"""What a task asks, what a model answers, and how that is scored."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from alignjax.statistics.intervals import Estimate

Prompt = str | tuple[dict, ...]
Line = dict
KINDS = ("choices", "texts", "pairs", "answers")


class Item(NamedTuple):
  """One question.

  id: tells it from the others of its task.
  prompt: plain text to go on with, or the turns of a conversation.
  choices: texts that may follow, verbatim; () where the model writes its own.
  gold: what is right, as the task writes it down.
  group: what a table has a line for (a subject, a cluster), "" for none.
  cluster: items of one are not independent, and are resampled together; "" is
    the item alone.
  fields: what else the score needs, and a reader of the lines.
  """

  id: str
  prompt: Prompt
  choices: tuple[str, ...] = ()
  gold: object = None
  group: str = ""
  cluster: str = ""
  fields: dict = {}


class Task(NamedTuple):
  """Items, and the arithmetic on what a model makes of them.

  kind: of `KINDS`, with the output that `score` sees:
    "choices": {"logps", "tokens", "greedy"} of each choice: Σ log p in nats,
      how many tokens that is over, whether greedy decoding would write it.
    "texts": the same of the whole text of the single choice, every token but
      the first.
    "pairs": choices are a preferred answer and another, prompt a conversation;
      {"scores", "tokens"} of a reward model, {"logps", "tokens"} of others.
    "answers": {"text", "tokens", "stopped"}.
  score: (item's line, output) → metric → number; a metric that does not apply
    is left out.
  about: what the numbers depend on: shots, normalisation, files …
  main: the metrics that models are compared by, and which way is better, "up"
    or "down".
  max_tokens: of an answer. stop: texts at which an answer is cut.
  totals: lines → what is not a mean over items.
  """

  kind: str
  items: list[Item]
  score: Callable[[Line, Mapping], dict[str, float]]
  about: dict
  main: dict[str, str]
  max_tokens: int = 0
  stop: tuple[str, ...] = ()
  totals: Callable[[Sequence[Line], int], dict[str, Estimate]] | None = None


def line_of(item: Item) -> Line:
  """An item as it stands in the file of items, before it is answered."""
  line: Line = {"id": item.id}
  for name in ("group", "cluster"):
    if getattr(item, name):
      line[name] = getattr(item, name)
  line["prompt"] = item.prompt
  if item.choices:
    line["choices"] = list(item.choices)
  if item.gold is not None:
    line["gold"] = item.gold
  return line | item.fields
