"""Commands of the documents, and how each is made small.

What a command names must be there: an earlier command of the page makes it, or
`MADE` has something small in its place.
"""

import gzip
import json
import re
import shlex
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import jax
import numpy as np
from ml_collections import ConfigDict

from alignjax import cli, options, pretrained
from alignjax.data.tokenizer import byte_tokenizer
from alignjax.models.lm import LM
from alignjax.models.presets import preset
from tests import evaluation_sets

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted(
  (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/*.md"))
)

# What a run is cut down to, whatever the page says; one shape for all.
TRAINED = {
  "mesh": "1,1,1",
  "model.remat": "none",
  "data.max_length": 128,
  "data.workers": 1,
  "data.train.limit": 64,
  "data.eval.limit": 8,
  "train.steps": 2,
  "train.batch": 8,
  "train.eval_every": 0,
  "optim.warmup": 0,
  "checkpoint.every": 0,
  "sample.count": 0,
  "log.tensorboard": False,
  "rollout.max_tokens": 4,
  "rollout.minibatches": 1,
  "rollout.epochs": 1,
  "rollout.slots": 0,
}
PACKED = 256  # tokens of a row, where rows are packed
ASKED = {"mesh": "1,1,1", "batch": 1024, "rows": 32}
WRITTEN_BY = {
  "mesh": "1,1,1",
  "rows": 8,
  "writer.max_tokens": 4,
  "judge.max_tokens": 4,
  "method.limit": 4,
  "method.n": 2,
  "method.rounds": 1,
  "method.prompts": 2,
  "method.shown": 3,
  "method.machine": 1,
  "method.examples": 1,
}
TASK = {"limit": 1, "max_tokens": 4, "shots": 1}
OPTIONS = {
  "generate": ["--max-tokens", "4"],
  "chat": ["--max-tokens", "4"],
  "score": ["--limit", "16"],
}
# One layer, as a layer is what takes time to compile.
SMALL = preset("tiny").replace(width=32, depth=1, hidden=48, windows=())
# Options whose value is written, not read.
WRITTEN = ("--out", "--workdir", "--json")


def blocks(page: Path, language: str) -> list[str]:
  """The code blocks of a page in one language."""
  text = page.read_text("utf-8")
  return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def commands(page: Path) -> list[list[str]]:
  """The words of each command of a page's shell blocks."""
  return [words for block in blocks(page, "sh") for words in split(block)]


def split(block: str) -> Iterator[list[str]]:
  """The words of each command in a block, as a shell takes them apart."""
  text = ""
  for line in block.replace("\\\n", " ").splitlines():
    text += line + "\n"
    try:
      words = shlex.split(text, comments=True)
    except ValueError:  # a quotation goes on in the next line
      continue
    if words:
      yield words
    text = ""
  assert not text, f"a quotation has no end: {text}"


def files(page: Path) -> dict[str, str]:
  """Python blocks of a page that say in a comment which file they are."""
  found = {}
  for block in blocks(page, "python"):
    if name := re.match(r"# (\w+\.py)\n", block):
      assert name[1] not in found, f"{page.name} has two files {name[1]}"
      found[name[1]] = block
  return found


def small(words: Sequence[str]) -> list[str]:
  """The arguments of a command of alignjax, and what makes it small."""
  name, *rest = words[1:]
  if name in OPTIONS:
    return [name, *rest, *OPTIONS[name]]
  if [name, *rest][:2] == ["feedback", "sample"]:
    return [name, *rest, "--max-tokens", "4"]
  if name == "evaluate":
    keys = _asked(_config(rest))
  elif name == "instruct" and rest[0] == "generate":
    keys = _written(_config(rest))
  elif name == "train" or name == "data" and rest[0] in ("preview", "stats"):
    keys = _trained(_config(rest))
  else:
    keys = {}
  if any(word.startswith("--config.mesh=") for word in rest):
    del keys["mesh"]  # what the page is about
  return [name, *rest, *(f"--config.{k}={v}" for k, v in keys.items())]


def _config(words: list[str]) -> ConfigDict:
  """The config of a command, as the page has it."""
  at = words.index("--config")
  changes = [word for word in words if word.startswith("--config.")]
  return options.read("command", [f"--config={words[at + 1]}", *changes])[0]


def _trained(config: ConfigDict) -> dict:
  keys = dict(TRAINED)
  if config.data.packing:
    keys["data.packing"] = PACKED
  for side in ("train", "eval"):
    if config.data[side].parts:
      del keys[f"data.{side}.limit"]
  if config.rollout:
    return keys
  return {k: v for k, v in keys.items() if not k.startswith("rollout.")}


def _written(config: ConfigDict) -> dict:
  """Numbers alone: `method.prompts` is a file of some."""
  flat = dict(ConfigDict(config).to_dict())
  known = {
    f"{block}.{key}": value
    for block in ("writer", "judge", "method")
    for key, value in flat[block].items()
    if not isinstance(value, str)
  }
  return {k: v for k, v in WRITTEN_BY.items() if "." not in k or k in known}


def _asked(config: ConfigDict) -> dict:
  keys = dict(ASKED)
  for task, entry in config.tasks.items():
    for key, value in TASK.items():
      if key in entry and (key != "shots" or entry[key] > value):
        keys[f"tasks.{task}.{key}"] = value
  return keys


def model(folder: Path, heads: int = 0) -> None:
  """A language model of random weights, as `alignjax export` writes it."""
  lm = LM(SMALL.replace(scores=heads))
  draw = np.random.default_rng(heads)

  def one(path, x):
    found = draw.normal(0, 0.2, x.shape)
    return np.float32(found + (path[-1].key == "scale"))

  params = jax.tree_util.tree_map_with_path(one, lm.shapes())
  pretrained.export(folder, lm, params, byte_tokenizer())


def reward(folder: Path) -> None:
  """A reward model."""
  model(folder, 1)


def evaluation(folder: Path) -> None:
  """What `alignjax evaluate` writes of the suite and of MMLU."""
  asked = folder.with_name("asked")
  model(asked / "model")
  evaluation_sets.mmlu(asked / "mmlu")
  command = (
    f"alignjax evaluate --config {ROOT}/configs/evaluate.py:suite,mmlu "
    f"--config.model.path={asked}/model --config.tasks.mmlu.path={asked}/mmlu"
  )
  words = [*small(command.split()), f"--workdir={folder}"]
  assert cli.main(words) == 0


COUNT = "one two three four five six seven eight nine".split()


def rows(file: Path) -> None:
  """Rows that can be read as prompts, as answers and as pairs."""
  made = []
  for i, (a, b) in enumerate((a, b) for a in COUNT for b in COUNT if a != b):
    said = f"First {a}, then {b}."
    prompt = f"In what order come {a} and {b}?"
    other = f"Never mind {b}." + " Ask again." * (i % 3)
    row = dict(prompt=prompt, completion=said, chosen=said, rejected=other)
    made.append(json.dumps(row) + "\n")
  file.write_text("".join(made))


def study(file: Path) -> None:
  """Votes on pairs, of raters that were played."""
  pairs = file.with_name("compared.jsonl")
  rows(pairs)
  command = f"alignjax feedback simulate {pairs} --study {file} --rater 3*"
  assert cli.main(command.split()[1:]) == 0


def mine(file: Path) -> None:
  """Rows that somebody wrote, and no other file has."""
  rows = (
    {
      "prompt": f"How many letters has the word {name}?",
      "completion": f"The word {name} has {len(name)} letters.",
      "cluster": "words",
    }
    for name in COUNT
  )
  file.write_text("".join(json.dumps(row) + "\n" for row in rows))


def seeds(file: Path) -> None:
  """Tasks as self-instruct begins with."""
  made = []
  for i, name in enumerate(COUNT):
    one = {"input": name, "output": f"{i + 1}"}
    task = {"instruction": f"Write the word {name} as a number."}
    task |= {"instances": [one], "is_classification": i % 2 == 0}
    made.append(json.dumps(task) + "\n")
  file.write_text("".join(made))


def gsm8k(file: Path) -> None:
  """Questions with worked answers."""
  rows = (
    {"question": f"What is {i} + 1?", "answer": f"It is {i + 1}.\n#### {i + 1}"}
    for i in range(30)
  )
  file.write_text("".join(json.dumps(row) + "\n" for row in rows))


def boolq(file: Path) -> None:
  """Questions on a passage, yes or no."""
  rows = (
    {
      "question": f"is {name} a number",
      "passage": f"The word {name} is a number.",
      "answer": True,
    }
    for name in COUNT
  )
  file.write_text("".join(json.dumps(row) + "\n" for row in rows))


def guideline(file: Path) -> None:
  """The guideline that the page on instructions shows."""
  text = (ROOT / "docs" / "instructions.md").read_text("utf-8")
  (shown,) = re.findall(r"```markdown\n(.*?)```", text, re.DOTALL)
  file.write_text(shown, "utf-8")


def questions(file: Path) -> None:
  """A question, a tab and its answer on each line."""
  file.write_text("".join(f"What is {a}?\tA number.\n" for a in COUNT))


# Paths that pages name → what makes something small of that kind; the first.
MADE: dict[str, Callable[[Path], object]] = {
  r"(HuggingFaceTB/)?SmolLM2-135M-Instruct(\.Q4_1\.gguf)?": model,
  r"runs/(reward|rm|harmless)/model": reward,
  r"runs/(\w+/)+model": model,
  r"runs/evals/\w+": evaluation,
  r"(train|heldout|prompts|pairs)\.jsonl": rows,
  r"mine\.jsonl": mine,
  r"runs/loop/round-1/pairs\.db": study,
  r"seed_tasks\.jsonl": seeds,
  r"gsm8k\.jsonl": gsm8k,
  r"boolq\.jsonl": boolq,
  r"guideline\.md": guideline,
  r"(instruction-data|pairs)[\w-]*\.jsonl?(\.gz)?": rows,
  r"questions\.tsv": questions,
  r"mmlu": evaluation_sets.mmlu,
  r"truthfulqa\.csv": evaluation_sets.truthfulqa,
  r"bbq\.jsonl": evaluation_sets.bbq,
  r"xstest\.csv": evaluation_sets.xstest,
  r"ifeval\.jsonl": evaluation_sets.ifeval,
}


def give(words: Sequence[str], place: Path, store: Path) -> None:
  """Copies what a command reads and is not there yet into `place`.

  store: where each thing is kept that was made once.
  """
  for before, word in zip(["", *words], words):
    option, _, path = word.rpartition("=")
    if (option or before) in WRITTEN or (place / path).exists():
      continue
    make = next((m for x, m in MADE.items() if re.fullmatch(x, path)), None)
    if make is None:
      continue
    made = store / make.__name__
    if not made.exists():
      make(made)
    (place / path).parent.mkdir(parents=True, exist_ok=True)
    if made.is_dir():
      shutil.copytree(made, place / path)
    elif path.endswith(".db"):
      shutil.copy(made, place / path)
    else:
      _copy(made.read_text("utf-8"), place / path)


def _copy(text: str, file: Path) -> None:
  """Text as the ending of the file asks for it."""
  if ".json" in file.suffixes:
    text = json.dumps([json.loads(line) for line in text.splitlines()])
  data = text.encode()
  file.write_bytes(gzip.compress(data) if file.suffix == ".gz" else data)
