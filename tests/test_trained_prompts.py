"""Prompts of pairs that are imitated too, from the file to the loss."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from alignjax import build, inspection
from alignjax.build import annotations
from alignjax.build.layouts import check_prompts
from alignjax.data.layouts import Apart, Prompted
from alignjax.data.loader import collate, shape_of, trained
from alignjax.data.pack import Packed
from alignjax.data.rows import Rows
from alignjax.data.tokenizer import byte_tokenizer
from alignjax.models.lm import LM
from alignjax.models.presets import preset
from alignjax.types import Row
from configs import orpo

PAIRS = [
  {"prompt": "1?", "chosen": "yes", "rejected": "no", "weight": 0.5},
  {"prompt": "12?", "chosen": "y", "rejected": "nooo"},
]
LONGEST = 28  # tokens of a prompt and the chosen side


def config_of(tmp_path, words="tiny,prompt", **data):
  path = tmp_path / "pairs.jsonl"
  path.write_text("".join(json.dumps(row) + "\n" for row in PAIRS))
  c = orpo.get_config(words)
  c.mesh, c.train.batch = (1, 1, 1), 2
  c.data.train.path, c.data.train.limit, c.data.eval.path = str(path), 0, ""
  c.data.update(data)
  return c


def read(config):
  place = build.placement(config)
  return build.data(config, byte_tokenizer(), preset("tiny"), place)


def batch_of(config):
  return jax.tree.map(jnp.asarray, read(config).train[0])


def row():
  """A prompt of three tokens, sides of two and one."""
  documents = np.array([1, 1, 1, 2, 2, 3], np.int32)
  return Row(
    np.arange(10, 16, dtype=np.int32),
    documents - 1,
    "a:1",
    documents,
    parents=(documents > 1).astype(np.int32),
    fields={"label": np.float32([1, 0])},
  )


def test_tokens_of_a_prompt_are_listed_once():
  rows = Rows.of([row(), row()])
  for table in (rows, Apart(rows)):
    found = Prompted(table, rows.prompts)
    at = trained(found[0])
    assert found.origin(1) == "a:1" and len(found) == 2
    assert found[0].tokens[at].tolist() == [11, 12, 13, 14, 15]
    assert found[0].completions[at].tolist() == [0, 0, 1, 1, 2]
    assert found.counts.tolist() == [5, 5]
    batch = collate([found[0]], *shape_of([found]))
    assert found[0].tokens[batch.ends[0]].tolist() == [14, 15]
    assert batch.fields["prompt"][0].tolist() == [1, 1, 0, 0, 0, 0, 0, 0]
    packed = Packed(found, 20, 12)
    assert [len(trained(r)) for r in packed] == packed.counts.tolist() == [10]


@pytest.mark.parametrize("layout", ["apart", "shared"])
def test_prompt_and_chosen_side_are_imitated(tmp_path, layout):
  """The term is the mean −log p that whole rows of logits say."""
  config = config_of(tmp_path, layout=layout)
  (objective,) = build.objectives(config).values()
  batch = batch_of(config)
  lm = LM(preset("tiny").replace(depth=1), chunk=64)
  params = lm.init(jax.random.key(0))
  found = objective.loss(lm.stats(params, batch, objective.needs), batch)
  plain = batch_of(config_of(tmp_path, "tiny", layout=layout))
  logits = lm.logits(params, plain.tokens[:, :LONGEST])
  logp = jax.nn.log_softmax(logits[:, :-1])
  ids = plain.tokens[:, 1:LONGEST, None]
  logp = jnp.take_along_axis(logp, ids, 2)[..., 0]
  ends, counts = plain.ends[:, 0], plain.weights[:, 0]
  assert ends.max() < LONGEST and (plain.where[:, 0] > 10).all()
  total = -sum(c * x[:e].sum() for c, x, e in zip(counts, logp, ends))
  weight = (counts * ends).sum()
  np.testing.assert_allclose(found.loss["nll"], [total, weight], rtol=1e-5)
  # Odds are of completions, as without prompts.
  stats = lm.stats(params, plain, objective.needs)
  (alone,) = build.objectives(config_of(tmp_path, "tiny")).values()
  odds = alone.loss(stats, plain).loss["odds_ratio"]
  np.testing.assert_allclose(found.loss["odds_ratio"], odds, rtol=1e-5)


def message(f, *arguments):
  with pytest.raises(ValueError) as error:
    f(*arguments)
  assert 1 <= len(str(error.value).splitlines()) <= 5
  return str(error.value)


def checked(config):
  objectives = build.objectives(config)
  build.check_losses(config, objectives, preset("tiny"))


def test_prompts_are_listed_where_a_loss_reads_them_alone(tmp_path):
  unread = config_of(tmp_path, "tiny", train_on="all")
  text = message(checked, unread)
  assert "'all' lists the prompts" in text and "kind=with_prompt" in text
  unlisted = config_of(tmp_path, train_on="assistant")
  text = message(checked, unlisted)
  assert "data.train_on = 'assistant'" in text and "train_on=all" in text
  check_prompts(config_of(tmp_path), True)
  check_prompts(config_of(tmp_path, "tiny"), False)
  # All of a plain row is one completion.
  check_prompts(config_of(tmp_path, "tiny", rows="examples"), False)
  judged = config_of(tmp_path, rows="judged")
  text = message(checked, judged)
  assert "one of assistant, completion" in text


def test_a_preview_marks_the_prompt_once(tmp_path):
  config = config_of(tmp_path)
  first, *_ = list(inspection.preview(config, 1, colours=False))[2:]
  text = first.plain
  assert "prompt 0" not in text and "label 1, 0" in text
  assert text.count("<|im_start|>⟦user\n12?<|im_end|>\n<|im_start|>") == 1
  assert text.count("<|im_start|>user\n12?<|im_end|>\n<|im_start|>") == 1


def test_a_kept_reference_says_whether_prompts_are_in_it(tmp_path):
  """Rows and layout are the same, and the numbers are more."""
  found = []
  for words in ("tiny", "tiny,prompt"):
    config = config_of(tmp_path, words)
    key = annotations._key(read(config), config, LM(preset("tiny")), {})
    found.append(key.pop("layout"))
    found.append(key)
  assert found[0] == "apart" and found[2] == "apart+prompts"
  assert found[1] == found[3]
