"""Self-instruct: a model writes tasks like some that people wrote.

Wang et al. 2023 (https://arxiv.org/abs/2212.10560), section 2.2: instructions,
whether each is a classification, instances (the input first, or the answer
first for classifications, whose inputs would else be of one class), filters.
The prompts are our own.
"""

import random
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from alignjax.data import self_instruct, sources
from alignjax.instruct import parsing
from alignjax.instruct.made import Left, Made, Tools, at_least
from alignjax.instruct.novelty import Pool
from alignjax.instruct.writers import Request

FEWEST, MOST = 3, 150  # words of an instruction
LONGEST = 300  # words of an input or an answer
SHOWN = 80  # words of a seed that is shown whole, at most
NONE = ("", "none", "n/a", "no input", "not needed", "not applicable")
# What a model that reads and writes text alone cannot do.
_BEYOND = re.compile(
  r"\b(images?|pictures?|photos?|graphs?|charts?|diagrams?|drawings?|draw|"
  r"plots?|maps?|videos?|audio|music|sing|files?|attached|website|click)\b",
  re.I,
)
# A task with its parts after it.
_ANOTHER = re.compile(
  r"^\W*Task\W*:(?s:.*)^\W*(Input|Answer|Output)\W*:", re.M | re.I
)

# Examples are turns of their own: small models keep to a form that they see.
TASKS = "Write {n} tasks for a writing assistant, each of another kind."
MORE = "Write {n} other tasks for a writing assistant, each of another kind."
KIND = """\
Task: {instruction}
Does it choose among a few fixed answers? Say Yes or No."""
INSTANCE = """\
Task: {instruction}
Make up an input that it needs (None if it needs none), then answer it."""
LABELLED = """\
Task: {instruction}
Choose one of its possible answers, then make up an input it is right for."""


class Seed(NamedTuple):
  """A task that people wrote."""

  instruction: str
  input: str
  output: str
  classification: bool


def make(
  tools: Tools,
  *,
  seeds: str,
  rows: int,
  rounds: int,
  prompts: int,
  shown: int,
  machine: int,
  more: int,
  examples: int,
  likeness: float,
) -> Made:
  """Rows of `instruction`, `input`, `output`, at most `rows` of them.

  seeds: file of tasks as of `data.self_instruct`, with `is_classification`.
  rounds: at most. prompts: requests of a round, each with `shown` tasks, of
    which `machine` are earlier ones of the model's, and for `more` new ones.
  examples: seeds shown where instances are asked for.
  likeness: the ROUGE-L with an earlier instruction from which one is not new.

  Raises ValueError for seeds that are too few, and settings that cannot be.
  """
  at_least(1, rows=rows, rounds=rounds, prompts=prompts, more=more)
  at_least(0, examples=examples)
  if not seeds:
    raise ValueError(
      "config.method.seeds is empty.\nGive a file of tasks that people wrote."
    )
  people = read_seeds(seeds)
  if not 0 <= machine < shown <= len(people) or not 0 < likeness <= 1:
    raise ValueError(
      f"method: shown = {shown} of {len(people)} seeds, machine = {machine}, "
      f"likeness = {likeness}.\n"
      "Legal: 0 ≤ machine < shown ≤ the number of seeds, and 0 < likeness ≤ 1."
    )
  by_kind = {
    kind: [seed for seed in people if seed.classification == kind]
    for kind in (True, False)
  }
  if min(map(len, by_kind.values())) < examples:
    raise ValueError(
      f"method.examples = {examples}: of the seeds {len(by_kind[True])} are "
      f"classifications and {len(by_kind[False])} are not.\n"
      "Give fewer, or more seeds of both kinds (is_classification)."
    )
  told = [seed.instruction for seed in people]
  pool, ours, count = Pool(told), [], 0
  for number in range(rounds):
    draw = random.Random(f"{tools.seed} {number}")
    asked = [
      _tasks(draw, told, ours, shown, machine, more, number * prompts + i)
      for i in range(prompts)
    ]
    fresh: list[str] = []
    for reply in tools.ask(asked):
      found = parsing.numbered(reply.text, reply.cut)
      if not found:
        about = {"said": reply.text, "round": number}
        yield Left(reply.refused or "no list of tasks", about)
      for text in found:
        text = _bare(text)
        if reason := unfit(text) or _known(text, pool, likeness):
          yield Left(reason, {"instruction": text, "round": number})
          continue
        pool.add(text)
        fresh.append(text)
    if not fresh:
      continue
    ours += fresh
    for found in _instances(tools, draw, fresh, by_kind, examples):
      if isinstance(found, Left):
        yield found._replace(about=found.about | {"round": number})
        continue
      row, kind = found
      count += 1
      made = {"how": "self-instruct", "round": number, "branch": kind}
      yield {"id": f"self-instruct/{count}", **row, "made": made}
      if count == rows:
        return


def read_seeds(path: str) -> list[Seed]:
  """The first instance of each task of a file."""
  found: dict[str, Seed] = {}
  kinds = {
    row.get("instruction"): bool(row.get("is_classification"))
    for row, _ in sources.read(path)
  }
  for row, _ in sources.read(path, reader=f"{self_instruct.__name__}.read"):
    text = row["instruction"]
    found.setdefault(text, Seed(text, row["input"], row["output"], kinds[text]))
  return [*found.values()]


