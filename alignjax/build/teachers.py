"""Teachers of a config: whom a student's distributions are drawn to."""

import dataclasses
from collections.abc import Mapping

import jax
from ml_collections import ConfigDict

from alignjax import pretrained, sharding
from alignjax.build.rows import Data, laid_out
from alignjax.data.tokenizer import byte_tokenizer
from alignjax.models.lm import LM, Teacher
from alignjax.models.presets import preset
from alignjax.totals import Objective


def taught(
  lm: LM,
  config: ConfigDict,
  place: sharding.Placement,
  tokenizer: object,
  objectives: Mapping[str, Objective],
) -> LM:
  """The model with its teacher, where a loss needs one; no weights are read.

  tokenizer: the student's.

  Raises ValueError for a teacher that is missing, in vain, or of another
  vocabulary; and where its parameters do not lie on the mesh by the rules.
  """
  t = config.teacher
  label = next((k for k, o in objectives.items() if "jsd" in o.needs), None)
  given = [key for key in ("path", "preset", "revision") if t[key]]
  if label is None:
    if given:
      raise ValueError(
        f"teacher.{given[0]} = {t[given[0]]!r}, and no loss asks a teacher.\n"
        "Leave it empty, or use a loss that does: distill."
      )
    return lm
  if bool(t.path) == bool(t.preset):
    raise ValueError(
      f"loss.{label} is drawn to a teacher; teacher.path = {t.path!r} and "
      f"teacher.preset = {t.preset!r}.\nGive one: a path is a Hugging Face "
      "folder, a .gguf file or a hub name."
    )
  if not 0 <= t.beta <= 1:
    raise ValueError(
      f"teacher.beta = {t.beta}; it must be in [0, 1]: 0 is KL(teacher ‖ "
      "student), 1 is KL(student ‖ teacher)."
    )
  if t.path:
    found, own = pretrained.outline(t.path, t.revision or None)
  else:
    found, own = preset(t.preset), byte_tokenizer()
  for name, model in (("model", lm.config), ("teacher", found)):
    if model.scores:
      raise ValueError(
        f"loss.{label} compares next-token distributions; this {name} is a "
        "reward model and has none."
      )
  _check_vocabulary(found.vocab, own, lm.config.vocab, tokenizer)
  known = dataclasses.replace(lm, config=found, lora=None, teacher=None)
  _places(known, place)
  return dataclasses.replace(lm, teacher=Teacher(known, float(t.beta)))


def _check_vocabulary(size: int, own, wanted: int, tokenizer) -> None:
  """Raises where a token's number means another token to the teacher."""
  remedy = (
    "\nDistributions are compared token by token: use a teacher of the "
    "student's\nfamily, with the same vocabulary."
  )
  if size != wanted:
    raise ValueError(
      f"The teacher's vocabulary has {size} tokens, the student's {wanted}."
      f"{remedy}"
    )
  if own is None:
    return  # a folder of weights alone
  mine, theirs = tokenizer.get_vocab(), own.get_vocab()
  other = dict(sorted(mine.items() ^ theirs.items()))
  for token in other:
    raise ValueError(
      f"The teacher's tokenizer is another than the student's: {token!r} is "
      f"{theirs.get(token)} to it, {mine.get(token)} to the student.{remedy}"
    )


def _places(known: LM, place: sharding.Placement) -> dict:
  """Where its parameters lie: by the rules of `teacher/PATH`."""

  def one(path, x):
    name = sharding.path_name(path)
    return place.param(f"teacher/{name}", x.shape)

  return jax.tree_util.tree_map_with_path(one, known.shapes())


def teacher_weights(
  lm: LM, config: ConfigDict, place: sharding.Placement, data: Data
) -> dict:
  """Frozen weights: {"teacher": its parameters}; {} where there is none.

  Those of a path are held in the type they are used in: it may be large.
  data: the rows that it has to read.

  Raises ValueError where these are too long for it.
  """
  if lm.teacher is None:
    return {}
  t, known = config.teacher, lm.teacher.lm
  try:
    laid_out(data.tables, config, known.config)
  except ValueError as error:
    raise ValueError(f"The teacher cannot read the rows. {error}") from None
  if not t.path:
    key = jax.random.fold_in(jax.random.key(config.seed), 1)
    init = jax.jit(known.init, out_shardings=_places(known, place))
    return {"teacher": init(key)}
  found = pretrained.load(
    t.path,
    revision=t.revision or None,
    dtype="float32" if known.dtype == "float64" else known.dtype,
    place=lambda path, shape: place.param(f"teacher/{path}", shape),
  )[1]
  return {"teacher": found}
