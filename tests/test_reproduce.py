import json
import math
import shutil

import pytest

from alignjax.train import train
from scripts import reproduce
from scripts.reproduce import Difference, compare, config_of, main, told

STEPS = 10
# As in test_train.py, whose programs are the same.
SETTINGS = dict(
  mesh=(2, 2, 2),
  train__steps=STEPS,
  train__eval_every=6,
  checkpoint__every=5,
  data__max_length=96,
  data__eval__limit=24,
  model__chunk=8,
  sample__count=1,
  sample__every=0,
  sample__max_tokens=4,
)


@pytest.fixture(scope="module")
def run(tiny, tmp_path_factory):
  folder = tmp_path_factory.mktemp("run")
  config = tiny(**SETTINGS, checkpoint__folder=str(folder / "elsewhere"))
  train(config, folder)
  return folder


@pytest.fixture
def copy(run, tmp_path):
  """The files of the run, to be changed."""
  for name in ("config.json", "run.json", *reproduce.FILES):
    shutil.copy(run / name, tmp_path / name)
  return tmp_path


@pytest.fixture
def as_it_was(run, monkeypatch):
  """Training gives what it gave, and takes no time."""

  def copied(config, out):
    out.mkdir(exist_ok=True)
    for name in reproduce.FILES:
      shutil.copy(run / name, out / name)

  monkeypatch.setattr(reproduce, "train", copied)


def change(file, step, **values):
  """Sets values of a step's row."""
  rows = [json.loads(line) for line in file.read_text().splitlines()]
  for row in rows:
    if row["step"] == step:
      row.update(values)
  file.write_text("".join(json.dumps(row) + "\n" for row in rows))


def lines(capsys):
  said = capsys.readouterr().out.splitlines()
  return [line for line in said if not line.startswith("warning: ")]


def test_a_run_is_reproduced_to_the_digit(run, tmp_path, capsys):
  before = sorted(p.name for p in run.rglob("*"))
  out = tmp_path / "out"
  assert main([str(run), "--out", str(out)]) == 0
  (line,) = lines(capsys)
  rows = [json.loads(x) for x in (run / "metrics.jsonl").open()]
  held = [json.loads(x) for x in (run / "evaluations.jsonl").open()]
  assert [row["step"] for row in held] == [0, 6, STEPS]
  # Without step and wall_s, and without two speeds of a step.
  numbers = sum(len(x) - 4 for x in rows) + sum(len(x) - 2 for x in held)
  assert line == f"reproduced: {STEPS} steps, {numbers} numbers, to the digit"
  assert sorted(p.name for p in run.rglob("*")) == before  # left as it was
  assert sorted(p.name for p in (out / "checkpoints").iterdir()) == [str(STEPS)]
  with pytest.raises(FileExistsError, match="not empty"):
    main([str(run), "--out", str(out)])


def test_one_changed_number_is_found(copy, as_it_was, capsys):
  was = json.loads((copy / "metrics.jsonl").read_text().splitlines()[1])
  change(copy / "metrics.jsonl", 2, loss=was["loss"] * (1 + 1e-6))
  assert main([str(copy)]) == 1
  first, last = lines(capsys)
  assert first.startswith("step 2: loss ") and " → " in first
  old, new = map(float, first.removeprefix("step 2: loss ").split(" → "))
  assert old != new and new == pytest.approx(was["loss"], rel=1e-6)
  assert last.startswith("not reproduced: 1 of ")
  assert last.endswith("numbers differ, by up to 1e-06 of their size")


def test_the_last_digit_counts_and_times_do_not(copy, run):
  row = json.loads((run / "evaluations.jsonl").read_text().splitlines()[1])
  change(
    copy / "evaluations.jsonl",
    6,
    wall_s=1e9,
    loss=math.nextafter(row["loss"], 9),
  )
  change(copy / "metrics.jsonl", 1, wall_s=1e9, step_s=0.0, tokens_per_s=1.0)
  steps, _, found = compare(copy, run)
  assert steps == STEPS
  assert [d[:3] for d in found] == [("evaluations.jsonl", 6, "loss")]
  assert str(found[0]).startswith("step 6: held-out loss ")


def test_rows_and_names_of_one_run_alone_differ(copy, run):
  text = (copy / "metrics.jsonl").read_text().splitlines(keepends=True)
  (copy / "metrics.jsonl").write_text("".join(text[:-1]))
  change(copy / "metrics.jsonl", 1, more=1.0, nonfinite=["more"])
  steps, _, found = compare(copy, run)
  assert steps == STEPS
  names = [(d.step, d.name) for d in found if d.step == 1]
  assert names == [(1, "more"), (1, "nonfinite")]
  assert str(found[0]) == "step 1: more 1.0 → absent"
  rest = found[2:]
  assert {d.step for d in rest} == {STEPS} and "loss" in {d.name for d in rest}
  assert all(d.before == "absent" and d.relative > 1e300 for d in rest)


def test_what_a_run_was_made_of_is_compared(copy, as_it_was, capsys):
  file = copy / "run.json"
  run = json.loads(file.read_text())
  assert main([str(copy)]) == 0
  said = capsys.readouterr().out
  assert "devices" not in said and "optax" not in said
  run["packages"] |= {"optax": "0.0.1"}
  run |= {"commit": "abc", "devices": ["cpu", "cpu"], "dirty": True}
  run["earlier"] = [{"command": "alignjax train --resume=weights-only"}]
  file.write_text(json.dumps(run))
  assert main([str(copy)]) == 0
  said = capsys.readouterr().out
  for line in (
    "warning: optax: 0.0.1 → ",
    "warning: commit: abc → ",
    "warning: devices: 2 cpu → 8 cpu\n",
    "warning: tracked files were changed since the commit: then",
    "warning: it began with the state of another run",
  ):
    assert line in said


def test_a_config_is_made_again(run, tiny):
  found, wanted = config_of(run), tiny(**SETTINGS)
  with wanted.unlocked():
    wanted.checkpoint.every = 0
  assert found.to_dict() == wanted.to_dict()
  assert isinstance(found.mesh, tuple)


def test_what_is_no_run_is_refused(copy, tmp_path):
  (copy / "metrics.jsonl").write_text("")
  with pytest.raises(ValueError, match="no row in metrics.jsonl"):
    main([str(copy)])
  (copy / "config.json").unlink()
  with pytest.raises(FileNotFoundError, match="no config.json"):
    main([str(copy)])


@pytest.mark.parametrize(
  "before, now, wanted",
  (
    (0.53121, 0.53114, ("0.5312", "0.5311")),
    (0.531201, 0.531202, ("0.531201", "0.531202")),
    (1e-9, 2.5, ("1e-09", "2.5")),
    (3, 4, ("3", "4")),
    (None, 0.5, ("None", "0.5")),
    (0.1, 0.1 + 2**-56, ("0.1", "0.10000000000000002")),
  ),
)
def test_values_are_told_apart(before, now, wanted):
  assert told(before, now) == wanted


def test_relative_differences_by_hand():
  def relative(before, now):
    return Difference("metrics.jsonl", 1, "x", before, now).relative

  assert relative(2.0, 1.0) == relative(-1, -2) == 0.5
  assert relative(1.0, -1.0) == 2 and relative(0.0, 1e-9) == 1
  assert relative(None, 1.0) == float("inf")
