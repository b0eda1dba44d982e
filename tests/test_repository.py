"""What a stranger meets first: packaging, pins, scripts; rules of sources."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from alignjax import cli

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted((ROOT / "alignjax").rglob("*.py"))
SCRIPTS = (*sorted((ROOT / "scripts").glob("*.sh")), ROOT / ".ci" / "run")
README = (ROOT / "README.md").read_text("utf-8")
PYTHONS = ("3.11", "3.12", "3.13")


def _setup() -> dict:
  """The literal keywords of the call in setup.py."""
  tree = ast.parse((ROOT / "setup.py").read_text("utf-8"))
  (call,) = (
    n
    for n in ast.walk(tree)
    if isinstance(n, ast.Call) and getattr(n.func, "id", "") == "setup"
  )
  literal = (ast.Constant, ast.List, ast.Dict)
  return {
    k.arg: ast.literal_eval(k.value)
    for k in call.keywords
    if isinstance(k.value, literal)
  }


def _name(requirement: str) -> str:
  return canonicalize_name(Requirement(requirement).name)


def _imports(file: Path) -> set[str]:
  """Top-level names of the modules a file imports."""
  found = set()
  for node in ast.walk(ast.parse(file.read_text("utf-8"))):
    if isinstance(node, ast.Import):
      found |= {a.name.split(".")[0] for a in node.names}
    elif isinstance(node, ast.ImportFrom):
      found.add((node.module or "").split(".")[0])
  return found


def _pins(python: str) -> dict[str, str]:
  """Name → version of the constraints that hold for a Python version."""
  found = {}
  for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines():
    if not line or line.startswith("#"):
      continue
    r = Requirement(line)
    if r.marker is None or r.marker.evaluate({"python_version": python}):
      name = canonicalize_name(r.name)
      assert name not in found, f"{name} is pinned twice for {python}"
      assert re.fullmatch(r"==[\w.]+", str(r.specifier)), line
      found[name] = str(r.specifier)[2:]
  return found


def test_setup_names_package_command_and_extras():
  s = _setup()
  assert s["name"] == "alignjax" and s["python_requires"] == ">=3.11"
  assert s["entry_points"] == {
    "console_scripts": ["alignjax=alignjax.cli:main"]
  }
  assert set(s["extras_require"]) == {
    "tpu",
    "plan",
    "gcs",
    "cuda12",
    "cuda13",
    "wandb",
    "evals",
    "feedback",
    "test",
  }
  assert "jax" in s["install_requires"]  # bare: the accelerator is an extra
  assert callable(cli.main)


def test_every_import_is_a_requirement():
  named = {
    "absl": "absl-py",
    "orbax": "orbax-checkpoint",
    "yaml": "pyyaml",
  }
  s = _setup()
  required = {_name(r) for r in s["install_requires"]}
  for extra in ("wandb", "evals", "feedback"):
    required |= {_name(r) for r in s["extras_require"][extra]}
  for file in SOURCES:
    for module in _imports(file) - sys.stdlib_module_names - {"alignjax", ""}:
      name = canonicalize_name(named.get(module, module))
      assert name in required, f"{file} imports {module}: not in setup.py"


@pytest.mark.parametrize("python", PYTHONS)
def test_constraints_pin_what_setup_needs(python):
  s, pins = _setup(), _pins(python)
  extras = [
    r for k in ("test", "evals", "feedback") for r in s["extras_require"][k]
  ]
  for r in (*s["install_requires"], *extras, "jaxlib"):
    assert _name(r) in pins, f"{r} is not in constraints.txt for {python}"
    assert Requirement(r).specifier.contains(pins[_name(r)])
  assert pins["jax"] == pins["jaxlib"]
  assert not {"torch", "tensorflow"} & set(pins)


def test_jax_and_flax_are_a_working_pair():
  for python in PYTHONS:
    pins = _pins(python)
    jax, flax = (tuple(map(int, pins[n].split("."))) for n in ("jax", "flax"))
    assert jax < (0, 11, 1) or flax > (0, 12, 8)


@pytest.mark.parametrize(
  "name",
  (
    "README.md LICENSE CONTRIBUTING.md CHANGELOG.md setup.py pyproject.toml "
    "constraints.txt .gitignore .pre-commit-config.yaml .ci/run "
    ".github/workflows/test.yml scripts/quickstart.sh scripts/test.sh"
  ).split(),
)
def test_top_level_files(name):
  assert (ROOT / name).stat().st_size > 20


def test_license_is_apache_2():
  text = (ROOT / "LICENSE").read_text("utf-8")
  assert "Apache License" in text and "Version 2.0, January 2004" in text
  assert "END OF TERMS AND CONDITIONS" in text


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda p: p.name)
def test_script_parses_and_runs(script):
  assert subprocess.run(["bash", "-n", script]).returncode == 0
  sourced = script.name == "env.sh"
  assert sourced or os.access(script, os.X_OK), f"{script} is not executable"
  assert sourced or "set -euo pipefail" in script.read_text("utf-8")


def test_everything_calls_the_one_test_command():
  for name in ("README.md", ".ci/run", ".github/workflows/test.yml"):
    assert "./scripts/test.sh" in (ROOT / name).read_text("utf-8")
  assert "./scripts/quickstart.sh" in README


def _bash(command: str, **environment) -> subprocess.CompletedProcess:
  return subprocess.run(
    ["bash", "-c", command],
    cwd=ROOT,
    env=os.environ | environment,
    capture_output=True,
    text=True,
  )


def test_quickstart_refuses_an_unknown_option():
  done = _bash("scripts/quickstart.sh --tyni")
  assert done.returncode == 2
  assert "--tiny" in done.stderr and "--tyni" in done.stderr


def test_environment_takes_the_python_asked_for():
  found = _bash(". scripts/env.sh; find_python", PYTHON=sys.executable)
  assert found.stdout.strip() == sys.executable
  missing = _bash(". scripts/env.sh; find_python", PYTHON="/no/python")
  assert missing.returncode == 1 and not missing.stdout
  assert "/no/python" in missing.stderr and "3.11" in missing.stderr


def test_environment_is_stamped_by_pins_and_place(tmp_path):
  copy = f"cp setup.py constraints.txt {tmp_path} && cd {tmp_path}"
  prefix = f". scripts/env.sh; {copy} && "
  stamp = _bash(prefix + "stamp", PYTHON=sys.executable).stdout
  again = _bash(prefix + "stamp", PYTHON=sys.executable).stdout
  moved = _bash(
    prefix + "mkdir a && cp *.* a && cd a && stamp", PYTHON=sys.executable
  ).stdout
  newer = _bash(
    prefix + "echo x==1 >> constraints.txt; stamp", PYTHON=sys.executable
  ).stdout
  assert stamp.strip() and stamp == again
  assert len({stamp, moved, newer}) == 3


def test_no_file_is_long():
  for file in SOURCES:
    lines = len(file.read_text("utf-8").splitlines())
    assert lines <= 300, f"{file} has {lines} lines; split it by idea"


def test_no_room_without_a_name():
  for file in SOURCES:
    assert not set(file.relative_to(ROOT).with_suffix("").parts) & {
      "utils",
      "util",
      "helpers",
      "common",
      "misc",
    }, f"{file}: name it for what it holds"


FOREIGN = {"torch", "tensorflow", "pickle", "dill", "cloudpickle", "joblib"}


def _unsafe(text: str) -> list[str]:
  """What a source file does that could run somebody else's code."""
  found = []
  for node in ast.walk(ast.parse(text)):
    if isinstance(node, ast.Import):
      found += [a.name for a in node.names if a.name.split(".")[0] in FOREIGN]
    elif isinstance(node, ast.ImportFrom):
      found += (
        [node.module] if (node.module or "").split(".")[0] in FOREIGN else []
      )
    elif isinstance(node, ast.Call):
      name = getattr(node.func, "id", "")
      found += [name] if name in ("eval", "exec", "__import__") else []
      for k in node.keywords:
        if k.arg in ("trust_remote_code", "allow_pickle"):
          off = isinstance(k.value, ast.Constant) and k.value.value is False
          found += [] if off else [k.arg]
  return found


def test_unsafe_is_found():
  assert _unsafe("import torch.nn") == ["torch.nn"]
  assert _unsafe("from pickle import load") == ["pickle"]
  assert _unsafe("eval('1')") == ["eval"]
  assert _unsafe("np.load(f, allow_pickle=True)") == ["allow_pickle"]
  assert _unsafe("load(f, trust_remote_code=x)") == ["trust_remote_code"]
  assert _unsafe("load(f, trust_remote_code=False)") == []


def test_nobody_elses_code_is_run():
  for file in SOURCES:
    assert _unsafe(file.read_text("utf-8")) == [], file
