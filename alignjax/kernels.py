"""Attention kernels by backend: which one a mesh's devices run, and why."""

from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec as P

from alignjax.ops.attention import KEPT, attend
from alignjax.sharding import ROWS, Placement

KERNELS = ("auto", "xla", "splash")
LANES = 128  # what sizes of a TPU kernel are multiples of
BLOCK = 512  # queries and keys of a block
LONG = 8192  # tokens of a row whose gradients are summed in larger blocks
LOGITS = 64 * 2**20  # bytes of a chunk's logits on a device
# Without these v5p and v6e wait for each gathered parameter.
ASYNC = {
  "xla_tpu_enable_async_collective_fusion": "true",
  "xla_tpu_enable_async_collective_fusion_fuse_all_gather": "true",
  "xla_tpu_enable_async_collective_fusion_multiple_steps": "true",
  "xla_enable_async_all_gather": "true",
}


def chosen(place: Placement, name: str = "auto"):
  """(attention of `ops.attention.attend`'s signature, why it is this one).

  "splash" is the TPU's flash attention with segment ids (Dao et al. 2022, by
  jax's Pallas kernels): no array of scores is in memory. It takes whole rows of
  documents; where there are earlier tokens (decoding) or documents that
  continue others (shared prompts), `attend` is used.

  Raises ValueError for a kernel there is not.
  """
  if name not in KERNELS:
    raise ValueError(
      f"model.attention = {name!r} is unknown; one of {', '.join(KERNELS)}."
    )
  platform = place.mesh.devices.flat[0].platform
  if name == "splash" and platform != "tpu":
    raise ValueError(
      f"model.attention = 'splash' is a TPU's kernel; these are {platform} "
      "devices.\nSet model.attention=auto."
    )
  if name == "xla" or platform != "tpu":
    why = "as asked for" if name == "xla" else f"on {platform}"
    return attend, f"attention: xla, in blocks ({why})"
  return partial(splash, place), "attention: splash (tpu)"


def readout_chunk(place: Placement, rows: int, vocab: int) -> int:
  """Tokens of a row whose logits exist at one time.

  On a CPU 32, which its caches hold, 64 of a single row; elsewhere as many as
  keep the logits of `rows` rows, [rows, chunk, vocab] over all devices, within
  LOGITS on each.
  """
  if place.mesh.devices.flat[0].platform == "cpu":
    return max(32, 64 // max(rows, 1))
  most = LOGITS * place.mesh.size // (4 * rows * vocab)
  return min(1024, 1 << max(5, most.bit_length() - 1))


def branches(place: Placement) -> bool:
  """Whether an update that may be skipped is a branch, of `make_train_step`.

  On a CPU it halves the update's time; a TPU's traffic of memory grows by it.
  """
  return place.mesh.devices.flat[0].platform == "cpu"


def compiler_options(place: Placement) -> dict[str, str] | None:
  """Options of the compiler for a training step on a mesh."""
  kind = place.mesh.devices.flat[0].device_kind
  return ASYNC if kind in ("TPU v5", "TPU v5p", "TPU v6 lite") else None


def splash(
  place: Placement,
  queries,
  keys,
  values,
  positions,
  documents,
  past,
  parents=None,
  *,
  window: int,
  scale: float,
  softcap: float,
  interpret: bool = False,
):
  """`ops.attention.attend` by splash attention, each device its rows and heads.

  Of two tokens of one document the earlier stands before the later, so
  positions say nothing that places do not.
  """
  apart = queries.shape[0] % place.row_multiple  # rows that do not divide
  if past is not None or parents is not None or apart:
    return attend(
      *(queries, keys, values, positions, documents, past, parents),
      window=window,
      scale=scale,
      softcap=softcap,
    )
  L, N = queries.shape[1], queries.shape[-1]
  block = BLOCK if L >= BLOCK else LANES
  longer, wider = -L % block, -N % LANES
  queries = (queries * scale).swapaxes(1, 2)
  if place.activations["key"] != place.activations["query"]:
    # Heads that are split read keys that are not: each takes its own.
    times = queries.shape[1] // keys.shape[1]
    keys, values = (jnp.repeat(x, times, 1) for x in (keys, values))
  pads = ((0, 0), (0, 0), (0, longer), (0, wider))
  queries, keys, values = (jnp.pad(x, pads) for x in (queries, keys, values))
  documents = jnp.pad(documents, ((0, 0), (0, longer)))
  heads = place.activations["query"][2]
  ways = place.mesh.shape[heads] if heads else 1
  kernel = _kernel(
    queries.shape[1] // ways, L + longer, block, window, softcap, interpret
  )
  segments = _module()[0].SegmentIds

  def local(q, k, v, ids):
    one = lambda q, k, v, i: kernel(q, k, v, segment_ids=segments(i, i))  # noqa: E731
    return jax.vmap(one)(q, k, v, ids)

  split = P(ROWS, heads, None, None)
  out = jax.shard_map(
    local,
    mesh=place.mesh,
    in_specs=(split, split, split, P(ROWS, None)),
    out_specs=split,
    check_vma=False,
  )(queries, keys, values, documents)
  return out[:, :, :L, :N].swapaxes(1, 2)


def _module():
  from jax.experimental.pallas.ops.tpu.splash_attention import (
    splash_attention_kernel,
    splash_attention_mask,
  )

  return splash_attention_kernel, splash_attention_mask


@lru_cache
def _kernel(
  heads: int,
  length: int,
  block: int,
  window: int,
  softcap: float,
  interpret: bool,
):
  """The kernel of one row; its masks are made once, on the host."""
  kernels, masks = _module()
  shape = (length, length)
  mask = (
    masks.LocalMask(shape, (window - 1, 0), 0)
    if window
    else (masks.CausalMask(shape))
  )
  # The backward pass keeps a part of the queries' gradient for each block of
  # keys: long rows have larger ones, gone through in steps.
  wide = block * (4 if length % (4 * block) == 0 and length >= LONG else 1)
  sizes = kernels.BlockSizes(
    block_q=block,
    block_kv=block,
    block_q_dkv=block,
    block_kv_dkv=wide,
    block_kv_dkv_compute=block,
    use_fused_bwd_kernel=True,
  )

  def make():
    return kernels.make_splash_mha(
      masks.MultiHeadMask([mask] * heads),
      block_sizes=sizes,
      head_shards=1,
      q_seq_shards=1,
      attn_logits_soft_cap=softcap or None,
      residual_checkpoint_name=KEPT,
      interpret=interpret,
    )

  # It is kept, so its arrays may not be of the trace that asks: traces are of
  # a thread.
  with ThreadPoolExecutor(1) as other:
    return other.submit(make).result()
