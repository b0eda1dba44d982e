"""Plans: costs counted from compiled programs, and what a config needs."""

import json
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from alignjax import build
from alignjax.cli import main
from alignjax.plan import chips, costs, hlo, search
from alignjax.plan.measure import TooLarge, measure
from alignjax.plan.programs import Job, jobs

DEPTH, SIZE, ROWS = 7, 64, 32


def counted(function, *arguments):
  compiled = jax.jit(function).lower(*arguments).compile()
  return costs.costs(hlo.program(compiled.as_text()))


def layers(x, weights):
  return jax.lax.scan(lambda x, w: (jnp.tanh(x @ w), None), x, weights)[0]


def shapes(*sizes):
  return [jax.ShapeDtypeStruct(s, jnp.float32) for s in sizes]


def test_every_round_of_a_loop_counts():
  x, w = shapes((ROWS, SIZE), (DEPTH, SIZE, SIZE))
  found = counted(layers, x, w)
  assert found.flops == DEPTH * 2 * ROWS * SIZE * SIZE
  assert not found.unknown
  # Each layer reads its own weights, not the stack.
  assert found.memory < 4 * 4 * DEPTH * (SIZE * SIZE + 4 * ROWS * SIZE)
  assert found.memory > 4 * DEPTH * SIZE * SIZE


def test_a_gradient_is_three_products():
  x, w = shapes((ROWS, SIZE), (DEPTH, SIZE, SIZE))
  grad = jax.grad(lambda x, w: layers(x, w).sum(), argnums=(0, 1))
  assert counted(grad, x, w).flops == 3 * DEPTH * 2 * ROWS * SIZE * SIZE


def test_products_of_several_axes():
  a, b = shapes((3, 5, 7, 11), (3, 7, 11, 13))
  found = counted(lambda a, b: jnp.einsum("bxij,bijy->bxy", a, b), a, b)
  assert found.flops == 2 * 3 * 5 * 7 * 11 * 13


def test_a_convolution_counts_no_padding():
  x, k = shapes((2, 5, 3), (3, 3, 4))
  found = counted(
    lambda x, k: jax.lax.conv_general_dilated(
      x, k, (1,), "SAME", dimension_numbers=("NHC", "HIO", "NHC")
    ),
    x,
    k,
  )
  # 5 places meet 3 taps each, two of the 15 lie in the padding.
  assert found.flops == 2 * 2 * 3 * 4 * 13


def test_collectives_by_kind():
  mesh = jax.make_mesh((8,), ("d",), axis_types=(AxisType.Auto,))
  put = lambda *axes: NamedSharding(mesh, P(*axes))  # noqa: E731
  x, w = shapes((ROWS, SIZE), (SIZE, SIZE))

  def compiled(function, inside, outside):
    run = jax.jit(function, in_shardings=inside, out_shardings=outside)
    text = run.lower(x, w).compile().as_text()
    return costs.costs(hlo.program(text)).collectives

  # Split along what is summed over: every device holds a part of the sum.
  found = compiled(jnp.matmul, (put(None, "d"), put("d")), put())
  assert found == {"all-reduce": (1, 2 * 7 / 8 * 4 * ROWS * SIZE)}
  # Whole weights out of eight parts.
  found = compiled(jnp.matmul, (put("d"), put("d")), put("d"))
  assert found == {"all-gather": (1, 7 / 8 * 4 * SIZE * SIZE)}


TEXT = """HloModule tiny, is_scheduled=true

%body (p: (s32[], bf16[8,128])) -> (s32[], bf16[8,128]) {
  %p = (s32[]{:T(128)}, bf16[8,128]{1,0:T(8,128)(2,1)S(1)}) parameter(0)
  %i = s32[]{:T(128)} get-tuple-element(%p), index=0
  %x = bf16[8,128]{1,0:T(8,128)(2,1)S(1)} get-tuple-element(%p), index=1
  %two = s32[]{:T(128)} constant(2)
  %next = s32[]{:T(128)} add(%i, %two)
  %sent = (bf16[8,128], bf16[8,128], u32[]) collective-permute-start(%x)
  %got = bf16[8,128]{1,0:S(1)} collective-permute-done(%sent)
  ROOT %out = (s32[], bf16[8,128]) tuple(%next, %got)
}

%condition (q: (s32[], bf16[8,128])) -> pred[] {
  %q = (s32[]{:T(128)}, bf16[8,128]{1,0:T(8,128)(2,1)S(1)}) parameter(0)
  %j = s32[]{:T(128)} get-tuple-element(%q), index=0
  %ten = s32[]{:T(128)} constant(10)
  ROOT %less = pred[]{:T(512)} compare(%j, %ten), direction=LT
}

ENTRY %main (a: bf16[8,128]) -> bf16[8,128] {
  %a = bf16[8,128]{1,0:T(8,128)(2,1)S(1)} parameter(0)
  %zero = s32[]{:T(128)} constant(0)
  %start = (s32[], bf16[8,128]) tuple(%zero, %a)
  %loop = (s32[], bf16[8,128]) while(%start), condition=%condition, body=%body
  ROOT %end = bf16[8,128]{1,0} get-tuple-element(%loop), index=1
}
"""


