import builtins
import io
import json
import math
import random
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import alignjax
from alignjax.log import (
  RunLog,
  environment,
  read_metrics,
  replace_file,
  write_run,
)
from alignjax.log import progress as progress_file


def open_log(path, **options):
  return RunLog(
    path,
    **{
      "total_steps": 20,
      "tensorboard": False,
      "stream": io.StringIO(),
      **options,
    },
  )


def events(folder):
  """Records of TensorBoard files: length, checksum, event, checksum."""
  from tensorboardX.proto.event_pb2 import Event

  for path in sorted(folder.iterdir()):
    data, at = path.read_bytes(), 0
    while at < len(data):
      (size,) = struct.unpack_from("<Q", data, at)
      yield Event.FromString(data[at + 12 : at + 12 + size])
      at += 12 + size + 4


def test_a_row_is_one_object_with_step_first(tmp_path):
  with open_log(tmp_path) as log:
    log.write(3, {"loss": 0.1, "tokens": 7})
    line = (tmp_path / "metrics.jsonl").read_text()  # before close: flushed
  assert line.startswith('{"step": 3, "loss": 0.1, "tokens": 7, "wall_s": ')
  assert line.endswith("}\n")


def test_numbers_come_back_bit_for_bit(tmp_path):
  draw = random.Random(0)
  values = [
    draw.gauss(0, 1) * 10.0 ** draw.randint(-300, 300) for _ in "x" * 99
  ]
  values += [5e-324, math.pi, -0.0]
  with open_log(tmp_path) as log:
    for step, x in enumerate(values, 1):
      log.write(step, {"loss": x})
  back = [row["loss"] for row in read_metrics(tmp_path / "metrics.jsonl")]
  assert struct.pack("102d", *back) == struct.pack("102d", *values)


def test_array_scalars_become_numbers(tmp_path):
  third = np.float32(1) / np.float32(3)
  with open_log(tmp_path) as log:
    log.write(1, {"loss": third, "tokens": np.int32(9), "x": np.array(2.5)})
  (row,) = read_metrics(tmp_path / "metrics.jsonl")
  assert np.float32(row["loss"]) == third and row["loss"] == float(third)
  assert row["tokens"] == 9 and isinstance(row["tokens"], int)
  assert row["x"] == 2.5


def test_what_is_not_finite_is_null_and_named(tmp_path):
  with open_log(tmp_path, tensorboard=True) as log:
    log.write(1, {"loss": math.nan, "lr": 0.5, "z": np.float32("-inf")})
    log.text(1, "fixed", [{"prompt": "", "completion": "", "reward": math.inf}])

  def refuse(name):
    raise AssertionError(f"{name} is not JSON")

  row = json.loads(
    (tmp_path / "metrics.jsonl").read_text(), parse_constant=refuse
  )
  assert row["loss"] is None and row["z"] is None and row["lr"] == 0.5
  assert row["nonfinite"] == ["loss", "z"]
  assert read_metrics(tmp_path / "samples.jsonl")[0]["reward"] is None


def test_a_metric_may_not_take_a_name_of_the_row(tmp_path):
  with open_log(tmp_path) as log:
    with pytest.raises(ValueError, match="'step'.*\n.*nonfinite, wall_s"):
      log.write(1, {"loss": 1.0, "step": 2})
  assert read_metrics(tmp_path / "metrics.jsonl") == []


def test_evaluations_have_a_file_of_their_own(tmp_path):
  with open_log(tmp_path) as log:
    log.evaluation(4, {"loss": 2.0})
  (row,) = read_metrics(tmp_path / "evaluations.jsonl")
  assert (row["step"], row["loss"]) == (4, 2.0)
  assert read_metrics(tmp_path / "metrics.jsonl") == []


