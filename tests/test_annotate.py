import json
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pyarrow as pa
import pytest
from ml_collections import ConfigDict
from test_layouts import drawn

from alignjax import build
from alignjax.annotate import Ragged, annotate, make_annotator, with_fields
from alignjax.build import annotations
from alignjax.build.annotations import is_read, with_reference
from alignjax.data.layouts import Apart
from alignjax.data.loader import InOrder, collate, shape_of
from alignjax.data.rows import Rows
from alignjax.data.tokenizer import byte_tokenizer
from alignjax.models.lm import LM
from alignjax.models.presets import preset
from alignjax.pretrained import export

FIELD = "reference/logp"


def test_numbers_of_every_row_in_order(lm, params):
  rows = Apart(Rows.of(drawn(7)))
  shape = shape_of([rows])
  run = jax.jit(make_annotator(lm.stats, ("logp", "entropy")))
  batches = InOrder({"": rows}, batch=3, shape=shape)  # the last is ragged
  found = annotate(lambda step: run(params, batches[step]), batches)
  assert found.keys() == {"logp", "entropy"} and len(found["logp"]) == 7
  whole = collate(rows, *shape)
  stats = run(params, whole)
  for name, values in found.items():
    for b, own in enumerate(values):
      assert own.dtype == np.float32 and len(own) == rows.counts[b]
      expected = stats[name][b, : len(own)]
      np.testing.assert_allclose(own, expected, rtol=1e-5, atol=1e-6)


def test_nothing_is_said_where_nothing_is_trained(lm, params):
  rows = Rows.of(drawn(3))
  batch = collate(rows, *shape_of([rows]))
  found = jax.jit(make_annotator(lm.stats, ("logp",)))(params, batch)
  direct = jax.jit(partial(lm.stats, needs=("logp",)))(params, batch)["logp"]
  real = batch.completions > 0
  np.testing.assert_array_equal(np.asarray(found["logp"])[real], direct[real])
  more = with_fields(batch, found, "reference")
  assert more.fields.keys() == {*batch.fields, FIELD}
  assert not np.asarray(more.fields[FIELD])[~real].any()
  assert np.asarray(more.fields[FIELD])[real].all()


def test_ragged_numbers_by_hand():
  found = Ragged(np.float32([1, 2, 3]), np.array([1, 0, 2]))
  assert [x.tolist() for x in found] == [[1], [], [2, 3]]
  with pytest.raises(ValueError, match="3 numbers for 4 trained tokens"):
    Ragged(np.zeros(3, np.float32), np.array([4]))


def loss_of(**more):
  options = dict(name="dpo", kind="sigmoid", weight=1.0, beta=0.1)
  options |= dict(
    label_smoothing=0.0, divergence="reverse_kl", reference_free=False
  )
  return {"main": build.objective("main", options | more)}


def test_whether_a_loss_reads_the_reference():
  assert is_read(loss_of())
  assert not is_read(loss_of(reference_free=True))
  assert not is_read({"": build.objective("", dict(name="sft", weight=1.0))})


@pytest.fixture
def lines(tmp_path):
  def write(n, name="pairs.jsonl"):
    file = tmp_path / name
    rows = [
      {"prompt": f"{i}?", "chosen": "yes " * (i + 1), "rejected": "no"}
      for i in range(n)
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(file)

  return write


def config_of(tiny, train, held="", mesh=(1, 1, 1), **more):
  config = tiny(
    data__train__path=train,
    data__train__limit=0,
    data__eval__path=held,
    train__batch=4 if mesh[0] == 1 else 8,
    mesh=mesh,
  )
  with config.unlocked():
    config.data.rows = "pairs"
    config.data.update(more)
  return config


def annotated(config, lm, params, folder):
  place = build.placement(config)
  data = build.data(config, byte_tokenizer(), lm.config, place)
  return with_reference(data, config, place, lm, params, folder)


@pytest.fixture(scope="module")
def model(draw):
  lm = LM(preset("tiny"))
  return lm, draw(lm)


def agree(lm, params, batch):
  """Whether a batch's field is what the model says of its own rows."""
  logp = jax.jit(make_annotator(lm.stats, ("logp",)))(params, batch)["logp"]
  np.testing.assert_allclose(batch.fields[FIELD], logp, rtol=1e-4, atol=1e-4)


def test_batches_bring_the_reference_along(tiny, model, lines, tmp_path):
  paths = lines(6), lines(3, "held.jsonl")
  config = config_of(tiny, *paths, layout="shared")
  found = annotated(config, *model, tmp_path / "a")
  agree(*model, found.train[0])
  agree(*model, found.heldout[0])
  names = sorted(file.name for file in (tmp_path / "a").iterdir())
  assert names == ["held.arrow", "train.arrow"]
  # Packing takes the numbers of its rows: no pass is made.
  with config.unlocked():
    config.data.packing = 256
  packed = annotated(config, *model, tmp_path / "a")
  assert len(packed.train.parts[""]) < 6
  agree(*model, packed.train[0])
  # And a pass over packed rows gives each row its own.
  agree(*model, annotated(config, *model, tmp_path / "b").train[0])
  for name in names:
    one, two = (
      pa.ipc.open_file(tmp_path / x / name).read_all()[FIELD].to_numpy()
      for x in "ab"
    )
    np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-4)


