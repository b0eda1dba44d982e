"""OpenAssistant's message trees: readers of one's own, shown.

  data.train.reader = "alignjax.data.oasst.read"    conversations
  data.train.reader = "alignjax.data.oasst.pairs"   ranked answers

A line is a tree: `prompt` is its first message, each message has `replies`,
roles are prompter and assistant in turn, `rank` 0 is the reply that people
liked best (Köpf et al. 2023, https://arxiv.org/abs/2304.07327).
"""

import math
from collections.abc import Callable, Iterable, Iterator

from alignjax.data import folders
from alignjax.data.bad import BadRow
from alignjax.data.lines import Item, read_nested

_ROLES = {"prompter": "user", "assistant": "assistant"}


def read(path: str, split: str) -> Iterator[Item]:
  """A row of `messages` for each conversation of the trees, in file order.

  Of the replies to a prompter the best is taken: the lowest rank, those without
  a rank last, the first of equals. Every reply to an assistant is followed that
  has an answer; so conversations of one tree differ from the first branch on,
  and all end with an assistant. Messages that were deleted or did not pass
  review are not there, nor is what hangs below them; a prompt without an answer
  gives no row.

  path: a file of JSON Lines, or a folder with the split in their names. The
    origin of a row is `file:line#message_id` of its last message, which is its
    `id` too.
  """
  return _trees(path, split, _rows)


def pairs(path: str, split: str) -> Iterator[Item]:
  """A row of ranked answers for each prompter that has two ranks to compare.

  Its `prompt` is the way from the tree's root to that message, its
  `completions` are the replies that have a rank, with their `ranks`. Messages
  that do not stand are not there, as in `read`. The origin of a row is
  `file:line#message_id` of the prompter's message, which is its `id` too.
  """
  return _trees(path, split, _ranked)


def _trees(path: str, split: str, rows: Callable) -> Iterator[Item]:
  for file in folders.find(path, split):
    if ".jsonl" not in file.suffixes:
      raise ValueError(
        f"{file} is no .jsonl(.gz) file of OpenAssistant trees\n"
        "the flat tables of messages are not read; fetch the *.trees.jsonl.gz"
      )
    yield from read_nested(file, rows)


def _turns(path: Iterable[dict]) -> list[dict]:
  return [{"role": _ROLES[m["role"]], "content": m["text"]} for m in path]


def _ranked(tree: dict, origin: str) -> list[Item]:
  found = []
  root = _message(tree.get("prompt"), origin)
  ahead = [(root,)] if _stands(root) else []
  while ahead:
    path = ahead.pop()
    replies = _replies(path[-1], origin)
    ahead += [(*path, reply) for reply in reversed(replies)]
    ranked = [m for m in replies if _rank(m) < math.inf]
    last = path[-1]
    if last["role"] == "prompter" and len({_rank(m) for m in ranked}) > 1:
      row = {
        "prompt": _turns(path),
        "completions": [m["text"] for m in ranked],
        "ranks": [_rank(m) for m in ranked],
        "id": last["message_id"],
        "lang": last["lang"],
      }
      found.append((row, f"{origin}#{last['message_id']}"))
  return found


def _rows(tree: dict, origin: str) -> list[Item]:
  found = []
  for path in _paths(_message(tree.get("prompt"), origin), origin):
    turns = _turns(path)
    last = path[-1]
    row = {"messages": turns, "id": last["message_id"], "lang": last["lang"]}
    found.append((row, f"{origin}#{last['message_id']}"))
  return found


def _paths(prompt: dict, origin: str) -> Iterator[tuple[dict, ...]]:
  """From the prompt to each last answer, depth first."""
  ahead = [((), prompt)] if _stands(prompt) else []
  while ahead:
    before, asked = ahead.pop()
    answers = _replies(asked, origin)
    if not answers:
      continue
    best = min(answers, key=_rank)
    path = (*before, asked, best)
    further = [m for m in _replies(best, origin) if _replies(m, origin)]
    if not further:
      yield path
    ahead += [(path, m) for m in reversed(further)]


def _rank(message: dict) -> int | float:
  rank = message.get("rank")
  return rank if isinstance(rank, int) else math.inf


def _stands(message: dict) -> bool:
  deleted = message.get("deleted")
  return not deleted and message.get("review_result") is not False


def _replies(message: dict, origin: str) -> list[dict]:
  """The replies to a message that stand."""
  replies = message.get("replies") or []
  if not isinstance(replies, list):
    reason = f"'replies' must be a list, this is {type(replies).__name__}"
    raise BadRow(origin, "wrong type", reason, str(message))
  return [m for m in (_message(r, origin) for r in replies) if _stands(m)]


def _message(value: object, origin: str) -> dict:
  """The same, if it is a message."""
  wanted = {"message_id", "text", "role", "lang"}
  if not isinstance(value, dict) or not wanted <= value.keys():
    reason = f"a message must have {', '.join(sorted(wanted))}, this is "
    reason += repr(value)[:80]
    raise BadRow(origin, "missing field", reason, str(value))
  if value["role"] not in _ROLES:
    reason = f"unknown role {value['role']!r}; legal: {', '.join(_ROLES)}"
    raise BadRow(origin, "unknown role", reason, str(value))
  return value
