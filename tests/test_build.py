import json

import jax.numpy as jnp
import numpy as np
import pytest

from alignjax import build
from alignjax.types import Batch, Row


def small_model(config):
  place = build.placement(config)
  return build.model(config, place), place


@pytest.fixture(scope="module")
def alone(tiny):
  """The tiny model on one device, and its placement."""
  return small_model(tiny(mesh=(1, 1, 1)))


@pytest.fixture
def lines(tmp_path):
  """A function that writes rows to a .jsonl file and returns its path."""

  def write(*rows, name="rows.jsonl"):
    file = tmp_path / name
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(file)

  return write


def pair(prompt, completion):
  return {"prompt": prompt, "completion": completion}


def message(f, *arguments, kind=ValueError):
  """What a call raises, checked to be short."""
  with pytest.raises(kind) as error:
    f(*arguments)
  text = str(error.value)
  assert 1 <= len(text.splitlines()) <= 5
  return text


def test_a_preset_has_random_weights_by_seed_on_the_mesh(tiny, alone):
  one, place = small_model(tiny(mesh=(2, 2, 2)))
  kernel = one.params["layers"]["0"]["mlp"]["up"]["kernel"]
  assert kernel.sharding == place.param("layers/0/mlp/up/kernel", kernel.shape)
  assert one.tokenizer("a")["input_ids"] == [97]
  same, _ = alone
  np.testing.assert_array_equal(one.params["embed"], same.params["embed"])
  other, _ = small_model(tiny(mesh=(1, 1, 1), seed=1))
  assert not np.array_equal(one.params["embed"], other.params["embed"])


def test_a_model_is_a_path_or_a_preset(tiny):
  for values in (dict(model__preset=""), dict(model__path="x")):
    text = message(small_model, tiny(**values))
    assert "give one" in text and "model.path" in text
  text = message(small_model, tiny(model__preset="tinny"))
  assert "'tinny' is unknown; one of tiny, " in text
  text = message(small_model, tiny(model__remat="some"))
  assert "none, full, dots" in text


def test_an_objective_is_a_file_of_losses(tiny):
  found = build.objectives(tiny())
  assert list(found) == ["main"]
  assert found["main"].weight == 1.0
  assert found["main"].needs == ("logp", "correct")


TOY = '''"""A loss of one's own."""
from alignjax.ops.masked import term
from alignjax.types import Terms

needs = ("entropy",)
version = 3

def loss(stats, batch, *, power):
  x = stats["entropy"] ** power
  return Terms({"calm": term(x, batch.completions > 0)}, {})

def rows(stats, batch):
  first = term(stats["entropy"][:, 0], batch.completions[:, 0] > 0)
  return Terms({"first": first}, {})
'''


def test_a_loss_of_ones_own_is_an_import_path(tmp_path, monkeypatch):
  package = tmp_path / "mine"
  package.mkdir()
  (package / "toy.py").write_text(TOY)
  monkeypatch.syspath_prepend(tmp_path)
  options = {"name": "mine.toy", "weight": 0.5, "power": 2}
  found = build.objective("calm", options)
  assert options["name"] == "mine.toy"  # the config is left as it is
  assert (found.weight, found.needs) == (0.5, ("entropy",))
  zeros = jnp.zeros((2, 3), jnp.int32)
  mask = jnp.array([[1, 1, 0], [1, 0, 0]])
  batch = Batch(*[zeros] * 5, mask, 1.0 * mask)
  stats = {"entropy": jnp.full((2, 3), 3.0)}
  term = found.loss(stats, batch).loss["calm"]
  assert (float(term.sum), float(term.weight)) == (27.0, 3.0)
  by_kind = build.objective(
    "rows", {"name": "mine.toy", "weight": 1.0, "kind": "rows"}
  )
  assert list(by_kind.loss(stats, batch).loss) == ["first"]
  for wrong, words in [
    ({"weight": 1.0, "kind": "colums"}, "no kind 'colums'"),
    ({"weight": 1.0, "kind": "version"}, "no kind 'version'"),
    ({"weight": 1.0}, "takes power; the config gives none"),
    ({"weight": 1.0, "power": 1, "beta": 2}, "takes power; .* power, beta"),
    ({"power": 1}, "needs name and weight; no 'weight'"),
  ]:
    with pytest.raises(ValueError, match=words):
      build.objective("calm", {"name": "mine.toy"} | wrong)


