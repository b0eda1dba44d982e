"""What the documents say is so: paths, commands, the loss, the quickstart."""

import ast
import importlib
import re
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from test_layers import FLOORS

from alignjax import build, cli
from alignjax.data import suite
from alignjax.types import Batch
from configs import evaluate, ppo, quickstart

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text("utf-8")


def test_paths_in_the_documents_exist():
  for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md"):
    text = (ROOT / name).read_text("utf-8")
    for path in re.findall(
      r"(?<![\w/.])(?:alignjax|configs|scripts|tests|docs)/[\w./]*", text
    ):
      path = path.rstrip(".")
      assert (ROOT / path).exists(), f"{name} speaks of {path}"
    for link in re.findall(r"\]\((?!http)([^)#]+)\)", text):
      assert (ROOT / link).exists(), f"{name} links to {link}"


def test_the_layout_in_the_readme_is_that_of_the_floors():
  (block,) = re.findall(r"lines above it\.\n\n```\n(.*?)```", README, re.S)
  seen, floor = set(), 0
  for line in re.sub(r"\n  ", " ", block).splitlines():
    rooms = re.findall(r"alignjax/(\w+)", line)
    floors = {FLOORS[room] for room in rooms}
    assert len(floors) == 1 and min(floors) >= floor, line
    seen, floor = seen | set(rooms), min(floors)
  package = ROOT / "alignjax"
  files = (f.relative_to(package) for f in package.rglob("*.py"))
  assert seen == {Path(f.parts[0]).stem for f in files} - {"__init__"}


def blocks(keys, prefix=""):
  for name, value in keys.items():
    yield prefix + name
    if isinstance(value, dict):
      yield from blocks(value, f"{prefix}{name}.")


def test_commands_and_keys_in_the_readme_exist():
  commands = set(re.findall(r"alignjax ([a-z]+) (?:\w+ )?(?:--|\w+=)", README))
  assert commands == set(cli.COMMANDS)
  # Blocks are keys too.
  keys = ppo.get_config("scored,ptx").to_dict()
  asked = evaluate.get_config("suite,mmlu").to_dict()
  flat = {*blocks(keys), *blocks(asked), "loss.main.kind"}
  for key in re.findall(r"--config\.([\w.]+)=", README):
    assert key in flat, f"the README sets {key}"
  rooms = "|".join(k for k, v in keys.items() if isinstance(v, dict))
  for key in re.findall(rf"`((?:{rooms})\.[\w.]+)", README):
    assert key in flat, f"the README speaks of {key}"


def test_the_loss_in_the_readme_works(tmp_path, monkeypatch):
  (code,) = (
    b
    for b in re.findall(r"```python\n(.*?)```", README, re.S)
    if "needs =" in b
  )
  assert len([x for x in code.splitlines() if x.strip()]) <= 20
  (tmp_path / "mine").mkdir()
  (tmp_path / "mine" / "focal.py").write_text(code, "utf-8")
  monkeypatch.syspath_prepend(tmp_path)
  importlib.invalidate_caches()
  (entry,) = re.findall(r"main=(dict\(name=\"focal\".*?\))\)", README)
  given = {
    k.arg: ast.literal_eval(k.value)
    for k in ast.parse(entry, mode="eval").body.keywords
  }
  options = given | {"name": "mine.focal"}
  objective = build.objective("main", options)
  logp = jnp.log(jnp.array([[0.5, 0.25, 0.9]], jnp.float32))
  blank = jnp.zeros((1, 3), jnp.int32)
  mask = jnp.array([[1, 1, 0]], jnp.int32)
  batch = Batch(*[blank] * 5, mask, 1.0 * mask)
  term = objective.loss({"logp": logp}, batch).loss["focal"]
  # (1/2)² ln 2 + (3/4)² ln 4
  np.testing.assert_allclose(
    term.sum, 0.25 * 0.693147 + 0.5625 * 1.386294, 1e-5
  )
  assert term.weight == 2


def test_quickstart_asks_what_it_does_not_train_on():
  c = quickstart.get_config()
  train = {r["prompt"] for r in suite.rows("train")}
  held = {r["prompt"] for r in suite.rows("heldout", n=c.data.eval.limit)}
  assert len(c.sample.prompts) == 3
  assert set(c.sample.prompts) <= held and not held & train
  assert quickstart.get_config("tiny").model.preset == "tiny"
  with pytest.raises(ValueError, match="'huge'.*tiny"):
    quickstart.get_config("huge")
