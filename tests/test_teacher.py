"""Distillation with its teacher: statistics, steps, and what is refused."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_divergence import plain

from alignjax import build
from alignjax.annotate import make_annotator, with_fields
from alignjax.build import teachers
from alignjax.data.loader import collate
from alignjax.data.tokenizer import byte_tokenizer
from alignjax.models.lm import LM, Teacher
from alignjax.models.presets import preset
from alignjax.pretrained import export
from alignjax.train import Run
from alignjax.types import Row
from configs import distill


@pytest.fixture(scope="module")
def pair(small, draw):
  """(student, its parameters with the teacher's): two widths and soft-caps."""
  one = small.replace(depth=1, windows=(4,))
  known = LM(one.replace(width=24, windows=(0,), final_softcap=0.0), chunk=4)
  lm = LM(one, chunk=4, remat="none", teacher=Teacher(known, 0.3))
  return lm, draw(lm) | {"teacher": draw(known, seed=1)}


def asked(lm, params, batch):
  """The batch with what the teacher says of it."""
  ask = make_annotator(lm.teacher.lm.stats, ("hidden",))
  return with_fields(batch, ask(params["teacher"], batch), "teacher")


def divergence(lm, params, batch):
  batch = jax.tree.map(jnp.asarray, batch)
  found = lm.stats(params, asked(lm, params, batch), ("jsd",))["jsd"]
  return jnp.where(batch.completions > 0, found, 0.0)


def test_it_is_the_divergence_of_all_logits(pair, ragged):
  lm, params = pair
  found = jax.jit(divergence, static_argnums=0)(lm, params, ragged)
  logits = [
    np.take_along_axis(
      np.asarray(jax.jit(m.logits)(own, ragged.tokens)),
      ragged.where[:, :, None],
      1,
    )
    for m, own in ((lm, params), (lm.teacher.lm, params["teacher"]))
  ]
  expected = plain(*logits, 0.3)
  real = ragged.completions > 0
  assert expected[real].min() > 1e-3
  np.testing.assert_allclose(found[real], expected[real], rtol=1e-4)


def test_a_student_that_is_its_teacher_has_nothing_to_learn(pair, ragged):
  lm, params = pair
  own = {k: x for k, x in params.items() if k != "teacher"}
  same = dataclasses.replace(lm, teacher=Teacher(lm, 0.3))

  @jax.jit
  def of(own, teacher):
    def value(own):
      return divergence(same, own | {"teacher": teacher}, ragged).sum()

    return jax.value_and_grad(value)(own)

  value, slopes = of(own, own)
  assert abs(float(value)) < 1e-5
  largest = max(float(jnp.abs(x).max()) for x in jax.tree.leaves(slopes))
  assert largest < 1e-5
  other = jax.tree.map(lambda x: 1.1 * x, own)
  value, slopes = of(own, other)
  assert float(value) > 1e-2
  assert max(float(jnp.abs(x).max()) for x in jax.tree.leaves(slopes)) > 1e-2


def test_packed_documents_are_taught_alone(pair):
  lm, params = pair
  ids = np.arange(2, 18, dtype=np.int32)
  trained = np.int32([0, 0, 1, 1, 1, 0, 0, 0, 1, 1, 1, 1, 1, 0, 0, 0])
  documents = np.int32([1] * 5 + [2] * 8 + [3] * 3)
  whole = Row(ids, trained, "packed", documents)
  alone = [
    Row(ids[documents == d], trained[documents == d], f"{d}") for d in (1, 2)
  ]
  run = jax.jit(divergence, static_argnums=0)
  packed = run(lm, params, collate([whole, whole], 16, 8))[0]
  apart = run(lm, params, collate(alone, 16, 8))
  joined = np.concatenate([apart[0, :3], apart[1, :5]])
  assert joined.min() > 1e-3
  np.testing.assert_allclose(packed, joined, rtol=1e-5)


def test_no_array_is_of_all_tokens_and_the_vocabulary(pair, ragged):
  lm, params = pair

  def value(params):
    return divergence(lm, params, ragged).sum()

  text = jax.jit(jax.grad(value)).lower(params).as_text()
  assert "8x4x40x" in text  # B, chunk, V
  for whole in ("8x9x40x", "8x12x40x", "72x40x", "96x40x", "16x40x"):
    assert f"<{whole}" not in text


def test_a_mesh_and_parts_take_the_same_step(pair, ragged):
  """The teacher lies by the rules, and stays as it is bit by bit."""
  lm, params = pair
  own = {k: x for k, x in params.items() if k != "teacher"}
  found = []
  for mesh, parts in (((1, 1, 1), 1), ((2, 2, 2), 2)):
    config = distill.get_config("tiny")
    config.mesh, config.train.accumulate = mesh, parts
    config.optim.update(name="sgd", clip=0.0, lr=5.0)
    place = build.placement(config)
    laid = dataclasses.replace(lm, constrain=place.constrain)
    known = dataclasses.replace(lm.teacher.lm, constrain=place.constrain)
    laid = dataclasses.replace(laid, teacher=Teacher(known, 0.3))
    run = Run(config, place, laid, build.objectives(config))
    where = run.shardings.params, run.shardings.frozen
    weights = own, {"teacher": params["teacher"]}
    state = run.init(*jax.device_put(weights, where))
    size = sum(x.size for x in jax.tree.leaves(own))
    more = sum(x.size for x in jax.tree.leaves(params["teacher"]))
    count = {"trained": size, "frozen": 0, "teacher": more}
    assert run.count(state) == count
    assert f"taught by gemma2, {more:,} parameters" in run.describe(state)
    batch = jax.device_put(ragged, place.rows)
    state, metrics = run.train_step(state, batch)
    jax.tree.map(
      np.testing.assert_array_equal, state.frozen["teacher"], params["teacher"]
    )
    assert {x.size for x in jax.tree.leaves(state.moments)} <= {
      x.size for x in (*jax.tree.leaves(own), jnp.zeros(()))
    }
    found.append((metrics, jax.tree.map(np.asarray, state.params)))
  table = state.frozen["teacher"]["embed"].sharding
  assert table == place.param("teacher/embed", (40, 24))
  assert not table.is_fully_replicated
  (one, single), (two, spread) = found
  for name in one:
    np.testing.assert_allclose(two[name], one[name], rtol=2e-5, err_msg=name)
  moves = jax.tree.map(lambda a, b: np.abs(a - b).max(), single, own)
  assert max(jax.tree.leaves(moves)) > 1e-2
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-6),
    single,
    spread,
  )