def unfit(instruction: str) -> str:
  """Why an instruction is none that a row can be made of; "" where it is."""
  size = len(instruction.split())
  if not FEWEST <= size <= MOST:
    return f"instruction of less than {FEWEST} or more than {MOST} words"
  if _BEYOND.search(instruction):
    return "instruction about what is no text"
  if not re.match(r"[\w\"'“‘(]", instruction):
    return "instruction that begins with punctuation"
  return ""


def _known(text: str, pool: Pool, likeness: float) -> str:
  near = pool.likeness(text) >= likeness
  return f"instruction like an earlier one (ROUGE-L ≥ {likeness:g})" * near


def _bare(text: str) -> str:
  """Without the quotes around it, and names that models put before it."""
  text = re.sub(r"^(Task|Instruction)\s*:\s*", "", text, flags=re.I)
  whole = re.match(r'^"([^"]*)"$', text)
  return whole[1] if whole else text


def _tasks(
  draw: random.Random,
  told: Sequence[str],
  ours: Sequence[str],
  shown: int,
  machine: int,
  more: int,
  number: int,
) -> Request:
  own = draw.sample(ours, min(machine, len(ours)))
  texts = [*draw.sample(told, shown - len(own)), *own]
  draw.shuffle(texts)
  lines = (f"{i}. {' '.join(text.split())}" for i, text in enumerate(texts, 1))
  first = (TASKS.format(n=shown), "\n".join(lines))
  return _asked([first], MORE.format(n=more), number)


def _asked(
  examples: Iterable[tuple[str, str]], text: str, draw: int = 0
) -> Request:
  """A request after examples of (what the user says, the answer)."""
  turns = [
    {"role": role, "content": said}
    for pair in examples
    for role, said in zip(("user", "assistant"), pair)
  ]
  return Request((*turns, {"role": "user", "content": text}), draw)


def _instances(
  tools: Tools,
  draw: random.Random,
  fresh: Sequence[str],
  by_kind: Mapping[bool, Sequence[Seed]],
  examples: int,
) -> Iterator:
  """(row, kind) or Left of each instruction."""
  kinds = _kinds(tools, draw, fresh, by_kind, examples)
  asked, branches = [], []
  for text, kind in zip(fresh, kinds):
    short = [s for s in by_kind[kind] if _size(s) <= SHOWN]
    taken = draw.sample(short, min(examples, len(short)))
    question = LABELLED if kind else INSTANCE
    told = [(_say(question, s.instruction), _shown(s)) for s in taken]
    asked.append(_asked(told, _say(question, text)))
    branches.append("answer first" if kind else "input first")
  for text, branch, reply in zip(fresh, branches, tools.ask(asked)):
    found = _parts(reply.text)
    row = {"instruction": text, "input": found.get("Input", "")}
    if row["input"].strip(" .").casefold() in NONE:
      row["input"] = ""
    row["output"] = found.get("Answer", "")
    reason = reply.refused or instance_unfit(row, reply.cut)
    about = row if "Answer" in found else row | {"said": reply.text}
    yield Left(reason, about) if reason else (row, branch)


def _parts(text: str) -> dict[str, str]:
  """Input and Answer, which may be called Output where nothing is Answer.

  A line `Task:` is of the answer, unless another example follows it.
  """
  name = "Answer" if parsing.parts(text, ("Answer",)) else "Output"
  names = ("Input", name, *("Task",) * bool(_ANOTHER.search(text)))
  found = parsing.parts(text, names)
  return {"Answer" if k == "Output" else k: said for k, said in found.items()}


def _kinds(
  tools: Tools,
  draw: random.Random,
  fresh: Sequence[str],
  by_kind: Mapping[bool, Sequence[Seed]],
  examples: int,
) -> list[bool]:
  """Whether each is a classification, as the model says."""
  asked = []
  for text in fresh:
    taken = [s for own in by_kind.values() for s in draw.sample(own, examples)]
    draw.shuffle(taken)
    told = [
      (_say(KIND, s.instruction), "Yes" if s.classification else "No")
      for s in taken
    ]
    asked.append(_asked(told, _say(KIND, text)))
  return [bool(parsing.yes(reply.text)) for reply in tools.ask(asked)]


def _size(seed: Seed) -> int:
  return len(f"{seed.instruction} {seed.input} {seed.output}".split())


def _say(question: str, instruction: str) -> str:
  # Not by format: an instruction may hold braces.
  return question.replace("{instruction}", instruction)


def _shown(seed: Seed) -> str:
  given, answer = f"Input: {seed.input or 'None'}", f"Answer: {seed.output}"
  return "\n".join((answer, given) if seed.classification else (given, answer))


def instance_unfit(row: Mapping[str, str], cut: bool) -> str:
  """Why an instance is no row; "" where it is one."""
  given, answer = row["input"].strip(), row["output"].strip()
  if not answer:
    return "no answer"
  if cut:
    return "answer cut at the limit of tokens"
  if max(len(given.split()), len(answer.split())) > LONGEST:
    return f"input or answer of more than {LONGEST} words"
  said = answer.casefold()
  if said in (given.casefold(), row["instruction"].strip().casefold()):
    return "answer repeats what was asked"
  if said.strip(" .") in NONE:
    return "no answer"
  return "answer repeats itself" * repeats(answer)


def repeats(text: str) -> bool:
  """Whether a text goes in circles: under half of its 3-grams are distinct."""
  words = text.casefold().split()
  grams = [*zip(words, words[1:], words[2:])]
  return len(grams) >= 8 and 2 * len({*grams}) < len(grams)
