"""The command: items and summary on disk, gone on with, computed again."""

import json
import shutil

import evaluation_sets as sets
import jax
import pytest

from alignjax import build, pretrained
from alignjax.build import evaluations
from alignjax.cli import main
from alignjax.data.templates import load_template
from alignjax.data.tokenizer import byte_tokenizer
from alignjax.evals import answering, run, summary
from alignjax.evals.answering import Subject
from alignjax.evals.items import Item, Task
from alignjax.log.records import read_metrics
from alignjax.models.lm import LM
from alignjax.models.presets import preset
from configs import evaluate


def arguments(workdir, data, *more):
  words = "tiny,suite,mmlu,preferences,perplexity"
  texts = data / "texts.jsonl"
  texts.write_text('{"text": "' + "long " * 300 + '"}\n{"text": "short"}\n')
  return [
    "evaluate",
    f"--config=configs/evaluate.py:{words}",
    f"--workdir={workdir}",
    f"--config.tasks.mmlu.path={data / 'mmlu'}",
    "--config.tasks.mmlu.shots=1",
    "--config.tasks.mmlu.permute=True",
    f"--config.tasks.perplexity.path={texts}",
    "--config.tasks.suite.limit=1",
    "--config.batch=512",
    *more,
  ]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
  folder = tmp_path_factory.mktemp("data")
  sets.mmlu(folder / "mmlu")
  return folder


@pytest.fixture(scope="module")
def whole(tmp_path_factory, data):
  """A folder of an evaluation that nothing interrupted."""
  folder = tmp_path_factory.mktemp("whole")
  assert main(arguments(folder, data)) == 0
  return folder


def told(folder):
  return json.loads((folder / "summary.json").read_text())


def test_every_number_is_computed_again_from_items(whole, data):
  from alignjax.options import read

  config, _ = read("evaluate", arguments(whole, data)[1:], workdir="")
  tasks = evaluations.tasks(config)
  found = told(whole)["tasks"]
  assert set(found) == {"suite", "mmlu", "preferences", "perplexity"}
  for name, task in tasks.items():
    lines = read_metrics(whole / "items" / f"{name}.jsonl")
    assert [line["id"] for line in lines] == [x.id for x in task.items]
    again = summary.numbers(lines, seed=0, totals=task.totals)
    for key, value in again.items():
      assert found[name][key] == value, (name, key)
  # 26 clusters, 3 questions four times over, 24 pairs: none is lost.
  assert [found[k]["items"] for k in ("suite", "mmlu", "preferences")] == [
    *(26, 12, 24)
  ]


def test_a_summary_says_what_its_numbers_depend_on(whole):
  found = told(whole)
  assert len(found["model"]["sha256"]) == 16
  assert found["model"]["template"] and found["seed"] == 0
  about = found["tasks"]["mmlu"]["about"]
  assert about["shots"] == 1 and about["normalisation"] == "raw"
  assert found["tasks"]["mmlu"]["metrics"]["acc"]["n"] == 3
  assert {"packages", "python"} <= set(found["code"])


def test_a_text_longer_than_the_model_is_read_in_windows(whole):
  lines = read_metrics(whole / "items" / "perplexity.jsonl")
  # 1,500 bytes in windows of 512 tokens of one byte each.
  assert [line["output"]["tokens"] for line in lines] == [[1500], [5]]


def test_what_was_interrupted_goes_on_and_ends_the_same(
  whole, data, tmp_path, monkeypatch
):
  batches = []

  def breaking(task, items, subject):
    for found in real(task, items, subject):
      yield found
      batches.append(found)
      if len(batches) == 3:
        raise KeyboardInterrupt

  real = answering.outputs
  monkeypatch.setattr(answering, "outputs", breaking)
  assert main(arguments(tmp_path, data)) == 130
  part = next((tmp_path / "items").glob("*.part.jsonl"))
  with open(part, "ab") as file:  # as a crash leaves it
    file.write(b'{"id": "torn')
  asked = []

  def counting(task, items, subject):
    asked.extend(item.id for item in items)
    return real(task, items, subject)

  monkeypatch.setattr(answering, "outputs", counting)
  assert main(arguments(tmp_path, data)) == 0
  every = sum(told(whole)["tasks"][k]["items"] for k in told(whole)["tasks"])
  assert 0 < len(asked) < every
  assert not list((tmp_path / "items").glob("*.part.jsonl"))
  for file in (whole / "items").iterdir():
    assert (tmp_path / "items" / file.name).read_bytes() == file.read_bytes()
  assert told(tmp_path)["tasks"] == told(whole)["tasks"]
  # A third time nothing is asked.
  asked.clear()
  assert main(arguments(tmp_path, data)) == 0 and not asked


@pytest.mark.parametrize(
  "option, said",
  [
    ("--config.seed=1", "another model"),
    ("--config.tasks.mmlu.permute=False", "another task"),
    ("--config.template=zephyr", "another template"),
  ],
)
def test_items_of_something_else_are_refused(whole, data, capfd, option, said):
  before = told(whole)
  assert main(arguments(whole, data, option)) == 1
  assert said in capfd.readouterr().err
  assert told(whole) == before