def config_of(**values):
  config = distill.get_config("tiny")
  config.update_from_flattened_dict(
    {k.replace("__", "."): v for k, v in values.items()}
  )
  config.mesh = (1, 1, 1)
  return config.lock()


def taught(config, lm=None):
  place = build.placement(config)
  lm = lm or LM(preset("tiny"))
  objectives = build.objectives(config)
  return build.taught(lm, config, place, byte_tokenizer(), objectives)


def refused(*arguments):
  with pytest.raises(ValueError) as error:
    taught(*arguments)
  assert len(str(error.value).splitlines()) <= 5
  return str(error.value)


def test_a_config_names_its_teacher(tiny):
  found = taught(config_of(model__dtype="bfloat16")).teacher
  assert (found.lm.config, found.beta) == (preset("tiny"), 0.5)
  assert taught(tiny()).teacher is None


@pytest.mark.parametrize(
  "values, said",
  [
    (dict(teacher__preset=""), "loss.main is drawn to a teacher; teacher.path"),
    (dict(teacher__path="x"), "Give one"),
    (dict(teacher__beta=1.5), "teacher.beta = 1.5; it must be in [0, 1]"),
    (dict(teacher__preset="smollm2_135m"), "has 49152 tokens, the student's"),
  ],
)
def test_what_cannot_teach_is_refused(values, said):
  assert said in refused(config_of(**values))


def test_who_cannot_be_taught_is_refused(tiny, monkeypatch):
  scorer = LM(preset("tiny").replace(scores=1))
  assert "this model is a reward model" in refused(config_of(), scorer)
  assert "no loss asks a teacher" in refused(tiny(teacher__path="x"))
  rest = byte_tokenizer()
  rest.add_tokens(["never"], special_tokens=True)
  known = preset("tiny"), rest
  monkeypatch.setattr(teachers.pretrained, "outline", lambda *_: known)
  config = config_of(teacher__preset="", teacher__path="x")
  text = refused(config)
  assert "'never' is 260 to it, None to the student" in text


def test_weights_of_a_path_are_loaded_as_they_are_used(draw, tmp_path):
  known = LM(preset("tiny"))
  params = draw(known)
  export(tmp_path, known, params, byte_tokenizer())
  config = config_of(
    teacher__preset="", teacher__path=str(tmp_path), data__eval__path=""
  )
  place = build.placement(config)
  lm = LM(preset("tiny"), dtype="bfloat16")
  lm = taught(config, lm)
  data = build.data(config, byte_tokenizer(), lm.config, place)
  found = build.teacher_weights(lm, config, place, data)["teacher"]
  expected = jax.tree.map(lambda x: x.astype(jnp.bfloat16), params)
  jax.tree.map(np.testing.assert_array_equal, found, expected)
  short = dataclasses.replace(known, config=known.config.replace(max_length=16))
  lm = dataclasses.replace(lm, teacher=Teacher(short, 0.5))
  with pytest.raises(ValueError, match="The teacher cannot read the rows. Row"):
    build.teacher_weights(lm, config, place, data)
  assert build.teacher_weights(known, config, place, data) == {}