def test_losses_that_do_not_exist_are_refused():
  text = message(build.objective, "main", {"name": "stf", "weight": 1.0})
  assert text.startswith("loss.main: no loss 'stf'; one of sft")
  text = message(build.objective, "main", {"name": "no.such", "weight": 1.0})
  assert "cannot import 'no.such'" in text
  text = message(
    build.objective, "main", {"name": "sft", "weight": 1.0, "beta": 1}
  )
  assert "takes no options; the config gives beta" in text


def test_rows_are_read_tokenised_and_counted(tiny, lines, alone):
  path = lines(pair("1+1?", "2"), pair("x" * 300, "y"), pair("2+2?", "4"))
  config = tiny(data__train__path=path, data__train__limit=0, mesh=(1, 1, 1))
  model, place = alone
  data = build.data(config, model, place)
  assert len(data.train.rows) == 2
  assert data.report[0].endswith(
    "(train): 2 rows, 1 dropped: longer than 256 tokens"
  )
  assert data.train.rows[1].origin.endswith("rows.jsonl:3")
  batch = data.train[0]
  assert batch.tokens.shape[0] == 8
  held = data.heldout[0]
  assert held.tokens.shape == batch.tokens.shape  # one shape, one compilation
  assert held.targets.shape == batch.targets.shape
  text = model.tokenizer.decode(batch.targets[0][batch.completions[0] > 0])
  assert text in ("2<|im_end|>", "4<|im_end|>")


def test_data_that_cannot_be_trained_on_is_refused(
  tiny, alone, lines, tmp_path
):
  def read(*rows, **values):
    path = lines(*rows) if rows else str(tmp_path / "missing.jsonl")
    values = dict(data__train__path=path, mesh=(1, 1, 1)) | values
    config = tiny(**values)
    build.data(config, alone[0], build.placement(config))

  good = pair("1+1?", "2")
  text = message(read, kind=FileNotFoundError)
  assert "missing.jsonl" in text
  long = pair("x" * 300, "y")
  text = message(read, long)
  assert "No rows are left to train on" in text and "1 dropped" in text
  options = dict(data__too_long="error")
  text = message(lambda: read(good, long, **options))
  assert "rows.jsonl:2: 3" in text and "the limit is 256" in text
  options = dict(data__max_length=1000, data__train__limit=0)
  text = message(lambda: read(pair("x" * 600, "y"), **options))
  assert "the model takes 512" in text and "data.max_length=512" in text
  text = message(lambda: read(good, mesh=(8, 1, 1), train__batch=12))
  assert "train.batch = 12" in text and "Use a multiple of 8" in text
  text = message(lambda: read(good, train__accumulate=3))
  assert "Use a multiple of 3" in text


def test_a_tokenizer_of_another_model_is_refused():
  row = Row(np.array([3, 700]), np.array([0, 1]), "data.jsonl:4")
  text = message(build.check_vocabulary, [row], 264)
  assert text.startswith("data.jsonl:4: token 700 is outside")
  assert "vocabulary of 264" in text
  build.check_vocabulary([row], 701)


def test_prompts_are_the_configs_or_the_first_held_out_ones(tiny, alone):
  config = tiny(mesh=(1, 1, 1))
  data = build.data(config, *alone)
  found = build.prompts(config, data.examples)
  assert len(found) == 3
  example = data.examples[0]
  assert found[0].messages == example.messages[:-1]
  assert found[0].reference == example.messages[-1]["content"]
  own = build.prompts(tiny(sample__prompts=("Hello?",)), data.examples)
  assert own == [build.Prompt(({"role": "user", "content": "Hello?"},), "")]
  assert build.prompts(tiny(sample__count=0), data.examples) == []


def test_a_folder_without_a_run_is_refused(tmp_path):
  text = message(build.trained, tmp_path, kind=FileNotFoundError)
  assert "is not a run: it has no config.json" in text
