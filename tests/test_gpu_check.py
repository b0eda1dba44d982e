"""scripts/gpu_check.py, on a CPU."""

import re
import subprocess
import sys


def test_what_a_machine_does_is_told(root):
  done = subprocess.run(
    [sys.executable, "scripts/gpu_check.py", "--preset=tiny", "--rows=2"]
    + ["--length=128", "--new=16", "--size=256", "--steps=2"],
    cwd=root,
    capture_output=True,
    text=True,
    timeout=240,
  )
  assert done.returncode == 0, done.stderr[-2000:]
  said = dict(re.findall(r"^\| (.*?) \| (.*) \|$", done.stdout, re.M))
  assert said["products, 256³"].endswith("TFLOP/s")
  assert 0 < float(said["MFU of the measured rate"])
  assert said["memory of a step, planned"].endswith("not measured here")
  assert 0 < float(said["of it reading weights and cache"])
