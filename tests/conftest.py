"""Eight CPU devices, and the small things many tests share."""

import os
import sys
import tempfile
from pathlib import Path

# scripts/gpu_check.sh has some tests run on another platform.
PLATFORM = os.environ.get("ALIGNJAX_TEST_PLATFORM", "cpu")
os.environ["JAX_PLATFORMS"] = PLATFORM
# Programs are small and run a few times: what LLVM's passes would save is less
# than the half of a compilation that they take.
# Eight devices on two busy cores may wait long for each other; after 40 s XLA
# would end the process. A device that waits holds a thread, and XLA has one a
# device: none may be left for work that others wait for. NPROC sets how many.
FLAGS = (
  "--xla_force_host_platform_device_count=8",
  "--xla_cpu_collective_call_terminate_timeout_seconds=600",
  "--xla_backend_optimization_level=0",
)
if PLATFORM == "cpu":
  os.environ.setdefault("NPROC", "32")
  os.environ["XLA_FLAGS"] = " ".join((os.environ.get("XLA_FLAGS", ""), *FLAGS))
# A program that several tests need is compiled once: in a session, or for good
# where JAX_COMPILATION_CACHE_DIR is set.
CACHE = tempfile.TemporaryDirectory(prefix="alignjax-tests-")
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", CACHE.name)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.3")
ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # configs/ is imported as `configs`

import jax  # noqa: E402
import numpy as np  # noqa: E402
import pytest  # noqa: E402

from alignjax.data.loader import collate  # noqa: E402
from alignjax.models.config import ModelConfig  # noqa: E402
from alignjax.models.lm import LM  # noqa: E402
from alignjax.types import Row  # noqa: E402

# Files that take longest come first, so that no process begins one of them when
# the others have nothing left.
FIRST = (
  "crash rollout_mesh commands configs rollout loop shift evals_packing "
  "hosts_cli leave_one_out hosts evaluate_hosts launchers resume"
).split()


def pytest_collection_modifyitems(items):
  place = {f"test_{name}.py": i for i, name in enumerate(FIRST)}
  items.sort(key=lambda item: place.get(item.path.name, len(place)))


@pytest.fixture(scope="session")
def root():
  """The folder of the repository."""
  return ROOT


@pytest.fixture(scope="session")
def small():
  """A model of two periods (local, global) and a tail, with soft-caps."""
  return ModelConfig(
    family="gemma2",
    vocab=40,
    width=16,
    depth=5,
    heads=4,
    kv_heads=2,
    head_size=8,
    hidden=24,
    max_length=64,
    windows=(4, 0, 4, 0, 4),
    attention_softcap=5.0,
    final_softcap=8.0,
    norm_place="both",
    qk_norm="head",
    eos=(1,),
  )


@pytest.fixture(scope="session")
def lm(small):
  return LM(small, chunk=5)


@pytest.fixture(scope="session")
def draw():
  """(lm, seed) → parameters so large that every layer counts; no compiling."""

  def params(lm, seed=0):
    numbers = np.random.default_rng(seed)

    def one(path, x):
      found = numbers.normal(0, 0.2, x.shape)
      return np.float32(found + (path[-1].key == "scale"))

    return jax.tree_util.tree_map_with_path(one, lm.shapes())

  return params


@pytest.fixture(scope="session")
def params(lm, draw):
  return draw(lm)


@pytest.fixture(scope="session")
def ragged():
  """Eight rows of 3 to 16 tokens with 1 to 9 trained ones, padded."""
  draw = np.random.default_rng(0)
  rows = []
  for i, n in enumerate((16, 3, 9, 4, 12, 16, 5, 7)):
    completions = np.zeros(n, np.int32)
    completions[-(1 + i % (n - 1)) :] = 1
    tokens = draw.integers(2, 40, n).astype(np.int32)
    rows.append(Row(tokens, completions, f"row[{i}]"))
  return collate(rows, 16, 9)


@pytest.fixture(scope="session")
def tiny():
  """`configs/sft.py:tiny` as a function of further words and values."""
  from configs import sft

  def get(*words, **values):
    config = sft.get_config(",".join(("tiny", *words)))
    config.update_from_flattened_dict(
      {
        "log.tensorboard": False,
        **{k.replace("__", "."): v for k, v in values.items()},
      }
    )
    return config.lock()

  return get