def test_a_file_is_the_truth_and_says_of_what(
  tiny, model, lines, tmp_path, monkeypatch
):
  lm, params = model
  train, folder = lines(6), tmp_path / "a"
  config = config_of(tiny, train)
  first = annotated(config, lm, params, folder).train[0]
  with monkeypatch.context() as m:
    m.setattr(annotations, "annotate", None)  # is not called
    again = annotated(config, lm, params, folder).train[0]
  np.testing.assert_array_equal(first.fields[FIELD], again.fields[FIELD])

  def refused(config, params):
    with pytest.raises(ValueError) as error:
      annotated(config, lm, params, folder)
    assert "train.arrow" in str(error.value)
    assert "delete the file" in str(error.value)
    return str(error.value)

  other = jax.tree.map(lambda x: x * 1.01, params)
  assert "made with weights = " in refused(config, other)
  text = refused(config_of(tiny, train, layout="shared"), params)
  assert "made with layout = apart; shared is wanted" in text
  assert "made with rows = " in refused(config_of(tiny, lines(5)), params)
  lines(6)
  file = folder / "train.arrow"
  held = bytearray(file.read_bytes())
  at = held.find(np.float32(first.fields[FIELD][0, 0]).tobytes())
  held[at] ^= 1
  file.write_bytes(held)
  assert "is not what was written" in refused(config, params)
  file.write_bytes(held[:100])
  assert "cannot be read" in refused(config, params)


def test_adapters_are_left_out_of_the_reference(tiny, model, lines, tmp_path):
  lm, params = model
  config, folder = config_of(tiny, lines(4)), tmp_path / "a"
  plain = annotated(config, lm, params, folder).train[0]
  with_more = params | {"lora": {"any": jnp.ones(3)}}
  found = annotated(config, lm, with_more, folder).train[0]
  np.testing.assert_array_equal(plain.fields[FIELD], found.fields[FIELD])


def test_a_mesh_gives_the_same_numbers(tiny, lines, tmp_path):
  train, found = lines(11), []
  for mesh in ((1, 1, 1), (4, 2, 1)):
    config = config_of(tiny, train, mesh=mesh)
    place = build.placement(config)
    lm, params, tokenizer = build.model(config, place)
    data = build.data(config, tokenizer, lm.config, place)
    folder = tmp_path / str(mesh[0])
    data = with_reference(data, config, place, lm, params, folder)
    table = data.train.parts[""]
    found.append([table[i].fields[FIELD] for i in range(len(table))])
  for a, b in zip(*found):
    np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-5)


def test_another_model_is_referred_to(tiny, model, lines, tmp_path, draw):
  lm, params = model
  other = draw(lm, seed=1)
  export(tmp_path / "other", lm, other, byte_tokenizer())
  config = config_of(tiny, lines(4))
  with config.unlocked():
    config.reference = ConfigDict(
      dict(path=str(tmp_path / "other"), revision="")
    )
  found = annotated(config, lm, params, tmp_path / "a")
  agree(lm, other, found.train[0])
  own = annotated(config_of(tiny, lines(4)), lm, params, tmp_path / "b")
  assert own.identity["reference"] != found.identity["reference"]
  rest = byte_tokenizer()
  rest.add_tokens(["never"], special_tokens=True)
  export(tmp_path / "other", lm, other, rest)
  with pytest.raises(ValueError, match="its tokenizer is another"):
    annotated(config, lm, params, tmp_path / "a")
