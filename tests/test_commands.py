"""Every command of the README and the documents runs, at a small size.

Commands of a page run in its order, in a folder of their own, where what they
name and no earlier one made is small (`commands.MADE`). `APART` has those
that cannot run here; their options are read all the same.
"""

import argparse
import contextlib
import importlib
import re
import runpy
import shlex
import sys
from pathlib import Path

import commands
import pytest

from alignjax import cli, options


class Read(Exception):
  """Options are read, and nothing is done with them."""


def stopping(read):
  def stopped(*args, **keywords):
    read(*args, **keywords)
    raise Read

  return stopped


def reads_options(words, patch):
  """The command's own parser takes its options."""
  patch.setattr(options, "read", stopping(options.read))
  parse = stopping(argparse.ArgumentParser.parse_args)
  patch.setattr(argparse.ArgumentParser, "parse_args", parse)
  while "=" in words[0]:  # a variable of the shell
    words = words[1:]
  program, *rest = words
  if program == "alignjax":
    command = cli.COMMANDS[rest[0]]
    if rest[1] in STUDIES:
      studies = importlib.import_module("alignjax.cli.studies")
      command, rest = getattr(studies, STUDIES[rest[1]]), rest[1:]
    with pytest.raises(Read):
      command(rest[1:])
  else:
    assert program == "python"
    patch.setattr(sys, "argv", rest)
    patch.setattr(sys, "path", [str(commands.ROOT / "scripts"), *sys.path])
    with pytest.raises(Read):
      runpy.run_path(rest[0], run_name="__main__")


def exists(words, patch):
  """The script is there; so are its options, or the files they name."""
  script, *given = words
  file = commands.ROOT / script
  assert file.stat().st_mode & 0o100, f"{script} is not executable"
  for word in given:
    if word.startswith("--"):
      assert f" {word})" in file.read_text("utf-8"), word
    elif "/" in word:
      assert (commands.ROOT / word).exists(), word


def installs(words, patch):
  """Files and extras that pip is told of exist."""
  setup = (commands.ROOT / "setup.py").read_text("utf-8")
  if "-c" in words:
    assert (commands.ROOT / words[words.index("-c") + 1]).exists()
  for extras in re.findall(r"\[([\w,]+)\]", " ".join(words)):
    for extra in extras.split(","):
      assert f'"{extra}": [' in setup, extra


def launched(words, patch):
  """The script is there, and `alignjax train` takes what it is handed."""
  first = next((i for i, w in enumerate(words) if w.startswith("scripts/")), 0)
  if first or words[0].startswith("scripts/"):
    exists(words[first : first + 1], patch)
  begin = words.index("--config") if "--config" in words else len(words)
  given = [w for w in words[begin:] if not w.startswith("--hosts=")]
  if given:
    reads_options(["alignjax", "train", *given], patch)


def nothing(words, patch):
  """There is nothing to check."""


STUDIES = {"leave-one-out": "leave_one_out", "shift": "shift"}
MINUTES = "takes minutes to hours"
# How a command begins → why it is not run here, what is checked instead.
APART = {
  "./scripts/quickstart.sh": ("makes an environment", exists),
  "./scripts/test.sh": ("runs these tests", exists),
  "source .venv/bin/activate": ("is the shell's", nothing),
  "pip install": ("asks a package index", installs),
  "alignjax harness": ("fetches questions; see test_harness.py", reads_options),
  "alignjax evaluate leave-one-out": (
    "trains a dozen models; see test_leave_one_out.py",
    reads_options,
  ),
  "alignjax evaluate shift": (
    "trains several models; see test_shift.py",
    reads_options,
  ),
  "alignjax feedback serve": (
    "serves until it is ended; see test_feedback_web_server.py",
    reads_options,
  ),
  "alignjax plan": ("wants a TPU's compiler; see test_plan.py", reads_options),
  "XLA_FLAGS=": ("is for a GPU", reads_options),
  "python scripts/bench.py": ("measures for minutes", reads_options),
  "python scripts/packing_study.py": (MINUTES, reads_options),
  "python scripts/toy_dpo.py": (MINUTES, reads_options),
  "python scripts/toy_frontier.py": (MINUTES, reads_options),
  "python scripts/overoptimization.py": (MINUTES, reads_options),
  "python scripts/minute_task.py": (MINUTES, reads_options),
  "python scripts/compare_policies.py": (MINUTES, reads_options),
  "python scripts/crash_test.py": (MINUTES, reads_options),
  "python scripts/corruption_survey.py": (MINUTES, reads_options),
  "python scripts/hosts_check.py": (MINUTES, reads_options),
  "sbatch": ("wants a cluster; see test_launchers.py", launched),
  "export TPU_NAME=": ("is the shell's", nothing),
  "scripts/tpu_vm.sh": ("asks a cloud; see test_launchers.py", launched),
  "alignjax train --config configs/dpo.py --workdir /shared/dpo": (
    "wants two hosts; see test_hosts_cli.py",
    launched,
  ),
}


