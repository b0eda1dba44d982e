"""The short form of scripts/crash_test.py."""

import math
import subprocess
import sys

import pytest


# PPO's second kill comes when completions were sampled, its fourth between two
# updates of them. Signals in its rollouts are in test_rollout.py.
@pytest.mark.parametrize(
  "task, kills, signals", [("sft", 2, 1), ("ppo", 4, 0)], ids=["sft", "ppo"]
)
def test_a_run_that_is_killed_is_the_run_left_alone(root, task, kills, signals):
  script = root / "scripts" / "crash_test.py"
  options = ["--task", task, "--kills", str(kills), "--signals", str(signals)]
  options += ["--steps", "24" if task == "sft" else "48"]
  found = subprocess.run(
    [sys.executable, str(script), *options],
    capture_output=True,
    text=True,
    timeout=1500,
  )
  assert found.returncode == 0, found.stdout + found.stderr
  lines = found.stdout.splitlines()
  assert "killed: bitwise the run left alone" in lines
  assert ("stopped: bitwise the run left alone" in lines) == bool(signals)
  assert sum("kill " in line for line in lines) == kills


def test_a_difference_is_seen(root, tmp_path):
  """Of one bit of a curve: the comparison can fail."""
  sys.path.insert(0, str(root / "scripts"))
  try:
    import crash_test
  finally:
    sys.path.pop(0)
  for name, seconds in (("one", 1), ("other", 2)):
    (tmp_path / name).mkdir()
    for kind in ("metrics", "evaluations", "samples"):
      line = f'{{"step": 1, "loss": 0.1, "wall_s": {seconds}}}\n'
      (tmp_path / name / f"{kind}.jsonl").write_text(line)
  one, other = tmp_path / "one", tmp_path / "other"
  assert crash_test.curves(one, other) == []
  line = f'{{"step": 1, "loss": {math.nextafter(0.1, 1)!r}, "wall_s": 1}}\n'
  (other / "metrics.jsonl").write_text(line)
  assert crash_test.curves(one, other) == ["metrics.jsonl: row 0"]
