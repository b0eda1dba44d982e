"""What must lie in a step's folder: a manifest a host, and one commit marker.

A manifest gives size and sha256 of the files that its host wrote; the marker
gives the step and the sha256 of every manifest. So each file is bound to its
place in its step, and a step without the marker is not a checkpoint.
"""

import json
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from etils import epath

from alignjax.checkpoint import files

COMMIT = "COMMIT"
THREADS = 4  # that hash; more do not help one disk


def measure(folder: epath.Path, host: int) -> dict[str, list]:
  """File → [bytes, sha256] of the files of a step that a host wrote."""
  mine = [n for n in files.names(folder) if _writer(n) == host]
  with ThreadPoolExecutor(THREADS) as pool:
    found = pool.map(lambda n: _measured(folder / n), mine)
    return dict(zip(mine, found))


def write(folder: epath.Path, host: int, found: Mapping[str, list]) -> str:
  """Writes a host's manifest; its sha256."""
  path = folder / _name(host)
  files.write(path, json.dumps(found, indent=1) + "\n")
  return files.sha256(path)


def commit(folder: epath.Path, digests: Sequence[str]) -> None:
  """Writes the marker; `digests` of the manifests, in the order of hosts.

  Raises OSError where the manifests do not name the files that are there.
  """
  hosts = range(len(digests))
  listed = [*map(_name, hosts), *(n for h in hosts for n in _read(folder, h))]
  there = files.names(folder)
  if sorted(listed) != there:
    odd = sorted(set(listed) ^ set(there)) or ["a file in two manifests"]
    raise OSError(
      f"{folder}: manifests and files differ: {', '.join(odd[:3])}.\n"
      "Every host must see the same folder."
    )
  files.sync(folder.parent)  # the step's name is there before its marker
  files.write(folder / COMMIT, _marker(folder, digests))


def committed(folder: epath.Path) -> bool:
  """Whether a step has its marker, which is written last."""
  return (folder / COMMIT).exists()


def faults(folder: epath.Path, host: int, hosts: int) -> list[str]:
  """Why a committed step is not what was saved; empty where it is.

  Sizes and hashes are checked of every `hosts`-th file, from `host` on, so
  that the hosts of a run share the reading.
  """
  try:
    digests = _commits(folder)
    for i, digest in enumerate(digests):
      if fault := _fault(folder, _name(i), None, digest):
        return [f"{fault} ({COMMIT} names it)"]
    hosts_then = range(len(digests))
    listed = {n: m for i in hosts_then for n, m in _read(folder, i).items()}
    there = set(files.names(folder)) - {COMMIT, *map(_name, hosts_then)}
  except (OSError, ValueError) as error:
    return [str(error)]
  found = [f"{n}: missing" for n in sorted(set(listed) - there)]
  found += [f"{n}: in no manifest" for n in sorted(there - set(listed))]
  mine = sorted(set(listed) & there)[host::hosts]
  with ThreadPoolExecutor(THREADS) as pool:
    told = pool.map(lambda n: _fault(folder, n, *listed[n]), mine)
    return found + [line for line in told if line]


def _fault(folder: epath.Path, name: str, size: int | None, digest: str) -> str:
  try:
    there = (folder / name).stat().length
    if size is not None and there != size:
      return f"{name}: {there} bytes, not {size}"
    if files.sha256(folder / name) != digest:
      return f"{name}: sha256 differs"
  except FileNotFoundError:
    return f"{name}: missing"
  except OSError as error:
    return f"{name}: cannot be read ({error.strerror or error})"
  return ""


def _commits(folder: epath.Path) -> list[str]:
  """sha256 of the manifests, of a marker that is whole."""
  text = (folder / COMMIT).read_bytes().decode("utf-8", "replace")
  try:
    digests = json.loads(text)["manifests"]
    whole = text == _marker(folder, digests)
  except (ValueError, KeyError, TypeError, RecursionError):
    whole = False
  if not whole or not digests:
    raise ValueError(f"{COMMIT}: damaged, or of another step")
  return digests


def _marker(folder: epath.Path, digests: Sequence[str]) -> str:
  content = {
    "step": int(folder.name),
    "hosts": len(digests),
    "manifests": list(digests),
  }
  return json.dumps(content, indent=1) + "\n"


def _read(folder: epath.Path, host: int) -> dict[str, list]:
  return json.loads((folder / _name(host)).read_text("utf-8"))


def _measured(path: epath.Path) -> list:
  return [path.stat().length, files.sha256(path)]


def _name(host: int) -> str:
  return f"manifest.{host}.json"


def _writer(name: str) -> int | None:
  """The host that wrote a file: orbax names the folders of arrays by it.

  None: a manifest, which another host may be writing just now.
  """
  if re.fullmatch(r"manifest\.\d+\.json(\.part)?", name):
    return None
  found = re.search(r"(?:^|/)ocdbt\.process_(\d+)/", name)
  return int(found.group(1)) if found else 0
