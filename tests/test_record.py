"""What a checkpoint must agree with, key by key."""

import json

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict

from alignjax import build
from alignjax.build.record import checksum, flat
from alignjax.checkpoint import Found, refuse
from alignjax.models.presets import preset
from alignjax.train import start
from configs import common

FREE = """
checkpoint.every checkpoint.folder checkpoint.keep checkpoint.keep_every
checkpoint.on_error data.bad_rows_limit data.cache data.eval.cap
data.eval.format data.eval.limit data.eval.path data.eval.reader
data.eval.split data.eval.weight data.on_bad_row data.template data.train.cap
data.train.format data.train.limit data.train.path data.train.reader
data.train.split data.train.weight data.workers log.tensorboard log.wandb mesh
model.adapter model.attention
model.chunk model.path model.preset model.remat model.revision model.scores
reference.path reference.revision sample.count sample.every sample.max_tokens
sample.prompts sample.temperature
sharding.activations.head sharding.activations.hidden
sharding.activations.ids sharding.activations.key
sharding.activations.logits sharding.activations.looked_up
sharding.activations.mlp sharding.activations.query
sharding.activations.read sharding.activations.table
sharding.activations.value sharding.decoding.hidden sharding.decoding.mlp
sharding.gradients.read sharding.gradients.table sharding.undivided.head
sharding.undivided.logits sharding.undivided.read sharding.undivided.table
sharding.params teacher.path teacher.preset
teacher.revision train.accumulate train.eval_every train.nonfinite
"""
HELD = """
data.layout data.max_length data.packing data.ranked data.rows data.too_long
data.train_on lora.alpha lora.rank lora.root lora.targets model.dtype
model.frozen_dtype model.param_dtype optim.moment_dtype optim.adamw.b1
optim.adamw.b2 optim.adamw.eps optim.clip optim.end
optim.frozen optim.lr optim.lr_factors optim.name optim.no_decay
optim.schedule optim.warmup optim.weight_decay reference.alpha reference.every
seed teacher.beta train.batch train.neftune train.spike train.steps
"""
DATA = {"data.train": "1a", "tokenizer": "2b", "template": "3c"}


def base(**values):
  config = common.base()
  config.update_from_flattened_dict(
    {k.replace("__", "."): v for k, v in values.items()}
  )
  return config


def made(config=None, data=DATA, frozen=None, model="tiny"):
  config = base() if config is None else config
  return build.record(config, preset(model), frozen or {}, data)


def refused(found, wanted, names=None):
  """What is said of two records, checked to be short; "" where they agree."""
  try:
    refuse(*start._both(Found(4, found, []), wanted, names))
  except ValueError as error:
    assert len(str(error).splitlines()) <= 5
    return str(error)
  return ""


def test_every_key_is_free_or_held_on_purpose():
  """A new key of configs/common.py must be put on one of the two lists."""
  others = tuple(
    f"optim.{name}." for name in ("adafactor", "lion", "muon", "sgd")
  )
  keys = {k for k in flat(base()) if not k.startswith(others)}
  found = made().keys() - {"model", "frozen", *DATA}
  assert found == set(HELD.split())
  assert keys - found == set(FREE.split())


def test_options_of_another_optimizer_do_not_count():
  assert not refused(made(), made(base(optim__lion__b1=0.5)))
  text = refused(made(), made(base(optim__adamw__b1=0.5)))
  assert "optim.adamw.b1 = 0.9; the config says 0.5" in text
  # One whose name begins with that of another.
  one, other = base(), base()
  for config, value in ((one, 1), (other, 2)):
    config.optim.adamw_long = ConfigDict(dict(b1=value))
  assert not refused(made(one), made(other))


def test_a_teacher_is_no_part_of_the_model():
  """Older weights may be taught by another; a run goes on with its own."""
  one, two = ({"w": np.float32([i])} for i in (1, 2))
  plain, taught, other = (
    made(frozen={"embed": one["w"], **more})
    for more in ({}, {"teacher": one}, {"teacher": two})
  )
  assert "teacher = " in refused(taught, other)
  assert "teacher = None" in refused(plain, taught)
  assert not refused(plain, taught, start.WEIGHTS)
  assert "frozen" in refused(taught, made(frozen={"teacher": one}))


def test_a_reference_moves_on_as_it_did():
  still, moving = made(), made(base(reference__every=8))
  for names in (None, start.DATA):
    text = refused(still, moving, names)
    assert "reference.every = 0; the config says 8" in text
  assert not refused(still, moving, start.WEIGHTS)


