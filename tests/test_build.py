import jax.numpy as jnp
import numpy as np
import pytest

from alignjax import build
from alignjax.types import Batch


def small_model(config):
  place = build.placement(config)
  return build.model(config, place), place


@pytest.fixture(scope="module")
def alone(tiny):
  """The tiny model on one device, and its placement."""
  return small_model(tiny(mesh=(1, 1, 1)))


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
  assert text.startswith("loss.main: no loss 'stf'; one of aot, cpo")
  text = message(build.objective, "main", {"name": "no.such", "weight": 1.0})
  assert "cannot import 'no.such'" in text
  text = message(
    build.objective, "main", {"name": "sft", "weight": 1.0, "beta": 1}
  )
  assert "takes no options; the config gives beta" in text


def test_a_folder_without_a_run_is_refused(tmp_path):
  text = message(build.trained, tmp_path, kind=FileNotFoundError)
  assert "is not a run: it has no config.json" in text