def test_resume_cuts_later_rows_and_keeps_the_bytes_of_earlier(tmp_path):
  sample = {"prompt": "a", "completion": "b"}
  with open_log(tmp_path) as log:
    log.evaluation(0, {"loss": 3.0})
    for step in range(1, 8):
      log.write(step, {"loss": 0.1 * step})
      log.text(step, "fixed", [sample])
  before = (tmp_path / "metrics.jsonl").read_bytes().splitlines(True)
  with open_log(tmp_path, start_step=5) as log:
    now = (tmp_path / "metrics.jsonl").read_bytes().splitlines(True)
    assert now == before[:5]
    log.write(6, {"loss": 9.0})
  rows = read_metrics(tmp_path / "metrics.jsonl")
  assert [row["step"] for row in rows] == [1, 2, 3, 4, 5, 6]
  held = read_metrics(tmp_path / "evaluations.jsonl")
  assert [row["step"] for row in held] == [0]
  assert rows[-1]["loss"] == 9.0
  steps = [row["step"] for row in read_metrics(tmp_path / "samples.jsonl")]
  assert steps == [1, 2, 3, 4, 5]


def test_a_run_from_step_zero_starts_empty(tmp_path):
  for _ in range(2):  # the first died before its first checkpoint
    with open_log(tmp_path) as log:
      log.evaluation(0, {"loss": 3.0})
      log.write(1, {"loss": 2.0})
  steps = [row["step"] for row in read_metrics(tmp_path / "metrics.jsonl")]
  assert steps == [1]


def test_training_time_goes_on_after_a_resume(tmp_path):
  row = {"step": 5, "loss": 1.0, "wall_s": 1000.0}
  (tmp_path / "metrics.jsonl").write_text(json.dumps(row) + "\n")
  with open_log(tmp_path, start_step=5) as log:
    log.write(6, {"loss": 1.0})
  assert 1000 <= read_metrics(tmp_path / "metrics.jsonl")[-1]["wall_s"] < 1060


@pytest.mark.parametrize("keep", range(1, 27))
def test_a_last_line_cut_anywhere_is_dropped(tmp_path, keep):
  whole = '{"step": 1, "loss": 0.25}\n'
  path = tmp_path / "metrics.jsonl"
  path.write_text(whole + whole.replace("1", "2")[:keep])
  kept = [1, 2] if keep >= 25 else [1]  # complete at its closing brace
  assert [row["step"] for row in read_metrics(path)] == kept
  with open_log(tmp_path, start_step=2) as log:
    log.write(3, {"loss": 0.5})
  steps = [row["step"] for row in read_metrics(path)]
  assert steps == kept + [3]


def test_another_broken_line_is_named(tmp_path):
  path = tmp_path / "metrics.jsonl"
  path.write_text('{"step": 1}\nnonsense\n{"step": 3}\n')
  with pytest.raises(ValueError, match=r"metrics.jsonl:2: not a JSON object"):
    read_metrics(path)
  path.write_text("[1]\n{}\n")
  with pytest.raises(ValueError, match=r"metrics.jsonl:1: .*not an object"):
    read_metrics(path)


def test_samples_keep_every_character(tmp_path):
  text = "line\nbreak\u2028\x85 \ud800 é 漢字 </script>"
  with open_log(tmp_path, tensorboard=True) as log:
    log.text(2, "fixed", [{"prompt": text, "completion": text, "tokens": 3}])
  raw = (tmp_path / "samples.jsonl").read_bytes()
  assert raw.count(b"\n") == 1 and "漢字".encode() in raw
  (row,) = read_metrics(tmp_path / "samples.jsonl")
  assert row == {
    "step": 2,
    "name": "fixed",
    "prompt": text,
    "completion": text,
    "tokens": 3,
  }


def test_tensorboard_holds_the_same_scalars(tmp_path):
  with open_log(tmp_path, tensorboard=True) as log:
    log.write(1, {"loss": 2.5, "lr": math.nan})
    log.evaluation(1, {"loss": 0.75})
    log.text(1, "fixed", [{"prompt": "hello", "completion": "world"}])
  values = [
    (event.step, value)
    for event in events(tmp_path / "tensorboard")
    for value in event.summary.value
  ]
  scalars = {
    (s, v.tag, v.simple_value)
    for s, v in values
    if not v.metadata.plugin_data.content
  }
  assert {(1, "loss", 2.5), (1, "eval/loss", 0.75)} <= scalars
  texts = [v.tensor.string_val[0] for _, v in values if v.tensor.string_val]
  assert len(texts) == 1 and b"hello" in texts[0] and b"world" in texts[0]


