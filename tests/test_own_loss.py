"""The README's loss in a folder of one's own, beside DPO, by the command."""

import json
import re
import sys

import pytest

from alignjax import cli
from alignjax.log import read_metrics

CONFIG = '''"""Focal loss of both sides of pairs, and DPO."""

from configs import dpo


def get_config(arg=""):
  c = dpo.get_config(arg)
  preference = c.loss.main
  {entry}
  c.loss.preference = preference
  return c
'''


@pytest.fixture
def folder(root, tmp_path, monkeypatch):
  """`mine/focal.py` and `experiments/focal.py`, as the README has them."""
  text = (root / "README.md").read_text("utf-8")
  blocks = re.findall(r"```python\n(.*?)```", text, re.S)
  (code,) = (block for block in blocks if "needs =" in block)
  (entry,) = (b.strip() for b in blocks if b.startswith("c.loss = "))
  name = '"mine.focal"'
  assert f"`{name[1:-1]}` for `mine/focal.py`" in text
  for path, said in {
    "mine/focal.py": code,
    "experiments/focal.py": CONFIG.format(entry=entry.replace('"focal"', name)),
  }.items():
    file = tmp_path / path
    file.parent.mkdir()
    file.write_text(said, "utf-8")
  rows = [
    {"prompt": f"{i}?", "chosen": "yes", "rejected": "no"} for i in range(8)
  ]
  pairs = tmp_path / "pairs.jsonl"
  pairs.write_text("".join(json.dumps(row) + "\n" for row in rows))
  # The command puts the folder of the config's folder first.
  monkeypatch.setattr(sys, "path", list(sys.path))
  for module in ("mine", "mine.focal"):
    monkeypatch.delitem(sys.modules, module, raising=False)
  yield tmp_path
  for module in ("mine", "mine.focal"):
    sys.modules.pop(module, None)


def command(folder, *more):
  options = {
    "mesh": "1,1,1",
    "data.train.path": folder / "pairs.jsonl",
    "data.eval.path": "",
    "data.max_length": 64,
    "train.steps": 3,
    "optim.warmup": 1,
    "sample.count": 0,
    "log.tensorboard": "false",
  }
  given = [f"--config.{key}={value}" for key, value in options.items()]
  config = f"--config={folder / 'experiments' / 'focal.py'}:tiny"
  workdir = f"--workdir={folder / 'run'}"
  return cli.main(["train", config, workdir, *given, *more])


def test_it_is_trained_beside_dpo(folder, capsys):
  assert not command(folder), capsys.readouterr().err
  rows = read_metrics(folder / "run" / "metrics.jsonl")
  assert [row["step"] for row in rows] == [1, 2, 3]
  for row in rows:
    parts = row["main/focal"] + row["preference/sigmoid"]
    assert row["loss"] == pytest.approx(parts, rel=1e-5)
    assert row["main/focal"] > 0.1
  assert rows[0]["preference/sigmoid"] == pytest.approx(0.693147, rel=1e-5)
  assert rows[0]["rewards/margins"] == 0 != rows[2]["rewards/margins"]
  assert rows[2]["main/focal"] < rows[0]["main/focal"]
  kept = json.loads((folder / "run" / "config.json").read_text())
  assert kept["loss"]["main"] == dict(name="mine.focal", weight=1.0, gamma=2.0)


def test_its_options_are_its_keywords(folder, capsys):
  with pytest.raises(SystemExit) as stopped:
    sys.exit(command(folder, "--config.loss.main.gama=1.0"))
  assert stopped.value.code
  assert "Did you mean config.loss.main.gamma?" in capsys.readouterr().err
