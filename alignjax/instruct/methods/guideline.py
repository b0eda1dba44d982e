"""Instances by an annotation guideline, as a model writes and checks keep them.

The model is told what annotators are told, sees examples as turns of its own,
and writes one instance a request.
"""

import random
from pathlib import Path

from alignjax.evals.files import identity
from alignjax.instruct import guidelines, parsing
from alignjax.instruct.guidelines import Guideline, Instance
from alignjax.instruct.made import Left, Made, Tools, at_least, file
from alignjax.instruct.novelty import Pool
from alignjax.instruct.writers import Request

ASK = "Write a new example of this task: Input: and Output:."
LABELLED = "Write a new example of this task whose Output: is {label}."


def make(
  tools: Tools,
  *,
  guideline: str,
  rows: int,
  rounds: int,
  prompts: int,
  examples: int,
  likeness: float,
) -> Made:
  """Rows of `instruction`, `input`, `output`, at most `rows` of them.

  guideline: file as of `guidelines.read`. rounds: at most. prompts: requests
    of a round, for labels in turn where the guideline has some. examples:
    positive ones shown in each. likeness: the ROUGE-L with an earlier instance,
    or with an example, from which one is not new.

  Raises ValueError for a guideline that cannot be read, and settings that
  cannot be.
  """
  at_least(1, rows=rows, rounds=rounds, prompts=prompts, examples=examples)
  if not 0 < likeness <= 1:
    raise ValueError(
      f"config.method.likeness = {likeness}.\nLegal: above 0, at most 1."
    )
  given = guidelines.read(file("guideline", guideline))
  digest = identity(guideline)
  pool = Pool(_text(one) for one in (*given.positive, *given.negative))
  count = 0
  for number in range(rounds):
    asked = [
      _request(given, tools.seed, number * prompts + i, examples)
      for i in range(prompts)
    ]
    replies = tools.ask([request for request, _ in asked])
    for (_, label), reply in zip(asked, replies):
      found = parsing.parts(reply.text, ("Input", "Output", "Because"))
      one = Instance(
        _given(found.get("Input", "")), found.get("Output", ""), ""
      )
      about = {"input": one.input, "output": one.output, "round": number}
      reason = reply.refused
      reason = reason or _unfit(given, found, one, reply.cut, pool, likeness)
      if not reason and label and one.output.strip() != label:
        reason = "another label than asked for"
      if reason:
        formless = not {"Input", "Output"} <= found.keys()
        yield Left(reason, about | ({"said": reply.text} if formless else {}))
        continue
      pool.add(_text(one))
      count += 1
      yield {
        "id": f"guideline/{digest}/{count}",
        "instruction": given.task,
        "input": one.input,
        "output": one.output,
        "cluster": given.title,
        "made": {
          "how": "guideline",
          "guideline": Path(guideline).name,
          "sha256": digest,
          "checks": [*given.checks],
          "round": number,
        },
      }
      if count == rows:
        return


def _request(
  given: Guideline, seed: int, number: int, examples: int
) -> tuple[Request, str]:
  draw = random.Random(f"{seed} {number}")
  shown = draw.sample(given.positive, min(examples, len(given.positive)))
  labels = given.checks.get("labels", [])
  label = labels[number % len(labels)] if labels else ""
  told = [f"Task: {given.task}"]
  if given.rules:
    told.append(f"Rules:\n{given.rules}")
  wrong = [
    f"{_text(one)}\nWrong, because {one.because}"
    for one in given.negative
    if one.because
  ]
  if wrong:
    told.append("Not like this:\n\n" + "\n\n".join(wrong))
  turns = []
  for i, one in enumerate(shown):
    asked = _asked(one.output if labels else "")
    before = "\n\n".join(told) + "\n\n" if i == 0 else ""
    turns.append({"role": "user", "content": before + asked})
    turns.append({"role": "assistant", "content": _text(one)})
  turns.append({"role": "user", "content": _asked(label)})
  return Request(tuple(turns), number), label


def _asked(label: str) -> str:
  return LABELLED.replace("{label}", label) if label else ASK


def _text(one: Instance) -> str:
  return f"Input: {one.input or 'None'}\nOutput: {one.output}"


def _given(text: str) -> str:
  return "" if text.strip(" .").casefold() == "none" else text


def _unfit(
  given: Guideline,
  found: dict,
  one: Instance,
  cut: bool,
  pool: Pool,
  likeness: float,
) -> str:
  """Why what was written is no instance; "" where it is one."""
  if "Output" not in found or "Input" not in found:
    return "not in the form of the examples"
  if not one.output:
    return "no output"
  if cut:
    return "cut at the limit of tokens"
  if any(e.input for e in given.positive) and not one.input:
    return "no input"
  if reason := guidelines.fault(given, one.input, one.output):
    return f"check {reason}"
  if pool.likeness(_text(one)) >= likeness:
    return f"like an earlier one (ROUGE-L ≥ {likeness:g})"
  return ""
