"""Processes of one run on this machine: what a test starts twice."""

import os
import socket
import subprocess
import sys

HEAD = """
import sys
import jax
host, hosts, port = (int(x) for x in sys.argv[1:4])
if hosts > 1:
  jax.distributed.initialize(f"127.0.0.1:{port}", hosts, host)
"""


def free_port() -> int:
  """A port of this machine that nobody listens on."""
  with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    return free.getsockname()[1]


def run_hosts(root, code, hosts, devices, arguments=(), timeout=240):
  """Runs code in `hosts` processes of `devices` CPU devices each.

  code sees `host`, `hosts` and, in sys.argv[4:], the arguments. Returns what
  each has printed; AssertionError with the output of one that failed.
  """
  port = free_port()
  environment = os.environ | {
    "JAX_PLATFORMS": "cpu",
    # The last of two flags counts.
    "XLA_FLAGS": os.environ["XLA_FLAGS"]
    + f" --xla_force_host_platform_device_count={devices}",
    "PYTHONPATH": str(root),
  }
  started = [
    subprocess.Popen(
      [sys.executable, "-c", HEAD + code]
      + [str(x) for x in (host, hosts, port, *arguments)],
      env=environment,
      stdout=subprocess.PIPE,
      stderr=subprocess.PIPE,
      text=True,
    )
    for host in range(hosts)
  ]
  try:
    found = [process.communicate(timeout=timeout) for process in started]
  finally:
    for process in started:
      process.kill()
  for process, (_, err) in zip(started, found):
    assert process.returncode == 0, err[-3000:]
  return [out for out, _ in found]
