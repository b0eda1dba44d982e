import json

import numpy as np
import pytest

from alignjax import build
from alignjax.build.rows import check_vocabulary
from alignjax.data import suite
from alignjax.data.rows import Rows
from alignjax.data.templates import load_template
from alignjax.data.tokenizer import byte_tokenizer
from alignjax.models.presets import preset
from alignjax.types import Row
from configs import common


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


def read(config, **options):
  place = build.placement(config)
  return build.data(config, byte_tokenizer(), preset("tiny"), place, **options)


def message(f, *arguments, kind=ValueError):
  """What a call raises, checked to be short."""
  with pytest.raises(kind) as error:
    f(*arguments)
  text = str(error.value)
  assert 1 <= len(text.splitlines()) <= 5
  return text


def test_rows_are_read_tokenised_and_counted(tiny, lines):
  path = lines(pair("1+1?", "2"), pair("x" * 300, "y"), pair("2+2?", "4"))
  config = tiny(data__train__path=path, data__train__limit=0, mesh=(1, 1, 1))
  data = read(config)
  rows = data.train.parts[""]
  assert len(rows) == 2
  assert data.report[0] == (
    f"{path} (train): 2 rows, 1 dropped: longer than 256 tokens"
  )
  assert rows[1].origin == rows.origin(1) == f"{path}:3"
  with config.unlocked():
    config.data.too_long = "split"
  assert read(config).report[0] == (
    f"{path} (train): 3 rows, 1 split: longer than 256 tokens"
  )
  batch = data.train[0]
  assert batch.tokens.shape[0] == 8
  held = data.heldout[0]
  assert held.tokens.shape == batch.tokens.shape  # one shape, one compilation
  assert held.targets.shape == batch.targets.shape
  text = byte_tokenizer().decode(batch.targets[0][batch.completions[0] > 0])
  assert text in ("2<|im_end|>", "4<|im_end|>")


def test_data_that_cannot_be_trained_on_is_refused(tiny, lines, tmp_path):
  def of(*rows, **values):
    path = lines(*rows) if rows else str(tmp_path / "missing.jsonl")
    values = dict(data__train__path=path, mesh=(1, 1, 1)) | values
    read(tiny(**values))

  good = pair("1+1?", "2")
  text = message(of, kind=FileNotFoundError)
  assert "missing.jsonl" in text
  long = pair("x" * 300, "y")
  text = message(of, long)
  assert "No rows are left to train on" in text and "1 dropped" in text
  options = dict(data__too_long="error")
  text = message(lambda: of(good, long, **options))
  assert "rows.jsonl:2: 3" in text and "the limit is 256" in text
  options = dict(data__max_length=1000, data__train__limit=0)
  text = message(lambda: of(pair("x" * 600, "y"), **options))
  assert "the model takes 512" in text and "data.max_length=512" in text
  text = message(lambda: of(good, mesh=(8, 1, 1), train__batch=12))
  assert "train.batch = 12" in text and "Use a multiple of 8" in text
  text = message(lambda: of(good, train__accumulate=3))
  assert "Use a multiple of 3" in text
  text = message(lambda: of(good, data__workers=-1))
  assert "data.workers = -1" in text
  text = message(lambda: of(good, data__cache="gs://bucket/rows"))
  assert "data.cache = gs://bucket/rows" in text


def test_weights_of_rows_reach_the_batch(tiny, lines):
  path = lines(pair("1+1?", "2") | {"weight": 0.5}, pair("2+2?", "4"))
  packed = {"data__packing": 256}
  for more in ({}, packed):
    config = tiny(
      mesh=(1, 1, 1), data__train__path=path, data__eval__path="", **more
    )
    batch = read(config).train[0]
    real = batch.completions > 0
    assert set(batch.weights[real].tolist()) == {0.5, 1.0}
    assert not batch.weights[~real].any()


def test_a_tokenizer_of_another_model_is_refused():
  good = Row(np.array([3, 9]), np.array([0, 1]), "data.jsonl:3")
  row = Row(np.array([3, 700]), np.array([0, 1]), "data.jsonl:4")
  rows = Rows.of([good, row])
  text = message(check_vocabulary, [Rows.of([]), rows], 264)
  assert text.startswith("data.jsonl:4: token 700 is outside")
  assert "vocabulary of 264" in text
  check_vocabulary([rows], 701)


def mixed(config, train, held=None):
  with config.unlocked():
    config.data.train = common.mixture(**train)
    if held is not None:
      config.data.eval = common.mixture(**held)
  return config


def test_parts_are_drawn_by_their_weights(tiny, lines):
  one = lines(*(pair(f"a{i}", "x") for i in range(4)), name="one.jsonl")
  two = lines(*(pair(f"b{i}", "y") for i in range(12)), name="two.jsonl")
  train = dict(
    one=common.source(one, "train", weight=3.0),
    two=common.source(two, "train[4:10]", weight=1.0),
  )
  held = dict(a=common.source(one, "train[:2]"), b=common.source(two, "train"))
  config = mixed(tiny(mesh=(1, 1, 1)), train, held)
  data = read(config)
  seen = [pair for step in range(4) for pair in data.train.indices(step)]
  assert sum(part == "one" for part, _ in seen) == 24
  origins = {o for step in range(9) for o in data.train.origins(step)}
  numbers = {int(o.split(":")[1]) for o in origins if o.startswith(two)}
  assert numbers == set(range(5, 11))
  lengths = data.train.parts["one"].lengths.sum()
  assert data.report[0] == (
    f"train/one: {one} (train): 4 rows, {lengths} tokens, "
    "75.0% of the rows drawn"
  )
  assert data.report[2].startswith(f"eval/a: {one} (train[:2]): 2 rows")
  assert len(data.heldout) == 2  # 14 rows
  assert set(data.identity) == {
    "data.train/one",
    "data.train/two",
    "data.packing",
    "data.share/one",
    "data.share/two",
    "tokenizer",
    "template",
  }
  assert data.identity["data.share/two"] == "0.250000"