def apart(words):
  """The entry of `APART` that a command falls under, the longest one."""
  found = [key for key in APART if shlex.join(words).startswith(key)]
  return max(found, key=len, default=None)


def execute(words, patch):
  """Exit status of a command, run in this process."""
  if words[0] == "alignjax":
    said = iter(["hello"])

    def talk(prompt=""):
      try:
        return next(said)
      except StopIteration:
        raise EOFError from None

    patch.setattr("builtins.input", talk)
    return cli.main(commands.small(words))
  if words[:2] == ["python", "-c"]:
    code, mark, file = words[2:]
    assert mark == ">"
    with open(file, "w") as out, contextlib.redirect_stdout(out):
      exec(compile(code, file, "exec"), {})
    return 0
  if words[:2] == ["python", "scripts/reproduce.py"]:
    return importlib.import_module("scripts.reproduce").main(words[2:])
  raise AssertionError("neither run nor in APART: say there why")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
  """Where what pages name is kept, made once."""
  return tmp_path_factory.mktemp("store")


@pytest.fixture
def place(tmp_path, monkeypatch):
  """The folder of a page's commands: of the repository what they name."""
  for name in ("configs", "scripts"):
    (tmp_path / name).symlink_to(commands.ROOT / name)
  monkeypatch.chdir(tmp_path)
  monkeypatch.syspath_prepend(tmp_path)  # where people have their own files
  monkeypatch.setattr("alignjax.statistics.intervals.DRAWS", 200)
  monkeypatch.setattr("alignjax.statistics.paired.DRAWS", 200)
  before = set(sys.modules)
  yield tmp_path
  for name in set(sys.modules) - before:  # modules of the pages' own
    if Path(sys.modules[name].__dict__.get("__file__") or "/").is_relative_to(
      tmp_path
    ):
      del sys.modules[name]


@pytest.mark.parametrize("page", commands.PAGES, ids=lambda page: page.name)
def test_commands_of_a_page_run(page, store, place, monkeypatch, capfd):
  for name, text in commands.files(page).items():
    (place / name).write_text(text, "utf-8")
    sys.modules.pop(Path(name).stem, None)  # another page's
  importlib.invalidate_caches()
  for words in commands.commands(page):
    line = shlex.join(words)
    with monkeypatch.context() as patch:
      try:
        if key := apart(words):
          APART[key][1](words, patch)
          continue
        commands.give(words, place, store)
        status = execute(words, patch)
      except (Exception, SystemExit) as error:
        said = capfd.readouterr().err
        pytest.fail(f"{page.name}: {line}\n{said}\n{error!r}")
      said = capfd.readouterr().err
      assert status == 0, f"{page.name}: {line}\n{said}"


def test_the_table_has_nothing_that_no_page_says():
  every = [x for page in commands.PAGES for x in commands.commands(page)]
  assert {apart(x) for x in every} - {None} == set(APART)
  assert len(every) > 40


def test_a_block_is_split_as_a_shell_would():
  found = commands.split(
    "a --b 'c d' \\\n  --e=f  # said\n\n# nothing\nx 'one\ntwo' > y\n"
  )
  assert list(found) == [
    ["a", "--b", "c d", "--e=f"],
    ["x", "one\ntwo", ">", "y"],
  ]
  with pytest.raises(AssertionError, match="no end"):
    list(commands.split("a 'b\n"))


def test_a_wrong_command_fails(place, monkeypatch):
  with pytest.raises(ValueError, match="no key optim.lrr"):
    commands.small(
      "alignjax train --config configs/sft.py --config.optim.lrr=1".split()
    )
  words = "alignjax harness --config configs/evaluate.py --taks a".split()
  with monkeypatch.context() as patch, pytest.raises(ValueError, match="taks"):
    reads_options(words, patch)
  words = "python scripts/bench.py sft --stpes 8".split()
  with monkeypatch.context() as patch, pytest.raises(SystemExit):
    reads_options(words, patch)
  with pytest.raises(AssertionError, match="neither run nor"):
    execute(["python", "scripts/none.py"], monkeypatch)
  with pytest.raises(AssertionError):
    installs(["pip", "install", ".[cuda99]"], monkeypatch)


@pytest.mark.parametrize("page", commands.PAGES, ids=lambda page: page.name)
def test_links_and_paths_of_a_page_exist(page):
  text = page.read_text("utf-8")
  for link in re.findall(r"\]\((?!http)([^)#]+)\)", text):
    assert (page.parent / link).exists(), link
  rooms = "alignjax|configs|scripts|tests|docs"
  for path in re.findall(rf"(?<![\w/.])(?:{rooms})/[\w./]*\w", text):
    assert (commands.ROOT / path).exists(), path
