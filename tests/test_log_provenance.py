"""What the run was made of, and files that are whole or absent."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

import alignjax
from alignjax.log import environment, replace_file, write_run


def test_environment_names_versions_and_no_machine(monkeypatch):
  monkeypatch.setattr(sys, "argv", ["/home/me/bin/alignjax", "train", "a b"])
  for name in ("platform.node", "socket.gethostname", "getpass.getuser"):
    monkeypatch.setattr(name, lambda: "private")
  made = environment()
  assert made["command"] == "alignjax train 'a b'"
  assert made["packages"]["numpy"] == np.__version__
  assert made["packages"].keys() >= {"jax", "flax", "optax", "alignjax"}
  assert made["started"].endswith("+00:00")
  if (Path(alignjax.__path__[0]).parent / ".git").exists():
    assert len(made["commit"]) == 40 and isinstance(made["dirty"], bool)
  assert "private" not in json.dumps(made)
  assert "/home/me" not in json.dumps(made)


def test_write_run_is_whole_or_absent(tmp_path):
  write_run(tmp_path / "run", '{"seed": 1, "x": [1, 2]}', {"devices": ["cpu"]})
  config = json.loads((tmp_path / "run" / "config.json").read_text())
  assert config == {"seed": 1, "x": [1, 2]}
  run = json.loads((tmp_path / "run" / "run.json").read_text())
  assert run["devices"] == ["cpu"] and "python" in run
  with pytest.raises(ValueError):
    write_run(tmp_path / "run", "{", {})
  assert json.loads((tmp_path / "run" / "config.json").read_text()) == config
  names = {path.name for path in (tmp_path / "run").iterdir()}
  assert names == {"config.json", "run.json"}  # no temporary left


def test_a_failed_replacement_leaves_the_old_file(tmp_path, monkeypatch):
  path = tmp_path / "a.json"
  replace_file(path, "old")

  def fail(*_):
    raise OSError("disk full")

  monkeypatch.setattr("alignjax.log.records.os.fsync", fail)
  with pytest.raises(OSError, match="disk full"):
    replace_file(path, "new")
  assert path.read_text() == "old"


def test_a_resumed_run_keeps_what_it_was_made_of_before(tmp_path):
  for first in (0, 0, 5, 9):  # the first was killed before a checkpoint
    write_run(tmp_path, "{}", {"first_step": first}, resumed=first > 0)
  run = json.loads((tmp_path / "run.json").read_text())
  assert run["first_step"] == 9
  assert [x["first_step"] for x in run["earlier"]] == [0, 5]
  assert all("earlier" not in x and "started" in x for x in run["earlier"])
