"""Two real processes evaluate as one does, and go on where one stopped."""

import json
import shutil

import evaluation_sets as sets
import pytest
from hosts import run_hosts

CODE = """
from alignjax.cli import main
status = main(sys.argv[4:])
print("status", status)
"""


def asked(folder, data):
  return [
    "evaluate",
    "--config=configs/evaluate.py:tiny,suite,mmlu,preferences",
    f"--workdir={folder}",
    f"--config.tasks.mmlu.path={data}",
    "--config.tasks.mmlu.shots=1",
    "--config.tasks.suite.path=('json', 'refusal')",
    "--config.mesh=(1, 2, 1)",
    "--config.tasks.suite.max_tokens=4",
    "--config.batch=128",
  ]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
  return sets.mmlu(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def one(data, tmp_path_factory, request):
  folder = tmp_path_factory.mktemp("one")
  root = request.config.rootpath
  (out,) = run_hosts(root, CODE, 1, 2, asked(folder, data))
  assert "status 0" in out
  return folder


def test_two_hosts_say_what_one_says(one, data, tmp_path, pytestconfig):
  # One host has begun: some items are known to the first alone.
  items = tmp_path / "items"
  items.mkdir()
  lines = (one / "items" / "preferences.jsonl").read_text().splitlines(True)
  of = json.loads((one / "items" / "preferences.json").read_text())
  (items / "preferences.part.jsonl").write_text(
    "".join([json.dumps({"of": of}) + "\n", *lines[:7]])
  )
  shutil.copy(one / "items" / "mmlu.jsonl", items)
  shutil.copy(one / "items" / "mmlu.json", items)
  outs = run_hosts(pytestconfig.rootpath, CODE, 2, 1, asked(tmp_path, data))
  assert all("status 0" in out for out in outs)
  for name in ("suite", "mmlu", "preferences"):
    files = [f / "items" / f"{name}.jsonl" for f in (one, tmp_path)]
    rows = [[json.loads(x) for x in f.open()] for f in files]
    assert [x["id"] for x in rows[0]] == [x["id"] for x in rows[1]]
    for a, b in zip(*rows):
      assert a["scores"] == pytest.approx(b["scores"], abs=1e-5)
      assert a["output"].get("text") == b["output"].get("text")
  told = [json.loads((f / "summary.json").read_text()) for f in (one, tmp_path)]
  assert set(told[0]["tasks"]) == set(told[1]["tasks"])
  assert not list(items.glob("*.part.jsonl"))
