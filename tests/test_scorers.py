"""What a config scores completions by: rules, reward models, mixes of both."""

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict

from alignjax import build, pretrained
from alignjax.build.scorers import scorers
from alignjax.data.tokenizer import byte_tokenizer
from alignjax.experience import laid
from alignjax.models.lm import LM
from alignjax.models.presets import preset
from alignjax.rollout import Answers, Question
from alignjax.sample import Prompts, Samples
from configs import common, grpo

SMALL = preset("tiny").replace(
  width=16, depth=1, hidden=24, windows=(), heads=2, kv_heads=1, head_size=8
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, draw):
  """Reward models of one and of three heads; no reward model; other words."""
  folder = tmp_path_factory.mktemp("rewards")
  for name, heads, vocab in (
    ("one", 1, 264),
    ("three", 3, 264),
    ("none", 0, 264),
    ("other", 1, 300),
  ):
    lm = LM(SMALL.replace(scores=heads, vocab=vocab))
    made = draw(lm, heads)
    pretrained.export(folder / name, lm, made, byte_tokenizer(), "float32")
  return folder


def made(reward):
  config = grpo.get_config("tiny")
  config.mesh, config.reward = (1, 1, 1), ConfigDict(reward)
  place = build.placement(config)
  return scorers(config, byte_tokenizer(), LM(preset("tiny")), place)


@pytest.fixture(scope="module")
def answers():
  """Two completions of one prompt; the second is longer."""
  ids = np.array([[70, 71, 72], [70, 71, 72]], np.int32)
  prompts = Prompts(ids, np.array([3, 3], np.int32), np.arange(2))
  samples = Samples(
    np.array([[80, 81, 0], [90, 91, 92]], np.int32),
    np.zeros((2, 3), np.float32),
    np.array([2, 3], np.int32),
    np.array([1, 0], np.int32),
  )
  question = Question(ids[0], ({"role": "user", "content": "x"},), {}, "f:1")
  batch = jax.jit(laid)(prompts, samples)
  return Answers([question] * 2, ["a", "one two three"], batch)


def alone(path, *sequences):
  """[sequences, heads], each by itself, without padding."""
  lm, params, _ = pretrained.load(path)
  found = []
  for ids in sequences:
    ids = jax.numpy.asarray(ids)[None]
    at = jax.numpy.arange(ids.shape[1])[None]
    x = lm.hidden(params, ids, at, jax.numpy.ones_like(ids))
    found.append(x[0, -1] @ params["score_head"].T)
  return np.stack(found)


SEQUENCES = ([70, 71, 72, 80, 81], [70, 71, 72, 90, 91, 92])


def test_a_model_reads_the_tokens_as_they_were_sampled(folder, answers):
  path = str(folder / "one")
  found = made({"rm": common.reward_model(path)})
  weight, score = found.parts["rm"]
  assert weight == 1.0 and found.longest == SMALL.max_length
  np.testing.assert_allclose(
    score(answers), alone(path, *SEQUENCES)[:, 0], rtol=1e-5
  )


def test_several_are_an_ensemble(folder, answers):
  paths = [str(folder / name) for name in ("one", "three")]
  members = np.concatenate([alone(p, *SEQUENCES) for p in paths], 1)
  assert members.shape == (2, 4)
  for rule, expected in (
    (dict(name="mean"), members.mean(1)),
    (dict(name="minimum"), members.min(1)),
    (
      dict(name="uncertainty", penalty=0.5),
      members.mean(1) - 0.5 * members.var(1),
    ),
  ):
    entry = common.reward_model(tuple(paths)) | {"ensemble": rule}
    _, score = made({"rm": entry}).parts["rm"]
    np.testing.assert_allclose(score(answers), expected, rtol=1e-5)


def test_rules_and_models_stand_side_by_side(folder, answers):
  found = made(
    {
      "rm": common.reward_model(str(folder / "one"), weight=0.5),
      "words": dict(name="length", weight=2.0, low=2, high=3),
    }
  )
  assert [w for w, _ in found.parts.values()] == [0.5, 2.0]
  np.testing.assert_allclose(found.parts["words"][1](answers), [0.5, 1.0])
  other = made({"rm": common.reward_model(str(folder / "three"))})
  assert list(found.identity) == ["reward.rm"]
  assert found.identity != other.identity  # a run goes on with the same alone


@pytest.mark.parametrize(
  "change, words",
  [
    (dict(path=""), "path = ''; give the folder of a reward model"),
    (dict(path="none"), "a language model, without scalar heads"),
    (dict(path="other"), "its tokenizer is another than the policy's"),
    (dict(path="one", beta=1), "model takes path, revision, ensemble"),
    (dict(path="one", ensemble=dict(name="max")), "ensemble has no kind 'max'"),
    (
      dict(path="one", ensemble=dict(name="mean", penalty=1.0)),
      "ensemble takes no options",
    ),
    (
      dict(path="one", weight=float("nan")),
      "weight = nan; it must be",
    ),
  ],
)
def test_models_that_cannot_score(folder, change, words):
  entry = common.reward_model() | change
  if entry["path"]:
    entry["path"] = str(folder / entry["path"])
  with pytest.raises(ValueError, match=words):
    made({"rm": entry})


def test_nothing_to_be_scored_by():
  with pytest.raises(ValueError, match="config.reward is empty"):
    made({})
