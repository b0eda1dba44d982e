import io
import json
import math
import random
import struct
import subprocess
import sys

import numpy as np
import pytest

from alignjax.log import RunLog, read_metrics


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


def test_a_file_as_run_folder_is_refused(tmp_path):
  (tmp_path / "x").write_text("")
  with pytest.raises(NotADirectoryError, match="is a file.*\n.*--workdir"):
    open_log(tmp_path / "x")


def test_the_log_does_not_import_jax():
  code = "import sys, alignjax.log; sys.exit('jax' in sys.modules)"
  assert subprocess.run([sys.executable, "-c", code]).returncode == 0