def test_tensorboard_hides_events_past_the_resumed_step(tmp_path):
  for start in (0, 5):
    with open_log(tmp_path, tensorboard=True, start_step=start) as log:
      log.write(start + 1, {"loss": 1.0})
  starts = [
    event.step
    for event in events(tmp_path / "tensorboard")
    if event.HasField("session_log")
  ]
  assert starts[-1] == 6


def test_plain_lines_off_a_terminal(tmp_path, monkeypatch):
  clock = iter([100.0, 102.0, 104.0, 106.0, 108.0])
  stream = io.StringIO()
  with open_log(tmp_path, stream=stream) as log:
    monkeypatch.setattr(progress_file.time, "monotonic", lambda: next(clock))
    log.progress(1, {"loss": 2.5, "tokens_per_s": 312.4, "lr": 0.1})
    log.progress(2, {"loss": 2.4, "tokens_per_s": 310.0})  # too soon
    log.progress(3, {"loss": 2.3})  # too soon
    log.progress(4, {"loss": 2.31449, "tokens_per_s": 310.0})
    log.message("checkpoint written")
    log.progress(20, {"loss": 1.0})  # too soon, and the last
    monkeypatch.undo()
  assert stream.getvalue().splitlines() == [
    "step 1/20  loss 2.5000  tokens/s 312",
    "step 4/20  loss 2.3145  tokens/s 310  eta 0:32",  # 16 steps of 2 s
    "checkpoint written",
    "step 20/20  loss 1.0000  eta 0:00",
  ]


@pytest.mark.parametrize(
  "seconds, said",
  [
    (0.0, "0:00"),
    (83.0, "1:23"),
    (59.6, "1:00"),
    (3599.7, "1:00:00"),
    (90061.0, "25:01:01"),
  ],
)
def test_time_left_reads_as_a_clock(seconds, said):
  assert progress_file._clock(seconds) == said


class Terminal(io.StringIO):
  def isatty(self):
    return True


def test_a_terminal_gets_a_bar_and_messages_above_it(tmp_path, monkeypatch):
  monkeypatch.setenv("TERM", "xterm")
  monkeypatch.setenv("COLUMNS", "100")
  stream = Terminal()
  with open_log(tmp_path, stream=stream) as log:
    log.progress(1, {"loss": 2.5, "tokens_per_s": 312.4})
    log.message("[bold]read as it is[/bold]")
    log.progress(20, {"loss": 1.0})
  drawn = stream.getvalue()
  assert "step 20/20" in drawn and "loss 1.0000" in drawn and "\x1b[" in drawn
  assert "[bold]read as it is[/bold]" in drawn


def test_missing_wandb_says_how_to_get_it_and_cuts_nothing(
  tmp_path, monkeypatch
):
  with open_log(tmp_path) as log:
    log.write(1, {"loss": 1.0})
  real = builtins.__import__

  def without(name, *rest):
    if name == "wandb":
      raise ImportError(name)
    return real(name, *rest)

  monkeypatch.setattr(builtins, "__import__", without)
  with pytest.raises(ImportError, match=r"pip install 'alignjax\[wandb\]'"):
    open_log(tmp_path, wandb={"project": "p"})
  assert len(read_metrics(tmp_path / "metrics.jsonl")) == 1


def test_wandb_gets_the_arguments_and_the_rows(tmp_path, monkeypatch):
  class Run:
    calls = []

    def init(self, **arguments):
      self.calls.append(("init", arguments))
      return self

    def log(self, values, step):
      self.calls.append((step, values))

    def finish(self):
      self.calls.append("finish")

  monkeypatch.setitem(sys.modules, "wandb", Run())
  with open_log(tmp_path, wandb={"project": "p"}) as log:
    log.write(2, {"loss": 1.0})
  assert Run.calls == [
    ("init", {"dir": str(tmp_path), "project": "p"}),
    (2, {"loss": 1.0}),
    "finish",
  ]


def test_a_file_as_run_folder_is_refused(tmp_path):
  (tmp_path / "x").write_text("")
  with pytest.raises(NotADirectoryError, match="is a file.*\n.*--workdir"):
    open_log(tmp_path / "x")


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


def test_the_log_does_not_import_jax():
  code = "import sys, alignjax.log; sys.exit('jax' in sys.modules)"
  assert subprocess.run([sys.executable, "-c", code]).returncode == 0