def test_rounds_are_read_from_the_condition():
  """A TPU's program says no trip count; its loops may take two steps a
  round."""
  found = costs.costs(hlo.program(TEXT))
  assert found.collectives == {"collective-permute": (5, 5 * 2 * 8 * 128)}
  assert not found.unknown


def test_a_loop_of_unknown_length_is_told():
  limit = "get-tuple-element(%q), index=0"
  found = costs.costs(hlo.program(TEXT.replace("constant(10)", limit)))
  assert found.unknown == ("loop",)


# ruff: noqa: E501
NESTED = """HloModule nested, is_scheduled=true

%slice (p: bf16[32,8,128], k: s32[]) -> bf16[1,8,128] {
  %p = bf16[32,8,128]{2,1,0} parameter(0)
  %k = s32[] parameter(1)
  %zero = s32[] constant(0)
  ROOT %one = bf16[1,8,128]{2,1,0} dynamic-slice(%p, %k, %zero, %zero), dynamic_slice_sizes={1,8,128}
}

%negated (a: bf16[32,8,128], l: s32[]) -> bf16[1,8,128] {
  %a = bf16[32,8,128]{2,1,0} parameter(0)
  %l = s32[] parameter(1)
  %row = bf16[1,8,128]{2,1,0} fusion(%a, %l), kind=kLoop, calls=%slice
  ROOT %less = bf16[1,8,128]{2,1,0} negate(%row)
}

ENTRY %main (x: bf16[32,8,128], i: s32[]) -> bf16[1,8,128] {
  %x = bf16[32,8,128]{2,1,0} parameter(0)
  %i = s32[]{:S(6)} parameter(1)
  ROOT %y = bf16[1,8,128]{2,1,0} fusion(%x, %i), kind=kLoop, calls=%negated
}
"""
CARRIED = """HloModule carried, is_scheduled=true

%meanwhile (p: bf16[1,128], q: bf16[16,128], r: bf16[8,128]) -> (bf16[16,128], bf16[8,128]) {
  %p = bf16[1,128]{1,0} parameter(0)
  %q = bf16[16,128]{1,0} parameter(1)
  %r = bf16[8,128]{1,0} parameter(2)
  %all = bf16[16,128]{1,0} all-gather(%p), channel_id=1, replica_groups=[1,16]<=[16], dimensions={0}
  %less = bf16[8,128]{1,0} negate(%r)
  ROOT %out = (bf16[16,128]{1,0}, bf16[8,128]{1,0}) tuple(%all, %less)
}

ENTRY %main (a: bf16[1,128], b: bf16[16,128], c: bf16[8,128]) -> (bf16[16,128], bf16[8,128]) {
  %a = bf16[1,128]{1,0} parameter(0)
  %b = bf16[16,128]{1,0} parameter(1)
  %c = bf16[8,128]{1,0} parameter(2)
  ROOT %d = (bf16[16,128]{1,0}, bf16[8,128]{1,0}) fusion(%a, %b, %c), kind=kCustom, output_to_operand_aliasing={{0}: (1, {})}, calls=%meanwhile
}
"""


def test_a_nested_fusion_reads_its_slice():
  found = costs.costs(hlo.program(NESTED))
  assert found.memory == 2 * 8 * 128 * 2


def test_a_gathered_buffer_is_handed_through():
  """What is gathered lies in b already, here only negated beside."""
  found = costs.costs(hlo.program(CARRIED))
  assert found.memory == (1 + 8 + 8) * 128 * 2
  assert found.network == 15 * 128 * 2


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
  # Forward, once more in the backward pass, and two products there.
  assert saved == 4 * 2 * 8 * 128 * 128 * 264


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
  assert said[-1].endswith("accumulate=4 --config.model.remat=none")


def test_what_never_fits(capsys, monkeypatch):
  def step(*_):
    raise TooLarge("train step does not fit: a device would need 3 GiB.")

  monkeypatch.setattr(search, "train_step", step)
  argv = ["plan", "--config", "configs/sft.py:tiny", "--config.mesh=1,1,1"]
  assert main([*argv, "--fit"]) == 1
  assert "error: train step does not fit" in capsys.readouterr().err
  assert main([*argv, "--scaling", "--topology=cpu:8"]) == 1
  assert "--scaling is of v5e, v6e, v5p" in capsys.readouterr().err


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
from alignjax.plan.programs import Job, jobs
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
  found = costs.costs(hlo.program(done.stdout))
  assert found.flops and found.collectives and not found.unknown
  # A device has 4 rows, 4 heads, a block of 128 · 128; 4 layers, forward twice.
  splash = (2 + 2 + 5) * 2 * 128**3 * 4 * 4 * 4
  plain = costs.costs(hlo.program(done.stdout.replace("splash_mha", "other")))
  assert found.flops - plain.flops == splash
