"""Scores of the completions in a file, by models in folders."""

import json

import jax
import numpy as np
import pytest

from alignjax import pretrained
from alignjax.data.templates import load_template
from alignjax.data.tokenizer import byte_tokenizer
from alignjax.models.lm import LM
from alignjax.models.presets import preset
from alignjax.scoring import calibration, forward
from alignjax.scoring.completions import Source, encode, read
from alignjax.scoring.report import report
from alignjax.scoring.run import Options, score

PAIR = {"prompt": "say a", "chosen": "a", "rejected": "bbb bb"}
PAIRS = [
  PAIR,
  PAIR | {"prompt": "say b", "label": 0.0},
  PAIR | {"prompt": "long", "rejected": "c" * 90, "id": "x"},
  PAIR | {"chosen": "d" * 400},
  PAIR | {"prompt": "say d", "chosen": "dd", "label": 0.5},
]
PLAIN = [
  {"prompt": f"count to {n}", "completion": "1 " * n} for n in (9, 1, 5, 1)
]
OPTIONS = Options(
  revision=None,
  adapter=None,
  template=None,
  dtype="float32",
  max_length=256,
  batch=0,
  on_bad_row="error",
)


def source_of(file, limit=0):
  return Source(str(file), "train", limit, None, "all", None)


def write(file, rows):
  file.write_text("".join(json.dumps(row) + "\n" for row in rows))
  return str(file)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, draw):
  """Reward models of one and of three heads, and a language model."""
  folder = tmp_path_factory.mktemp("models")
  small = preset("tiny").replace(width=16, depth=1, hidden=24, windows=())
  small = small.replace(heads=2, kv_heads=1, head_size=8)
  for name, heads in (("one", 1), ("three", 3), ("none", 0)):
    lm = LM(small.replace(scores=heads))
    pretrained.export(
      folder / name, lm, draw(lm, heads), byte_tokenizer(), "float32"
    )
  write(folder / "pairs.jsonl", PAIRS)
  write(folder / "plain.jsonl", PLAIN)
  return folder


@pytest.fixture(scope="module")
def scored(folder):
  """The pairs by the model of three heads."""
  source = source_of(folder / "pairs.jsonl")
  return score([str(folder / "three")], source, OPTIONS)


def alone(path, sequence):
  """Scores of a sequence by itself, without padding."""
  lm, params, _ = pretrained.load(path)
  ids = jax.numpy.asarray(sequence)[None]
  positions = jax.numpy.arange(ids.shape[1])[None]
  hidden = lm.hidden(params, ids, positions, jax.numpy.ones_like(ids))
  return np.asarray(hidden[0, -1] @ params["score_head"].T)


def test_scores_are_those_of_each_completion_alone(folder, scored):
  for at, side in ((0, 0), (2, 1)):  # of other lengths than the rest
    row = scored.rows[at]
    found = alone(folder / "three", row.asked.sequences[side])
    np.testing.assert_allclose(row.members[side], found, rtol=1e-4, atol=1e-5)
  tokenizer = byte_tokenizer()
  last = scored.rows[0].asked.sequences[0][-1]
  assert last in (tokenizer.eos_token_id, *tokenizer.all_special_ids)


def test_rows_keep_their_order_and_say_why_they_are_not_scored(scored):
  reasons = [row.asked.reason for row in scored.rows]
  assert [bool(r) for r in reasons] == [False, False, False, True, False]
  assert "too long: 4" in reasons[3] and "the limit is 256" in reasons[3]
  assert scored.rows[3].scores is None
  assert [row.asked.label for row in scored.rows] == [1, 0, 1, 1, 0.5]
  assert scored.rows[2].asked.id == "x"
  for row in scored.rows:
    if row.scores is not None:
      np.testing.assert_allclose(row.scores, row.members.mean(1), rtol=1e-6)
      assert row.members.shape == (2, 3)


def test_the_report_counts_them(scored):
  found = report(scored)
  assert (found.rows, found.completions) == (5, 8)
  assert found.unscored == {"too long": 1} and ":4: too long" in found.first
  agreement = found.agreement
  assert agreement.pairs == 4 and agreement.accuracy.n == 3
  assert agreement.longer == (1, 3)  # of label 0 the longer one is preferred
  margins = [
    r.scores[0] - r.scores[1] for r in scored.rows if not r.asked.reason
  ]
  np.testing.assert_allclose(agreement.margin, np.mean(margins), rtol=1e-5)


def test_one_completion_a_row(folder):
  source = source_of(folder / "plain.jsonl")
  whole = score([str(folder / "one")], source, OPTIONS)
  found = whole.rows
  assert [row.asked.kind for row in found] == ["completion"] * 4
  assert [row.asked.origin[-1] for row in found] == list("1234")
  assert found[1].scores == found[3].scores != found[2].scores
  assert report(whole).agreement is None


def test_batches_and_devices_change_no_score(folder):
  """One device at a time is as eight; so is a batch that is not full."""
  lm, params, _ = pretrained.load(folder / "one")
  draw = np.random.default_rng(0)
  sequences = [
    draw.integers(0, 250, n, np.int32) for n in (3, 60, 9, 64, 7, 3, 4, 5, 6, 7)
  ]
  place = forward.placement()
  assert place.row_multiple == 8
  params = jax.device_put(params, place.replicated)
  seen = []

  def run(some):
    return forward.score(
      lm,
      params,
      some,
      batch=8,
      place=place,
      progress=lambda done, total: seen.append((done, total)),
    )

  every, some = run(sequences), run(sequences[2:4])
  assert seen == [(1, 2), (2, 2), (1, 1)]
  np.testing.assert_array_equal(every[2:4], some)
  np.testing.assert_allclose(
    every[0], alone(folder / "one", sequences[0]), rtol=1e-4, atol=1e-5
  )


