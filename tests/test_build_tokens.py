"""Data of several hosts: real processes of four devices each."""

import json
import os
import socket
import subprocess
import sys

import jax
import numpy as np
import pytest

from alignjax import build
from alignjax.data.tokenizer import byte_tokenizer
from alignjax.models.presets import preset
from configs import common, sft

HOST = """
import sys
from functools import partial
from pathlib import Path

import jax
import numpy as np

port, hosts, host, source, folder, out = sys.argv[1:]
hosts, host = int(hosts), int(host)
jax.distributed.initialize(f"127.0.0.1:{port}", hosts, host)

from alignjax import build, sharding
from alignjax.build import tokens
from alignjax.data import loader, tokenise
from test_build_tokens import config_of, data_of

tokens.BEAT_S = 0.0  # a beat a chunk
tokenise.CHUNK = 5
collated = []
collate = loader.collate
def counted(rows, *shape):
  collated.append(len(rows))
  return collate(rows, *shape)
loader.collate = counted

try:
  config = config_of(source)
  place = build.placement(config)
  data = data_of(config, place, Path(folder))
except Exception as error:
  print(f"{type(error).__name__}: {error}")
  sys.exit(3)
found = {}
for step in range(3):
  batch = sharding.put_rows(
    partial(data.train.batch, step), data.train.size, place.rows
  )
  for name, x in enumerate(jax.tree.leaves(batch)):
    for shard in x.addressable_shards:
      found[f"{step}/{name}/{shard.index[0].start}"] = shard.data
assert collated == [8 // hosts] * 3, collated
np.savez(out, **found)
"""


def config_of(source):
  config = sft.get_config("tiny")
  config.mesh = (8, 1, 1)
  config.data.eval.path = ""
  config.data.train = common.mixture(
    a=common.source(source, "train", weight=1.0),
    b=common.source("suite", "train", limit=40, weight=2.0),
  )
  return config.lock()


def data_of(config, place, folder=None):
  return build.data(
    config, byte_tokenizer(), preset("tiny"), place, cache=folder
  )


def run(tmp_path, root, sources, folders):
  """(status, output) of each of two hosts, and the files they wrote."""
  with socket.socket() as s:
    s.bind(("127.0.0.1", 0))
    port = s.getsockname()[1]
  environment = os.environ | {
    "XLA_FLAGS": "--xla_force_host_platform_device_count=4",
    "PYTHONPATH": f"{root}{os.pathsep}{root / 'tests'}",
  }
  outs = [tmp_path / f"host{i}.npz" for i in range(2)]
  hosts = [
    subprocess.Popen(
      [sys.executable, "-c", HOST]
      + [str(x) for x in (port, 2, i, sources[i], folders[i], outs[i])],
      env=environment,
      stdout=subprocess.PIPE,
      stderr=subprocess.STDOUT,
      text=True,
    )
    for i in range(2)
  ]
  found = []
  for host in hosts:
    try:
      text = host.communicate(timeout=90)[0]
    except subprocess.TimeoutExpired:
      host.kill()
      text = host.communicate()[0]
    found.append((host.returncode, text[-3000:]))
  return found, outs


@pytest.fixture
def source(tmp_path):
  file = tmp_path / "rows.jsonl"
  write(file, range(12))
  return file


def write(file, numbers):
  rows = [{"prompt": f"{i}?", "completion": str(i * i)} for i in numbers]
  file.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.mark.parametrize("shared", [True, False])
def test_two_hosts_see_the_batches_of_one(tmp_path, root, source, shared):
  folders = [tmp_path / ("cache" if shared else f"cache{i}") for i in range(2)]
  found, outs = run(tmp_path, root, [source] * 2, folders)
  assert [status for status, _ in found] == [0, 0], found
  entries = sorted(p.name for p in folders[0].iterdir())
  assert len(entries) == 2 and not any(e.startswith(".") for e in entries)
  config = config_of(str(source))
  data = data_of(config, build.placement(config))
  held = [np.load(out) for out in outs]
  seen = [set(h) for h in held]
  assert not seen[0] & seen[1]  # each row was made by one host
  for step in range(3):
    for name, values in enumerate(jax.tree.leaves(data.train[step])):
      for b in range(8):
        (own,) = [h for h in held if f"{step}/{name}/{b}" in h]
        got = own[f"{step}/{name}/{b}"]
        np.testing.assert_array_equal(got, values[b : b + 1])


def test_hosts_that_differ_or_fail_stop_together(tmp_path, root, source):
  other = tmp_path / "other" / "rows.jsonl"
  other.parent.mkdir()
  write(other, range(1, 13))
  folders = [tmp_path / f"cache{i}" for i in range(2)]
  found, _ = run(tmp_path, root, [source, other], folders)
  for status, text in found:
    assert status == 3, found
    assert "data.train/a: hosts [1] hold other rows than host 0" in text
    assert "data.cache" in text
  missing = tmp_path / "missing.jsonl"
  found, _ = run(tmp_path, root, [missing, source], folders)
  assert [status for status, _ in found] == [3, 3], found
  assert "FileNotFoundError" in found[0][1]
  assert "Host 0: FileNotFoundError: no such file" in found[1][1]