@pytest.mark.parametrize(
  "option, said",
  [
    ("--config.tasks.mmlu.path=", "config.tasks.mmlu.path is empty"),
    ("--config.tasks.mmlu.answer=number", "one of letter, text"),
    ("--config.tasks.mmlu.name=nothing", "cannot import 'nothing'"),
    ("--config.tasks.mmlu.shots=5", "has 1 examples, shots = 5"),
    ("--config.rows=0", "rows = 0 answers at a time"),
  ],
)
def test_wrong_options_are_known_before_weights(
  data, tmp_path, capfd, monkeypatch, option, said
):
  monkeypatch.setattr(evaluations.models, "weights", lambda *_: 1 / 0)
  assert main(arguments(tmp_path, data, option)) == 1
  assert said in capfd.readouterr().err


def test_a_task_of_ones_own_is_named_by_its_import_path(
  tmp_path, monkeypatch, data
):
  (tmp_path / "own_task.py").write_text(
    "from alignjax.evals.items import Item, Task\n"
    "def task(path, *, times):\n"
    "  items = [Item(str(k), 'a', ('b', 'c'), 0) for k in range(times)]\n"
    "  score = lambda line, output: {'first': 1.0}\n"
    "  return Task('choices', items, score, {}, {'first': 'up'})\n"
  )
  config = (
    "from configs import common\n"
    "def get_config(arg=''):\n"
    "  c = common.evaluation(own=dict(name='own_task', path='x', times=3))\n"
    "  c.model.preset = 'tiny'\n"
    "  return c\n"
  )
  (tmp_path / "own.py").write_text(config)
  monkeypatch.syspath_prepend(str(tmp_path))
  command = ["evaluate", f"--config={tmp_path / 'own.py'}"]
  assert main([*command, f"--workdir={tmp_path / 'w'}"]) == 0
  assert told(tmp_path / "w")["tasks"]["own"]["items"] == 3


@pytest.fixture(scope="module")
def rewarding(tmp_path_factory):
  """A small reward model as export writes it, calibrated."""
  folder = tmp_path_factory.mktemp("reward")
  lm = LM(
    preset("tiny").replace(scores=1, score_mean=(99.0,), score_std=(2.0,))
  )
  params = lm.init(jax.random.key(0))
  pretrained.export(folder, lm, params, byte_tokenizer(), dtype="float32")
  return folder


def test_a_reward_model_is_asked_preferences(rewarding, tmp_path, capfd):
  config = "--config=configs/evaluate.py:preferences"
  command = [f"--workdir={tmp_path}", f"--config.model.path={rewarding}"]
  more = ["--config.tasks.preferences.limit=40"]
  assert main(["evaluate", config, *command, *more]) == 0
  found = told(tmp_path)["tasks"]["preferences"]["metrics"]
  assert found["acc"]["n"] == 40 and 0 <= found["acc"]["mean"] <= 1
  lines = read_metrics(tmp_path / "items" / "preferences.jsonl")
  assert all(len(set(x["output"]["scores"])) == 2 for x in lines)
  # As it is calibrated: (r − 99) / 2, of r around 0.
  scores = [s for x in lines for s in x["output"]["scores"]]
  assert -60 < min(scores) and max(scores) < -40
  suite = "--config=configs/evaluate.py:suite"
  assert main(["evaluate", suite, *command]) == 1
  assert "this is a reward model" in capfd.readouterr().err


def test_a_kill_between_two_files_is_mended(whole, data, tmp_path):
  shutil.copytree(whole, tmp_path / "w")
  items = tmp_path / "w" / "items"
  head = {"of": json.loads((items / "mmlu.json").read_text())}
  lines = (items / "mmlu.jsonl").read_text()
  # All are answered, and nothing else is written yet; then the key alone.
  for left in ({"mmlu.part.jsonl"}, {"mmlu.part.jsonl", "mmlu.json"}):
    (items / "mmlu.part.jsonl").write_text(json.dumps(head) + "\n" + lines)
    for name in {"mmlu.jsonl", "mmlu.json"} - left:
      (items / name).unlink()
    assert main(arguments(tmp_path / "w", data)) == 0
    assert (items / "mmlu.jsonl").read_text() == lines
    assert json.loads((items / "mmlu.json").read_text()) == head["of"]
    assert not (items / "mmlu.part.jsonl").exists()


def test_other_tasks_join_a_summary_of_the_same_model(tmp_path):
  base = ["evaluate", f"--workdir={tmp_path}"]
  for task in ("preferences", "suite"):
    config = f"--config=configs/evaluate.py:tiny,{task}"
    more = [f"--config.tasks.{task}.limit={1 if task == 'suite' else 8}"]
    assert main([*base, config, *more]) == 0
  assert set(told(tmp_path)["tasks"]) == {"suite", "preferences"}


def test_items_of_one_id_and_numbers_that_are_none_are_refused():
  twice = Task("choices", [Item("a", "q", ("x",))] * 2, None, {}, {})
  tokenizer = byte_tokenizer()
  lm = LM(preset("tiny"))
  place = build.placement(evaluate.get_config("tiny"))
  template = load_template(None, tokenizer)
  subject = Subject(lm, {}, tokenizer, template, place, 64, 8)
  with pytest.raises(ValueError, match="t: 2 items have the id 'a'"):
    run._check("t", twice, subject)
  task = Task("choices", [], lambda line, output: {}, {}, {})
  with pytest.raises(ValueError, match="t: a: the model says .*nan"):
    run._scored("t", task, Item("a", "q"), {"logps": [float("nan")]})
