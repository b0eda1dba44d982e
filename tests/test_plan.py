"""Plans: what a config needs, and what is said of it."""

import json
import os
import subprocess
import sys

import jax
import pytest

from alignjax import build
from alignjax.cli import main
from alignjax.plan import chips, costs, hlo, search
from alignjax.plan.measure import TooLarge, measure
from alignjax.plan.programs import Job, jobs
from configs import sft


def planned(tmp_path, *argv):
  out = tmp_path / "plan.json"
  assert main(["plan", *argv, "--out", str(out)]) == 0
  return {p["name"]: p for p in json.loads(out.read_text())["programs"]}


@pytest.fixture(autouse=True)
def environment(monkeypatch):
  """The devices of this process are there already."""
  monkeypatch.setattr(chips, "prepare", lambda topology: None)


def test_a_plan_of_pairs(tmp_path, capsys):
  """Memory of what stands between calls is exact; a step is told whole."""
  argv = ["--config", "configs/dpo.py:tiny", "--config.mesh=1,8,1"]
  found = planned(tmp_path, *argv, "--prompt=64")
  assert list(found) == ["reference pass", "train step"]
  step = found["train step"]
  # Pairs of two rows of data.max_length.
  assert step["tokens"] == 8 * 2 * 256
  parts = step["memory"]["parts"]
  assert parts["moments"] == pytest.approx(2 * parts["parameters"], rel=0.01)
  assert step["memory"]["arguments"] > sum(parts.values())
  assert step["flops"] > 3 * found["reference pass"]["flops"]
  said = capsys.readouterr().out
  assert "train step" in said and "memory at the peak" in said


def test_more_prompt_is_less_to_read_out(tmp_path):
  argv = ["--config", "configs/sft.py:tiny", "--config.mesh=1,1,1"]
  whole = planned(tmp_path, *argv)["train step"]
  half = planned(tmp_path, *argv, "--prompt=128")["train step"]
  saved = whole["flops"] - half["flops"]
  # Forward, and two products more for the gradients.
  assert saved == 3 * 2 * 8 * 128 * 128 * 264


def test_a_plan_of_rollouts(tmp_path):
  argv = ["--config", "configs/ppo.py:tiny", "--config.mesh=1,1,1"]
  found = planned(tmp_path, *argv)
  assert list(found) == ["sampling", "experience", "train step"]
  for program in found.values():  # moments stand there while tokens are drawn
    parts = program["memory"]["parts"]
    assert parts["moments"] and program["memory"]["peak"] > sum(parts.values())


@pytest.mark.parametrize(
  ("argv", "said"),
  [
    (["--topology=v7:4x4"], "v5e, v5p, v6e"),
    (["--topology=v5e:4"], "v5e:4x4"),
    (["--prompt=256"], "Give 0 to 255"),
    (["--config.data.packing=100"], "Raise data.packing"),
  ],
)
def test_what_has_no_plan(argv, said, capsys):
  argv = ["plan", "--config", "configs/sft.py:tiny", *argv]
  assert main(argv) == 1
  assert said in capsys.readouterr().err


def lines(capsys, *argv):
  assert main(["plan", "--config", "configs/sft.py:tiny", *argv]) == 0
  return capsys.readouterr().out.splitlines()


def test_what_fits_and_multiplies_least(capsys, monkeypatch):
  """Nothing made twice does not fit in one go; in two it does."""
  measured, tried = search.train_step, []

  def step(config, *rest):
    ways = config.train.accumulate, config.model.remat
    tried.append(ways)
    if ways in ((1, "none"), (1, "dots"), (2, "none")):
      raise TooLarge("Too large.")
    return measured(config, *rest)

  monkeypatch.setattr(search, "train_step", step)
  said = lines(capsys, "--config.mesh=2,1,1", "--fit")
  # `none` is tried until it fits, and then nothing is made twice any more.
  assert tried == [
    (1, "none"),
    (1, "dots"),
    (1, "full"),
    (2, "none"),
    (2, "dots"),
    (4, "none"),
  ]
  assert said[0].endswith("remat=none: does not fit")
  assert said[-1].startswith("fastest of what fits:")
  # What `dots` makes twice is no product.
  assert said[-1].endswith("accumulate=2 --config.model.remat=dots")