def test_a_constant_schedule_may_be_prolonged():
  for schedule, held in (("constant", False), ("cosine", True)):
    one, other = (
      made(base(optim__schedule=schedule, train__steps=n)) for n in (100, 200)
    )
    assert ("train.steps = 100" in refused(one, other)) == held


def test_a_guard_that_stopped_a_run_may_skip():
  stop, skip, off = (
    made(base(train__spike=rule)) for rule in ("stop", "skip", "off")
  )
  assert not refused(stop, skip)
  assert "train.spike = 'off'; the config says" in refused(off, skip)
  assert not refused(made(base(train__nonfinite="skip")), made())


def test_what_the_config_has_no_more_is_named():
  """A second loss that is taken away, a part of a mixture that is left out."""
  one, two = base(), base()
  for config in (one, two):
    config.loss = ConfigDict(dict(main=dict(name="sft", weight=1.0)))
  two.loss.calm = ConfigDict(dict(name="dft", weight=0.2))
  text = refused(made(two), made(one))
  assert "loss.calm.name = 'dft'; the config says None" in text
  assert "loss.calm.name = None" in refused(made(one), made(two))
  parts = {"data.train/a": "1", "data.train/b": "2"}
  whole = made(data=parts | {"data.share/a": "0.5", "data.share/b": "0.5"})
  assert "data.train/b = '2'" in refused(
    whole, made(data={"data.train/a": "1"})
  )
  only = made(data={"data.train/a": "1"})
  assert "data.train/b" in refused(whole, only, start.DATA)
  assert not refused(whole, only, start.WEIGHTS)


def test_a_cause_stands_before_its_effects():
  other = made(base(data__max_length=9), data=DATA | {"data.train": "9f"})
  lines = refused(made(), other).splitlines()
  assert lines[1:3] == [
    "data.max_length = 512; the config says 9",
    "data.train = '1a'; the config says '9f'",
  ]


def test_modes_look_at_less():
  other = made(model="smollm2_135m")
  assert "model = " in refused(made(), other, start.WEIGHTS)
  other = made(base(optim__lr=1.0, train__steps=7))
  assert not refused(made(), other, start.WEIGHTS)
  assert not refused(made(), other, start.DATA)
  for change in (dict(seed=1), dict(train__batch=4)):
    assert refused(made(), made(base(**change)), start.DATA)
  resumed = made() | {"resume": "weights-only"}
  assert not refused(resumed, made() | {"resume": ""})


def test_a_record_comes_back_from_json_as_it_was():
  config = base(optim__lr_factors=((".*norm.*", 0.5),))
  assert not refused(json.loads(json.dumps(made(config))), made(config))


@pytest.fixture(scope="module")
def weights():
  """As loaded from bfloat16: the lower halves of the numbers are zero."""
  draw = np.random.default_rng(0)
  table = draw.normal(size=(32, 4096)).astype(jax.numpy.bfloat16)
  return {"table": np.float32(table), "scale": np.ones(8, np.float32)}


def test_a_checksum_is_of_the_bits_and_of_no_mesh(weights):
  whole = checksum(weights)
  assert len(whole) == 8 and int(whole, 16)
  mesh = jax.make_mesh(
    (2, 4), ("a", "b"), axis_types=(jax.sharding.AxisType.Auto,) * 2
  )
  for spec in (("a", "b"), ("b", None), (None, ("a", "b"))):
    rows = jax.NamedSharding(mesh, jax.P(*spec))
    laid = weights | {"table": jax.device_put(weights["table"], rows)}
    assert checksum(laid) == whole
  assert checksum({}) == ""


def test_a_checksum_sees_a_bit_and_a_place(weights):
  seen = {checksum(weights)}
  for bit in (0, 15, 31):
    table = weights["table"].copy()
    table.view(np.uint32)[3, 7] ^= np.uint32(1 << bit)
    seen.add(checksum(weights | {"table": table}))
  for a, b in ((0, 1), (0, 8), (3, 19)):  # rows change places
    order = np.arange(32)
    order[[a, b]] = b, a
    seen.add(checksum(weights | {"table": weights["table"][order]}))
  assert len(seen) == 7
  one, two = np.float32([1, 2]), np.float32([3, 4])
  swapped = {"a": two, "b": one}
  assert checksum({"a": one, "b": two}) != checksum(swapped)
  half = {"a": np.ones(4, jax.numpy.bfloat16), "b": np.int8([1, 2])}
  assert checksum(half) != checksum(half | {"b": np.int8([2, 1])})