def test_many_kinds_of_rows(tmp_path):
  turns = [
    {"role": "user", "content": "a"},
    {"role": "assistant", "content": "b"},
  ]
  rows = [
    {"prompt": "q", "completions": ["x", "y", "z"], "ranks": [2, 0, 1]},
    {"prompt": "q", "completion": "r", "label": True},
    {"messages": turns * 2, "id": 7},
    {"instruction": "q", "input": "", "output": "x"},
    {"chosen": turns, "rejected": [turns[0], turns[1] | {"content": "c"}]},
    {"text": "no"},
  ]
  source = source_of(write(tmp_path / "rows.jsonl", rows))
  items = read(source, on_bad_row="skip")
  kinds = ["pair"] * 3 + ["judged"] + ["completion"] * 2 + ["pair", ""]
  assert [item.kind for item in items] == kinds
  tokenizer = byte_tokenizer()
  template = load_template(None, tokenizer)

  def run(items, on_bad_row):
    return encode(
      items, tokenizer, template, max_length=256, on_bad_row=on_bad_row
    )

  found = run(items, "skip")
  assert found[0].origin.endswith("rows.jsonl:1#1>2")
  assert [len(asked.sequences) for asked in found] == [2, 2, 2, 1, 1, 1, 2, 0]
  assert found[3].label == 1 and found[4].label is None and found[4].id == 7
  assert found[-1].reason.startswith("missing field: ")
  assert found[4].lengths == (2,)  # "b" and the end of the turn
  with pytest.raises(ValueError, match="rows.jsonl:6.*cannot tell"):
    read(source, on_bad_row="error")
  # What only its tokens tell: nothing is left to read of this answer.
  empty = ({"role": "assistant", "content": " "},)
  said = items[4].said._replace(completion=empty)
  said = [items[4]._replace(said=said)]
  assert run(said, "skip")[0].reason.startswith("empty completion: ")
  with pytest.raises(ValueError, match="rows.jsonl:3.*empty completion"):
    run(said, "error")


def test_heads_and_models_are_members(folder, scored):
  models = [str(folder / "three"), str(folder / "one")]
  source = source_of(folder / "pairs.jsonl", limit=2)
  mean = score(models, source, OPTIONS).rows
  assert mean[0].members.shape == (2, 4)
  np.testing.assert_allclose(
    mean[0].members[:, :3], scored.rows[0].members, rtol=1e-5, atol=1e-6
  )
  least = score(models, source, OPTIONS, ensemble="min").rows
  np.testing.assert_array_equal(least[1].scores, least[1].members.min(1))
  unsure = score(
    models, source, OPTIONS, ensemble="uncertainty", penalty=0.5
  ).rows
  np.testing.assert_allclose(
    unsure[1].scores,
    mean[1].members.mean(1) - 0.5 * mean[1].members.var(1),
    rtol=1e-5,
  )


def test_a_calibrated_model_scores_its_reference_0_and_1(
  tmp_path, folder, scored
):
  lm, params, tokenizer = pretrained.load(folder / "three")
  pretrained.export(tmp_path / "m", lm, params, tokenizer)
  model, source = str(tmp_path / "m"), source_of(folder / "pairs.jsonl")
  now = score([model], source, OPTIONS, calibrate=True)
  assert len(now.mean) == len(now.std) == 3
  config = pretrained.outline(model)[0]
  assert (config.score_mean, config.score_std) == (now.mean, now.std)
  later = score([model], source, OPTIONS)
  assert later.mean == ()
  for found in (now, later):
    whole = np.concatenate([row.members for row in found.rows])
    np.testing.assert_allclose(whole.mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(whole.std(0), 1, rtol=1e-5)
  raw = np.concatenate([row.members for row in scored.rows])
  np.testing.assert_allclose(whole * now.std + now.mean, raw, rtol=1e-4)
  # Calibrated again, it is what it was; and an export keeps it.
  again = score([model], source, OPTIONS, calibrate=True)
  np.testing.assert_allclose(again.std, now.std, rtol=1e-6)
  lm, params, _ = pretrained.load(model)
  pretrained.export(tmp_path / "copy", lm, params, None)
  assert pretrained.outline(tmp_path / "copy")[0].score_std == again.std


def test_a_calibration_leaves_probabilities_alone(tmp_path, folder):
  """σ of margins in the units the model was trained in."""
  lm, params, tokenizer = pretrained.load(folder / "one")
  pretrained.export(tmp_path, lm, params, tokenizer)
  source = source_of(folder / "pairs.jsonl")
  before, after = (
    report(score([str(tmp_path)], source, OPTIONS, calibrate=c)).agreement
    for c in (False, True)
  )
  np.testing.assert_allclose(after.log_loss, before.log_loss, rtol=1e-5)
  np.testing.assert_allclose(after.ece, before.ece, rtol=1e-5)
  assert abs(after.margin / before.margin - 1) > 0.1


def test_moments_by_hand():
  mean, std = calibration.moments(np.float32([[1, 0], [3, 4]]))
  assert (mean, std) == ((2.0, 2.0), (1.0, 2.0))
  with pytest.raises(ValueError, match="Head 1 scores all 2 .* 5: a standard"):
    calibration.moments(np.float32([[1, 5], [3, 5]]))
