"""Costs counted from compiled programs, and from the text of small ones."""
# ruff: noqa: E501

import jax
import jax.numpy as jnp
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from alignjax.plan import costs, hlo

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


SPLASH = """HloModule m
ENTRY %main (a: s8[1,{q},{k}], b: f32[2,8,8192,128]) -> f32[2,8,8192,128] {{
  %a = s8[1,{q},{k}]{{2,1,0}} parameter(0)
  %b = f32[2,8,8192,128]{{3,2,1,0}} parameter(1)
  ROOT %splash_mha_{kind} = f32[2,8,8192,128]{{3,2,1,0}} custom-call(%a, %a, %b, %b, %b), custom_call_target="tpu_custom_call"
}}
"""


def test_splash_counts_the_blocks_it_visits():
  """16 blocks of 512 queries: of as many of keys, or of 4 of 2,048."""

  def share(kind, q, k, products):
    text = SPLASH.format(kind=kind, q=q, k=k)
    found = costs.costs(hlo.program(text)).flops
    return found / (products * 2 * 2 * 8 * 8192 * 8192 * 128)

  assert share("fwd_residuals.1", 16, 16, 2) == 136 / 256
  assert share("dkv_residuals.1", 16, 16, 5) == 136 / 256
  assert share("dkv_residuals.1", 16, 4, 5) == 160 / 256
  # A window of two blocks: two of keys for each of queries, but for the first.
  assert share("fwd_residuals.1", 16, 2, 2) == 31 / 256
