"""Scalar heads: where they read, what they start with, how they are stored."""

import dataclasses
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from alignjax import pretrained
from alignjax.models import heads
from alignjax.models.families import config_from_hf, config_to_hf
from alignjax.models.lm import LM
from alignjax.models.presets import preset

FAMILIES = Path(__file__).parent / "fixtures" / "families"


def jit(f):
  """Compiled in half the time; the arithmetic is the same float32."""
  return jax.jit(f, compiler_options={"xla_backend_optimization_level": 0})


@pytest.fixture(scope="module")
def batch(ragged):
  """Two completions in row 0, one in the others, none in the last."""
  ends = np.stack([(ragged.documents > 0).sum(1) - 1, np.zeros(8)], 1)
  ends[0] = 6, 15
  ends[7] = 0
  ragged = ragged._replace(ends=ends.astype(np.int32))
  return jax.tree.map(jnp.asarray, ragged)


def test_init_has_the_published_size():
  head = heads.init(jax.random.key(0), 399, 50)
  assert head.shape == (50, 399) and head.dtype == jnp.float32
  assert abs(float(head.std()) * 20 - 1) < 0.02  # 1/√(399 + 1)
  assert abs(float(head.mean())) < 1e-3


def test_scores_by_hand():
  hidden = jnp.float32([[[1, 2], [3, 4], [5, 6]]])
  at = heads.at_ends(hidden, jnp.int32([[2, 0]]))
  np.testing.assert_array_equal(at, [[[5, 6], [1, 2]]])
  np.testing.assert_array_equal(
    heads.score(at, jnp.float32([[10, 1]])), [[56, 12]]
  )
  two = heads.score(at, jnp.float32([[10, 1], [0, -1]]))
  np.testing.assert_array_equal(two, [[[56, -6], [12, -2]]])
  assert heads.score(at.astype(jnp.bfloat16), two[0]).dtype == jnp.float32


def test_the_statistic_is_read_at_ends(lm, draw, batch):
  scorer = LM(lm.config.replace(scores=1, tied=True), chunk=lm.chunk)
  params = jax.tree.map(jnp.asarray, draw(scorer))
  assert params["score_head"].shape == (1, lm.config.width)
  assert "head" not in params
  found = jit(
    lambda p: scorer.stats(p, batch, ("logp", "score")),
  )(params)
  hidden = jit(scorer.hidden)(
    params, batch.tokens, batch.positions, batch.documents
  )
  assert found["score"].shape == batch.ends.shape
  assert found["logp"].shape == batch.targets.shape
  for row, s in ((0, 0), (0, 1), (3, 0)):
    x = hidden[row, batch.ends[row, s]] @ params["score_head"][0]
    np.testing.assert_allclose(found["score"][row, s], x, rtol=1e-5)
  alone = jit(lambda p: scorer.stats(p, batch, ("score",)))(params)
  np.testing.assert_allclose(alone["score"], found["score"], atol=1e-6)
  assert set(alone) == {"score"}


def test_padding_changes_no_score(lm, draw, batch):
  scorer = LM(lm.config.replace(scores=2), chunk=lm.chunk)
  params = jax.tree.map(jnp.asarray, draw(scorer))
  score = jit(lambda p, b: scorer.stats(p, b, ("score",))["score"])
  found = score(params, batch)
  assert found.shape == (8, 2, 2)
  other = jnp.where(batch.documents > 0, batch.tokens, 9)
  np.testing.assert_array_equal(
    found, score(params, batch._replace(tokens=other))
  )


def test_scores_alone_need_no_vocabulary(lm, draw, batch):
  """Neither a readout nor, in the parameters, an output head."""
  scorer = LM(lm.config.replace(scores=1), chunk=lm.chunk)
  assert "head" in lm.shapes() and "head" not in scorer.shapes()
  text = (
    jit(lambda p: scorer.stats(p, batch, ("score",)))
    .lower(scorer.shapes())
    .as_text()
  )
  products = [line for line in text.splitlines() if "dot_general" in line]
  assert products and not any("x40xf32>" in line for line in products)
  with pytest.raises(ValueError, match="(?s)no output head.*'score'"):
    scorer.stats(jax.tree.map(jnp.asarray, draw(scorer)), batch, ("logp",))


def test_what_scores_need_is_said(lm, draw, batch):
  params = jax.tree.map(jnp.asarray, draw(lm))
  with pytest.raises(ValueError, match=r"needs heads \(config.scores\)"):
    lm.stats(params, batch, ("score",))
  scorer = LM(lm.config.replace(scores=1))
  with pytest.raises(ValueError, match="needs batch.ends; there are none"):
    scorer.stats(
      jax.tree.map(jnp.asarray, draw(scorer)),
      batch._replace(ends=None),
      ("score",),
    )