def test_packed_parts_keep_their_shares_of_rows(tiny, lines):
  short = lines(*(pair("a", "x") for _ in range(64)), name="short.jsonl")
  long = lines(*(pair("b" * 150, "y") for _ in range(16)), name="long.jsonl")
  train = dict(
    short=common.source(short, "train", weight=1.0),
    long=common.source(long, "train", weight=1.0),
  )
  config = mixed(tiny(mesh=(1, 1, 1), data__packing=256), train)
  data = read(config)
  drawn = {"short": 0, "long": 0}
  for step in range(32):
    for part, i in data.train.indices(step):
      drawn[part] += len(data.train.parts[part].bins[i])
  assert drawn["short"] == pytest.approx(drawn["long"], rel=0.1)
  assert any(
    line.startswith("train/short: packed into") for line in data.report
  )


def test_what_the_rows_are_made_of_is_their_identity(tiny, lines, tmp_path):
  def identity(config=None, **values):
    config = tiny(
      mesh=(1, 1, 1), data__train__path=path, data__eval__path="", **values
    )
    return read(config).identity

  path = lines(pair("1+1?", "2"), pair("2+2?", "4"))
  first = identity()
  path = lines(pair("1+1?", "2"), pair("2+2?", "4"), name="moved.jsonl")
  assert identity() == first  # the same rows at another place

  def changed(**values):
    found = identity(**values)
    assert found.keys() == first.keys()
    return {key for key in first if found[key] != first[key]}

  assert changed(data__max_length=200) == {"data.train"}
  assert changed(data__train_on="last") == {"data.train"}
  assert changed(data__template="plain") == {"template"}
  assert changed(data__packing=256) == {"data.packing"}
  path = lines(pair("1+1?", "2"), pair("2+2?", "5"), name="moved.jsonl")
  assert changed() == {"data.train"}


def test_rows_come_from_the_cache_the_second_time(
  tiny, lines, tmp_path, monkeypatch
):
  path = lines(pair("1+1?", "2"), {"prompt": "?"}, pair("2+2?", "4"))
  config = tiny(
    mesh=(1, 1, 1),
    data__train__path=path,
    data__eval__path="",
    data__on_bad_row="quarantine",
    data__bad_rows_limit=0.5,
  )
  seen = []
  progress = lambda name, rows: seen.append((name, rows))  # noqa: E731
  memory = read(config)
  first = read(config, cache=tmp_path / "cache", progress=progress)
  assert seen == [("data.train", 3)]
  second = read(config, cache=tmp_path / "cache", progress=progress)
  assert seen == [("data.train", 3)]  # nothing was tokenised again
  assert len(first.bad) == 1 and first.bad[0].origin == f"{path}:2"
  for other in (first, second):
    assert other.report == memory.report and other.bad == memory.bad
    assert other.identity == memory.identity
    for a, b in zip(memory.train[3], other.train[3]):
      np.testing.assert_array_equal(a, b)
  with config.unlocked():
    config.data.bad_rows_limit = 0.3  # is asked of what was kept, too
  text = message(lambda: read(config, cache=tmp_path / "cache"))
  assert "1 of 3 rows are bad, the limit is 30.00%" in text
  with config.unlocked():
    config.data.bad_rows_limit = 0.5
    config.data.cache = str(tmp_path / "shared")
  read(config, cache=tmp_path / "unused")
  assert (tmp_path / "shared").is_dir() and not (tmp_path / "unused").exists()
  lines(pair("1+1?", "2"), pair("2+2?", "4"), pair("3+3?", "6"))
  text = message(lambda: read(config))
  assert "stale cache" in text and path in text and "data.cache" in text


def prompts(config):
  tokenizer = byte_tokenizer()
  return build.prompts(config, tokenizer, load_template(None, tokenizer))


def test_prompts_are_the_configs_or_the_first_held_out_ones(tiny, lines):
  path = lines(
    pair("x" * 300, "too long"),
    {"prompt": "bad"},
    pair("1+1?", "2"),
    pair("2+2?", "4"),
    pair("3+3?", "6"),
  )
  config = tiny(data__eval__path=path, sample__count=2)
  found = prompts(config)
  assert [p.messages[-1]["content"] for p in found] == ["1+1?", "2+2?"]
  assert [p.reference for p in found] == ["2", "4"]
  own = prompts(tiny(sample__prompts=("Hello?",)))
  assert own == [build.Prompt(({"role": "user", "content": "Hello?"},), "")]
  assert prompts(tiny(sample__count=0)) == []
  assert prompts(tiny(data__eval__path="")) == []
  held = dict(
    a=common.source(path, "train"), b=common.source("suite", "heldout")
  )
  both = prompts(mixed(tiny(), dict(a=common.source(path, "train")), held))
  first = suite.rows("heldout", n=2)
  # Parts take turns; the first row of `a` is passed over.
  wanted = [first[0]["completion"], "2", first[1]["completion"]]
  assert [p.reference for p in both] == wanted
