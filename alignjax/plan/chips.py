"""Published figures of accelerators, and devices to compile for."""

import os
import re
from typing import NamedTuple

import jax


class Chip(NamedTuple):
  """flops: bf16 products a second, dense. memory: bytes. bandwidth: of the
  memory, bytes a second. network: bytes a second that a chip sends to its
  neighbours, one way, all links together.
  """

  name: str
  flops: float
  memory: float
  bandwidth: float
  network: float


# Google Cloud, "TPU v5e", "TPU v5p", "TPU v6e" (system architecture tables):
# peak compute bf16, HBM capacity and bandwidth, interchip interconnect (1600,
# 4800, 3584 Gbit/s).
TPUS = {
  "v5e": Chip("TPU v5e", 197e12, 16e9, 819e9, 200e9),
  "v5p": Chip("TPU v5p", 459e12, 95e9, 2765e9, 600e9),
  "v6e": Chip("TPU v6e", 918e12, 32e9, 1640e9, 448e9),
}
# NVIDIA's data sheets of the SXM parts: BF16 tensor core without sparsity,
# memory, its bandwidth, NVLink (both ways, halved).
GPUS = {
  "A100": Chip("A100", 312e12, 80e9, 2039e9, 300e9),
  "H100": Chip("H100", 989e12, 80e9, 3350e9, 450e9),
  "H200": Chip("H200", 989e12, 141e9, 4800e9, 450e9),
}
# What the plug-in wants to know of a topology beside its name.
HOSTS = {
  "v5p": {
    "chip_config_name": "megacore",
    "chips_per_host_bounds": (2, 2, 1),
  }
}


class Target(NamedTuple):
  """Devices to compile for, and what they are."""

  devices: list
  chip: Chip | None


def prepare(topology: str) -> None:
  """Sets what must be set before jax looks for devices."""
  if not topology:
    return
  os.environ["JAX_PLATFORMS"] = "cpu"
  if topology.startswith("cpu"):
    flags = os.environ.get("XLA_FLAGS", "")
    count = int(topology.partition(":")[2] or 1)
    os.environ["XLA_FLAGS"] = (
      f"{flags} --xla_force_host_platform_device_count={count}"
    )
    return
  # The plug-in asks no metadata server, and says only what is fatal.
  for name, value in (
    ("TPU_SKIP_MDS_QUERY", "1"),
    ("TPU_WORKER_HOSTNAMES", "localhost"),
    ("TPU_MIN_LOG_LEVEL", "3"),
    ("TPU_STDERR_LOG_LEVEL", "3"),
    ("ALLOW_MULTIPLE_LIBTPU_LOAD", "1"),
  ):
    os.environ.setdefault(name, value)


def check(topology: str) -> None:
  """Raises ValueError for a name that is no topology."""
  kind, _, shape = topology.partition(":")
  cpu = kind == "cpu" and re.fullmatch(r"\d*", shape)
  tpu = kind in TPUS and re.fullmatch(r"\d+(x\d+){1,2}", shape)
  if topology and not cpu and not tpu:
    raise ValueError(
      f"--topology={topology} is unknown.\nGive cpu:8, or one of "
      f"{', '.join(TPUS)} with its shape: v5e:4x4, v5p:2x2x4; nothing for the "
      "devices that are here."
    )


def target(topology: str) -> Target:
  """The devices of a topology; "" for those that are here.

  Raises ValueError where there is no such topology, ImportError without the
  TPU's compiler.
  """
  kind = topology.partition(":")[0]
  if kind not in TPUS:
    devices = jax.devices()
    here = devices[0].device_kind
    chip = next((c for name, c in GPUS.items() if name in here), None)
    return Target(devices, chip)
  from jax.experimental import topologies

  try:
    found = topologies.get_topology_desc(
      platform="tpu", topology_name=topology, **HOSTS.get(kind, {})
    )
  except Exception as error:
    if "libtpu" in str(error) or "not found" in str(error).lower():
      raise ImportError(
        f"--topology={topology} needs the TPU's compiler, which is not here: "
        "pip install 'alignjax[plan]'."
      ) from None
    raise ValueError(f"--topology={topology}: {error}") from None
  return Target(list(found.devices), TPUS[kind])
