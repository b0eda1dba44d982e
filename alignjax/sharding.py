"""Devices: the mesh, strict rules from names to axes, and constraints.

The only file that knows mesh axes. Models and losses name activations; the
tables in the config say over which axes they lie.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, Sharding
from jax.sharding import PartitionSpec as P

AXES = ("data", "fsdp", "tensor")
ROWS = ("data", "fsdp")  # the batch axis lies over both

Axes = Sequence[str | Sequence[str] | None]


def make_mesh(shape: Sequence[int], devices: Sequence | None = None) -> Mesh:
  """A (data, fsdp, tensor) mesh; one entry may be -1 for what is left.

  Fewer devices than there are may be used by a single process; more, or a
  number that does not divide, is an error.
  """
  devices = list(jax.devices() if devices is None else devices)
  shape, n = list(shape), len(devices)
  if (
    len(shape) != 3
    or shape.count(-1) > 1
    or any(s < 1 and s != -1 for s in shape)
  ):
    raise ValueError(
      f"mesh = {tuple(shape)} is not (data, fsdp, tensor).\n"
      "Give three positive integers; one may be -1, for all that is left."
    )
  if -1 in shape:
    shape[shape.index(-1)] = max(1, n // -int(np.prod(shape)))
  size = int(np.prod(shape))
  if size > n or n % size or (size < n and jax.process_count() > 1):
    raise ValueError(
      f"mesh = {tuple(shape)} needs {size} devices and {n} are here; "
      "the product must divide them.\n"
      "Set --config.mesh=DATA,FSDP,TENSOR (-1 = all that is left)."
    )
  # Auto axes: Explicit ones (the default) refuse gathers on sharded tables.
  return jax.make_mesh(
    shape, AXES, axis_types=(AxisType.Auto,) * 3, devices=devices[:size]
  )


def _spec(axes: Axes, ndim: int) -> P:
  """A rule names the last axes of an array; those before are not split."""
  axes = [tuple(a) if isinstance(a, list | tuple) else a for a in axes]
  return P(*[None] * (ndim - len(axes)), *axes)


def _without_rows(axis):
  """One entry of a spec, without the axes that rows lie on."""
  if isinstance(axis, tuple):
    return tuple(a for a in axis if a not in ROWS) or None
  return None if axis in ROWS else axis


@dataclass(frozen=True)
class Placement:
  """Where everything lies on a mesh.

  params: (path regex, axes of the last dimensions), first match wins. Every
    parameter must match a rule and every rule a parameter.
  activations: name → axes. gradients, decoding, undivided: the same of what
    lies elsewhere: of gradients, of activations of one new token a row, of a
    vocabulary that does not divide over fsdp · tensor.
  """

  mesh: Mesh
  params: Sequence[tuple[str, Axes]]
  activations: Mapping[str, Axes]
  gradients: Mapping[str, Axes] = field(default_factory=dict)
  decoding: Mapping[str, Axes] = field(default_factory=dict)
  undivided: Mapping[str, Axes] = field(default_factory=dict)

  def __hash__(self):
    return id(self)

  def of_vocabulary(self, size: int) -> "Placement":
    """The same, of models of so many tokens."""
    if size % (self.mesh.shape["fsdp"] * self.mesh.shape["tensor"]) == 0:
      return self
    changed = {**self.activations, **self.undivided}
    return replace(self, activations=changed)

  def constrain(
    self, x: jax.Array, name: str, decoding: bool = False
  ) -> jax.Array:
    """`with_sharding_constraint` by activation name, or by parameter path.

    A parameter is used whole over the axes that rows lie on, and its gradient
    lies as it does itself; so does that of an activation lie as `gradients`
    says. A plain constraint's gradient lies as the constraint does: a sum over
    all devices would be made whole on each before it is split. In decoding,
    where states are smaller than weights, parameters stay as they lie.
    """
    if "/" in name:
      lies = _spec(self._rule(name, x.shape)[1], x.ndim)
      used = lies if decoding else P(*map(_without_rows, lies))
      return self._put(x, used, lies)
    if name not in self.activations:
      raise KeyError(
        f"No sharding for activation {name!r}; "
        f"config.sharding.activations has {', '.join(self.activations)}."
      )
    if decoding and name in self.decoding:
      return self._put(x, *[_spec(self.decoding[name], x.ndim)] * 2)
    there = _spec(self.activations[name], x.ndim)
    back = self.gradients.get(name)
    return self._put(x, there, there if back is None else _spec(back, x.ndim))

  def _put(self, x: jax.Array, there: P, back: P) -> jax.Array:
    """x lies `there`, its gradient `back`."""

    def put(x, spec):
      return jax.lax.with_sharding_constraint(x, NamedSharding(self.mesh, spec))

    if there == back:
      return put(x, there)
    used = jax.custom_vjp(lambda x: put(x, there))
    used.defvjp(lambda x: (put(x, there), None), lambda _, g: (put(g, back),))
    return used(x)

  @property
  def replicated(self) -> NamedSharding:
    """Whole on every device."""
    return NamedSharding(self.mesh, P())

  @property
  def rows(self) -> NamedSharding:
    """Of [B, ...] arrays: rows over data and fsdp."""
    return NamedSharding(self.mesh, P(ROWS))

  @property
  def row_multiple(self) -> int:
    """What the number of rows must be a multiple of."""
    return self.mesh.shape["data"] * self.mesh.shape["fsdp"]

  def _rule(self, path: str, shape: Sequence[int]) -> tuple[str, Axes]:
    rule = next((r for r in self.params if re.fullmatch(r[0], path)), None)
    if rule is None:
      raise ValueError(
        f"No sharding rule matches parameter {path} {tuple(shape)}.\n"
        "Add a (regex, axes) pair to config.sharding.params; "
        "() replicates it."
      )
    return rule

  def param(self, path: str, shape: Sequence[int]) -> NamedSharding:
    """The sharding of one parameter."""
    pattern, axes = self._rule(path, shape)
    if len(axes) > len(shape):
      raise ValueError(
        f"Rule {pattern!r} names {len(axes)} axes; {path} has shape "
        f"{tuple(shape)}."
      )
    spec = _spec(axes, len(shape))
    for size, axis in zip(shape, spec):
      names = axis if isinstance(axis, tuple) else (axis,) if axis else ()
      ways = int(np.prod([self.mesh.shape[a] for a in names]))
      if size % ways:
        raise ValueError(
          f"Parameter {path} {tuple(shape)}: {size} does not divide over "
          f"{'·'.join(names)} = {ways} (rule {pattern!r}).\n"
          "Choose another mesh, or a rule that replicates it "
          "(key/value heads: configs/…py:replicated_kv)."
        )
    return NamedSharding(self.mesh, spec)

  def tree(self, tree):
    """Shardings of a whole parameter tree (arrays or ShapeDtypeStructs)."""
    paths = jax.tree_util.tree_flatten_with_path(tree)[0]
    paths = [(path_name(path), x.shape) for path, x in paths]
    for pattern, _ in self.params:
      if not any(re.fullmatch(pattern, path) for path, _ in paths):
        raise ValueError(
          f"Sharding rule {pattern!r} matches no parameter.\n"
          f"Remove it, or correct it; paths look like {paths[0][0]}, "
          f"{paths[-1][0]}."
        )
    return jax.tree_util.tree_map_with_path(
      lambda path, x: self.param(path_name(path), x.shape), tree
    )

  def like(self, tree, params):
    """Shardings of a tree that mirrors `params` inside (a training state).

    A leaf whose path ends in a parameter's path, and has its shape, lies as it
    does (Adam's moments); the others are replicated.
    """
    shapes = {
      path_name(path): x.shape
      for path, x in jax.tree_util.tree_flatten_with_path(params)[0]
    }

    def one(path, x):
      keys = path_name(path).split("/")
      for name in ("/".join(keys[i:]) for i in range(len(keys))):
        if shapes.get(name) == x.shape:
          return self.param(name, x.shape)
      return self.replicated

    return jax.tree_util.tree_map_with_path(one, tree)

  def left_whole(self, tree, floor: int) -> list[str]:
    """Parameters of at least `floor` bytes that every device holds whole."""
    if self.mesh.size == 1:
      return []
    found = []
    for path, x in jax.tree_util.tree_flatten_with_path(tree)[0]:
      size = int(np.prod(x.shape)) * x.dtype.itemsize
      name = path_name(path)
      if size >= floor and self.param(name, x.shape).is_fully_replicated:
        found.append(f"{name} {tuple(x.shape)} {size / 2**20:.1f} MiB")
    return found


def put_rows(make: Callable, size: int, sharding: Sharding):
  """Arrays of `size` rows onto the mesh; each host makes only its own rows.

  make: row numbers, ascending → host arrays of these rows, [rows, ...].
  sharding: of [size, ...] arrays, split along the rows alone.
  """
  rows = local_rows(size, sharding)

  def place(x):
    def part(index):
      start, stop, _ = index[0].indices(size)
      first = int(np.searchsorted(rows, start))
      return x[first : first + stop - start]

    shape = (size, *x.shape[1:])
    return jax.make_array_from_callback(shape, sharding, part)

  return jax.tree.map(place, make(rows))


def fetched(tree):
  """Device arrays as numpy, whole on every host."""
  if jax.process_count() == 1:
    return jax.device_get(tree)
  return multihost_utils.process_allgather(tree, tiled=True)


def local_rows(size: int, sharding: Sharding) -> list[int]:
  """Which of `size` rows the devices of this host hold."""
  held = sharding.addressable_devices_indices_map((size,)).values()
  return sorted({b for (rows,) in held for b in range(*rows.indices(size))})


def path_name(path) -> str:
  """`layers/0/mlp/up/kernel` of a jax key path."""
  return "/".join(str(getattr(k, "key", getattr(k, "name", k))) for k in path)