def test_a_pretrained_model_gets_its_head(lm, params):
  scorer = dataclasses.replace(lm, config=lm.config.replace(scores=3))
  found = scorer.complete(jax.random.key(0), params)
  expected = scorer.shapes()
  assert jax.tree.structure(found) == jax.tree.structure(expected)
  assert found["embed"] is params["embed"] and "head" in params
  # One that has it keeps it.
  again = scorer.complete(jax.random.key(1), found)
  assert again["score_head"] is found["score_head"]


@pytest.mark.parametrize("name", sorted(f.name for f in FAMILIES.iterdir()))
def test_reward_models_of_every_family_are_stored(name, tmp_path):
  """As a sequence classifier of transformers, and read back."""
  lm, params, _ = pretrained.load(FAMILIES / name)
  scorer = dataclasses.replace(lm, config=lm.config.replace(scores=2))
  # On the host: slicing layers of jax.Arrays compiles for every shape.
  params = jax.tree.map(np.asarray, scorer.complete(jax.random.key(0), params))
  pretrained.export(tmp_path, scorer, params, None)
  back, same, _ = pretrained.load(tmp_path)
  assert back.config == scorer.config
  jax.tree.map(np.testing.assert_array_equal, same, params)
  hf = json.loads((tmp_path / "config.json").read_text())
  assert hf["architectures"][0].endswith("ForSequenceClassification")
  assert hf["id2label"] == {"0": "LABEL_0", "1": "LABEL_1"}


def test_heads_of_a_config_json():
  hf = config_to_hf(preset("tiny").replace(scores=1))
  assert hf["architectures"] == ["LlamaForSequenceClassification"]
  assert config_from_hf(hf).scores == 1
  del hf["id2label"]
  assert config_from_hf(hf).scores == 2  # what transformers takes then
  assert config_from_hf(hf | {"num_labels": 4}).scores == 4
  hf["architectures"] = ["LlamaForCausalLM"]
  assert config_from_hf(hf).scores == 0


def test_calibrated_by_hand():
  scores = jnp.float32([[[5, 1], [3, 2]]])
  found = heads.calibrated(scores, (3.0, 1.0), (2.0, 0.5))
  np.testing.assert_array_equal(found, [[[1, 0], [0, 2]]])
  assert heads.calibrated(scores, (), ()) is scores
  hidden, head = jnp.float32([[[5, 1], [3, 2]]]), jnp.float32([[2, 0]])
  found = heads.score(hidden, head, (4.0,), (3.0,))
  np.testing.assert_allclose(found, [[2, 2 / 3]], rtol=1e-6)


def test_a_calibration_goes_there_and_back():
  config = preset("tiny").replace(
    scores=2, score_mean=(0.1, -3.0), score_std=(1.5, 0.25)
  )
  hf = config_to_hf(config)
  assert hf["score_mean"] == [0.1, -3.0] and hf["score_std"] == [1.5, 0.25]
  again = config_from_hf(json.loads(json.dumps(hf)))
  assert (again.score_mean, again.score_std) == ((0.1, -3.0), (1.5, 0.25))
  assert "score_std" not in config_to_hf(preset("tiny").replace(scores=2))


@pytest.mark.parametrize(
  "change, message",
  [
    (dict(score_std=(1.0,)), "score_std has 1 numbers for 2 scalar heads"),
    (dict(score_std=(1.0, 0.0)), r"\(1.0, 0.0\); .*must be above 0"),
    (dict(score_mean=(0.0, np.nan)), "must be finite"),
    (dict(score_std=()), "go together"),
    (dict(scores=0), "2 numbers for 0 scalar heads"),
  ],
)
def test_calibrations_that_are_none(change, message):
  config = preset("tiny").replace(
    scores=2, score_mean=(0.0, 0.0), score_std=(1.0, 1.0)
  )
  with pytest.raises(ValueError, match=message):
    config.replace(**change)


def test_a_calibration_in_a_config_json_is_numbers():
  hf = config_to_hf(preset("tiny").replace(scores=1))
  for value in (2.0, ["1"], [True]):
    with pytest.raises(ValueError, match="score_std = .*a list of numbers"):
      config_from_hf(hf | {"score_mean": [0.0], "score_std": value})


def test_a_calibrated_model_says_so(lm, draw, batch):
  config = lm.config.replace(scores=2)
  scorer = LM(config, chunk=lm.chunk)
  params = jax.tree.map(jnp.asarray, draw(scorer))
  raw = jit(lambda p: scorer.stats(p, batch, ("score",)))(params)["score"]
  mean, std = (1.0, -2.0), (0.5, 4.0)
  config = config.replace(score_mean=mean, score_std=std)
  scorer = LM(config, chunk=lm.chunk)
  found = jit(lambda p: scorer.stats(p, batch, ("score",)))(params)["score"]
  expected = (raw - jnp.float32(mean)) / jnp.float32(std)
  np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
