"""docs/from_trl.md: every name of ours exists, every row is read as it says."""

import ast
import json
import re
import shlex
from pathlib import Path

import jax.numpy as jnp
import pytest
from loss_kinds import MODULES, OPTIONS, batch_of, stats_of
from tiny_rollouts import small

from alignjax import build, options, totals
from alignjax.build.layouts import kind
from alignjax.build.named import function
from alignjax.data import formats, preferences
from alignjax.data.bad import BadRow
from alignjax.data.tokenise import ROWS
from alignjax.models.presets import preset
from alignjax.train import train
from configs import grpo

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "from_trl.md").read_text("utf-8")
PROSE = re.sub(r"```.*?```", "", PAGE, flags=re.DOTALL)
CONFIG = re.compile(r"configs/\w+\.py(?::[\w,]+)?")
TICKED = re.compile(r"`([^`]+)`")


def section(title):
  """The text under a heading of the second level."""
  (found,) = (s for s in PAGE.split("\n## ") if s.startswith(title + "\n"))
  return found


def tables(text):
  """(config above it or "", rows of cells) of each table."""
  for part in text.split("\n### "):
    above, _, lines = part.partition("\n| ")
    config = CONFIG.search(above)
    rows = [
      [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
      for line in lines.splitlines()[2:]
      if line.startswith("| ")
    ]
    if rows:
      yield config.group() if config else "", rows


def blocks(language):
  return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def load(given):
  return options.load_config(str(ROOT / given)).lock()


def fields(config, above=""):
  """Dotted path → value, of blocks too."""
  found = {}
  for name, value in config.items():
    found[f"{above}{name}"] = value
    if hasattr(value, "items"):
      found |= fields(value, f"{above}{name}.")
  return found


def names(cell):
  return TICKED.findall(cell)


def read(words, *changes):
  """A config by the command line's own reader."""
  flags = [f"--config={ROOT / words}", *changes]
  return options.read("train", flags, workdir="", resume="", profile=False)[0]


def commands():
  for block in blocks("sh"):
    for line in block.replace("\\\n", " ").splitlines():
      yield shlex.split(line)


def test_the_page_has_what_is_checked():
  assert len(list(tables(section("Options")))) == 11
  assert len(list(tables(section("Metrics")))) == 10
  assert len(list(commands())) == 3


def test_every_config_and_its_words_exist():
  found = set(CONFIG.findall(PAGE))
  assert len(found) > 10
  for given in found:
    load(given)


((_, TRAINERS),) = tables(section("Trainers"))
LISTED = [names(row[2])[0] for row in TRAINERS]
KINDS = {f"{name}/{one}" for name in OPTIONS for one in OPTIONS[name]}


@pytest.mark.parametrize("row", TRAINERS, ids=lambda row: row[0])
def test_a_loss_exists_with_these_options(row):
  _, config, loss, given = row
  assert CONFIG.fullmatch(names(config)[0])
  name, _, of_kind = names(loss)[0].partition("/")
  given = dict.fromkeys(names(given))
  first = ("stats", "batch")
  function(MODULES[name], of_kind or "loss", given, where=loss, first=first)


def test_every_loss_is_on_the_page():
  # Of these there is none in TRL: IPO on sums, ORPO without the prompt.
  ours = KINDS - {"dpo/ipo_sum", "orpo/loss"}
  assert {x if "/" in x else f"{x}/loss" for x in LISTED} == ours


def test_losses_named_beside_the_table_exist():
  files = "|".join(OPTIONS)
  metrics = {"reward/NAME"}  # of GRPO
  for name in set(names(PROSE)) - metrics:
    assert not re.fullmatch(rf"({files})/\w+", name) or name in KINDS, name


def test_the_first_row_of_a_config_is_what_it_has():
  for given in {names(row[1])[0] for row in TRAINERS}:
    first = next(row for row in TRAINERS if names(row[1])[0] == given)
    has = {}
    for entry in load(given).loss.values():
      name = "/".join(entry[k] for k in ("name", "kind") if k in entry)
      has[name] = set(entry) - {"name", "kind", "weight"}
    assert has[names(first[2])[0]] == set(names(first[3])), given


def test_a_config_of_the_page_is_built():
  code = blocks("python")[0]
  found = {}
  exec(compile(code, "page", "exec"), found)
  config = found["get_config"]().lock()
  objectives = build.objectives(config)
  build.check_losses(config, objectives, preset("tiny"))
  assert objectives.keys() == {"main", "anchor"}


def value_of(cell):
  text = names(cell)[0] if "`" in cell else cell
  try:
    return ast.literal_eval(text)
  except (ValueError, SyntaxError):
    return float(text) if text == "inf" else text


@pytest.mark.parametrize("config, rows", tables(section("Options")))
def test_fields_exist_and_have_these_defaults(config, rows):
  known = fields(load(config))
  for _, _, here, default, _ in rows:
    if here != "none":
      (path,) = names(here)
      assert not default or repr(known[path]) == repr(value_of(default)), path
      assert path in known


def test_every_dotted_name_is_a_field():
  """Also those of prose: each in one of the configs of the page."""
  known = {}
  for given in set(CONFIG.findall(PAGE)):
    known |= fields(load(given))
  blocks = {path.split(".")[0] for path in known}
  for name in set(names(PROSE)):
    path, _, value = name.partition("=")
    if path.split(".")[0] in blocks and re.fullmatch(r"\w+(\.\w+)+", path):
      assert path in known, name
      assert not value or isinstance(known[path], str), name


def test_commands_are_read():
  for command, verb, *rest in commands():
    assert command == "alignjax"
    if verb == "train":
      i, j = rest.index("--config"), rest.index("--workdir")
      changes = [x for x in rest if x.startswith("--config.")]
      assert len(changes) == len(rest) - 4
      config = read(rest[i + 1], *changes)
      kind(config)
      build.check_losses(config, build.objectives(config), preset("tiny"))
      build.schedule(config)
      assert rest[j + 1]
    else:
      assert verb == "export" and rest[::2] == ["--workdir", "--out"]
  with pytest.raises(ValueError, match="has no key"):
    read("configs/dpo.py", "--config.loss.main.betta=1")


def test_the_worked_run_is_the_same_in_both():
  tree = ast.parse(blocks("python")[1])
  (call,) = (
    n
    for n in ast.walk(tree)
    if isinstance(n, ast.Call) and getattr(n.func, "id", "") == "DPOConfig"
  )
  a = {k.arg: ast.literal_eval(k.value) for k in call.keywords}
  run = next(c for c in commands() if "configs/dpo.py" in c)
  c = read("configs/dpo.py", *[x for x in run if x.startswith("--config.")])
  parts = a["gradient_accumulation_steps"]
  assert c.train.batch == a["per_device_train_batch_size"] * parts
  same = {
    "gradient_accumulation_steps": c.train.accumulate,
    "max_steps": c.train.steps,
    "learning_rate": c.optim.lr,
    "beta": c.loss.main.beta,
    "lr_scheduler_type": c.optim.schedule,
    "warmup_steps": c.optim.warmup,
    "max_length": c.data.max_length,
    "eval_steps": c.train.eval_every,
    "save_steps": c.checkpoint.every,
  }
  assert {k: a[k] for k in same} == same
  assert run[run.index("--workdir") + 1] == a["output_dir"]


((_, FORMS),) = tables(section("Rows"))


@pytest.mark.parametrize("row", FORMS, ids=lambda row: row[0])
def test_a_row_is_read_as_the_page_says(row):
  _, given, rows, read_as = row
  row, (rows,) = json.loads(names(given)[0]), names(rows)
  assert rows in ROWS
  room = formats if rows == "examples" else preferences
  read_row = formats.example if rows == "examples" else preferences.read_row
  if read_as == "refused":
    with pytest.raises(BadRow, match="\n|must be"):
      read_row(row, "file:1")
    return
  assert room.recognise(row, "file:1") == names(read_as)[0]
  made = read_row(row, "file:1")
  if rows == "examples":
    said = made.text or [m["role"] for m in made.messages]
    assert said in (row.get("text"), ["user", "assistant"])
    return
  (one,) = made
  assert [m["role"] for m in one.prompt] == ["user"]
  assert isinstance(one, preferences.Preference) == (rows == "pairs")
  if rows == "pairs":
    assert one.label == 1.0 and one.margin == row.get("margin", 0.0)
    assert "4" in one.sides[0][0]["content"]
  else:
    assert one.label is row["label"]


@pytest.fixture(scope="module")
def logged(tmp_path_factory):
  """Names that a step logs, and what it logs of a rollout beside."""
  config, folder = small(grpo), tmp_path_factory.mktemp("run")
  config.train.steps, config.data.eval.path = 1, ""
  config.train.eval_every = config.checkpoint.every = 0
  train(config, folder)
  (line,) = (folder / "metrics.jsonl").read_text().splitlines()
  return set(json.loads(line)) - of_losses(config)


def of_losses(config):
  """Names that the losses of a config report."""
  objectives = build.objectives(config)
  batch = batch_of(jnp.eye(4, 10, dtype=jnp.int32), jnp.ones((4, 2), jnp.int32))
  stats = stats_of() | {"score": jnp.zeros((4, 2))}
  terms = {k: o.loss(stats, batch) for k, o in objectives.items()}
  return set(totals.metrics_of(objectives, terms))


def emitted(config, logged):
  """Names that a run of a config logs."""
  of_rollouts = ("objective/", "rollout/", "completions/", "reward/")
  plain = {x for x in logged if not x.startswith(of_rollouts)}
  found = of_losses(config) | plain
  if config.rollout:
    found |= logged - {"reward/words"} | {f"reward/{k}" for k in config.reward}
    if config.rollout.samples == 1:
      found -= {"rollout/equal_groups"}
  return found


@pytest.mark.parametrize("config, rows", tables(section("Metrics")))
def test_a_metric_is_logged_under_this_name(config, rows, logged):
  config = load(config)
  found = emitted(config, logged)
  for row in rows:
    if row[1] != "none":
      (name,) = names(row[1])
      entries = [name.replace("NAME", k) for k in config.reward] or [name]
      assert set(entries) <= found, name
    else:  # what is not there is not logged after all
      assert not set(names(row[0])) & found, row[0]
    for name in names(row[2]):
      if name.startswith(("objective/", "val/", "rollout/")):
        assert name in found, name