def test_what_never_fits(capsys, monkeypatch):
  def step(*_):
    raise TooLarge("train step does not fit: a device would need 3 GiB.")

  monkeypatch.setattr(search, "train_step", step)
  argv = ["plan", "--config", "configs/sft.py:tiny", "--config.mesh=1,1,1"]
  assert main([*argv, "--fit"]) == 1
  assert "error: train step does not fit" in capsys.readouterr().err
  assert main([*argv, "--scaling", "--topology=cpu:8"]) == 1
  assert "--scaling is of v5e, v6e, v5p" in capsys.readouterr().err


def test_a_mesh_that_divides_no_slice(monkeypatch):
  aim = chips.Target([None] * 8, chips.TPUS["v5e"])
  monkeypatch.setattr(search, "target", lambda topology: aim)
  config = sft.get_config("tiny")
  config.mesh = (1, 3, 1)
  with pytest.raises(ValueError, match=r"mesh = \(1, 3, 1\) divides no slice"):
    search.scaling(config, "v5e:2x4", 0, print)


def test_a_program_that_does_not_fit_is_told(monkeypatch):
  """The compiler's own words, and what to change."""

  class Full:
    def compile(self):
      raise jax.errors.JaxRuntimeError(
        "RESOURCE_EXHAUSTED: Ran out of memory on HBM, the total memory "
        "required for HLO temporaries (36.10G) exceeds available HBM (15.75G)."
      )

  class Step:
    def lower(self):
      return Full()

  job = Job("train step", Step(), (), {}, tokens=1, devices=1)
  aim = chips.Target([], chips.TPUS["v5e"])
  with pytest.raises(
    TooLarge, match="has 14.90 GiB, and .* 36.10 GiB within"
  ) as error:
    measure(job, aim)
  assert "--config.train.accumulate" in str(error.value)


def test_what_cannot_be_done_without(tiny):
  """By hand: 2 for a weight and token, 4 for a pair that meets; thrice."""
  config = tiny(mesh=(1, 1, 1), train__batch=4, data__max_length=64)
  job = jobs(config, build.placement(config))[-1]
  c = job_config(config)
  width, heads = c.width, c.heads * c.head_size
  kernels = c.depth * (
    2 * width * heads
    + 2 * width * c.kv_heads * c.head_size
    + (3 if c.gated else 2) * width * c.hidden
  )
  met = sum(
    sum(min(t + 1, window or 64) for t in range(64)) for window in c.windows
  )
  read = c.width * c.vocab * 64  # places of the readout
  once = 4 * (2 * kernels * 64 + 2 * read + 4 * heads * met)
  assert job.useful == 3 * once


def job_config(config):
  return build.outline(config, build.placement(config))[0].config


TPU = """
import sys
from alignjax.options import read
config, _ = read("plan", sys.argv[1:])
from alignjax.plan import chips
chips.prepare("v5e:2x2")
from alignjax import build
from alignjax.plan.programs import jobs
target = chips.target("v5e:2x2")
place = build.placement(config, target.devices)
print(jobs(config, place)[-1].lower().compile().as_text())
"""


def test_a_tpu_runs_splash_and_gathers_nothing_twice(root):
  """The compiler of a TPU that is not here."""
  pytest.importorskip("libtpu", reason="no TPU compiler: alignjax[plan]")
  done = subprocess.run(
    [sys.executable, "-c", TPU, "--config=configs/sft.py:tiny"]
    + ["--config.mesh=1,2,2", "--config.data.max_length=128"],
    cwd=root,
    env=os.environ | {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": ""},
    capture_output=True,
    text=True,
    timeout=300,
  )
  assert done.returncode == 0, done.stderr[-2000:]
  assert "splash_mha_fwd" in done.stdout and "splash_mha_dkv" in done.stdout
  assert "nvoluntary full remat" not in done.stderr
  found = costs.costs(hlo.program(done.stdout), 1)  # of the readout's loop
  assert found.flops and found.collectives and not found.unknown
  # A device has 4 rows, 4 heads, a block of 128 · 128; 4 layers.
  splash = (2 + 5) * 2 * 128**3 * 4 * 4 * 4
  others = done.stdout.replace("splash_mha", "other")
  plain = costs.costs(hlo.program(others), 1)
  assert found.flops - plain.flops == splash
