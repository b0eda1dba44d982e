import json

import numpy as np
import pytest

from alignjax.cli.contamination import contamination as command
from alignjax.data import ngrams
from alignjax.data.contamination import RULES, Source, contamination
from alignjax.data.ngrams import PARTS, Index, words
from alignjax.statistics.intervals import Share

LETTERS = "abcdefghijklmnopqrstuvwxyz"


def said(text, n=None):
  """Words of one letter."""
  return " ".join(text[:n])


def write(file, *rows):
  file.write_text("".join(json.dumps(row) + "\n" for row in rows))
  return str(file)


def row(prompt, completion):
  return {"prompt": prompt, "completion": completion}


def of(tmp_path, train, evals, **options):
  """The entries of the only evaluation file, by n."""
  sources = (
    [Source(write(tmp_path / f"{name}.jsonl", *rows), name)]
    for name, rows in (("train", train), ("eval", evals))
  )
  found = contamination(*sources, **options)
  return {grams.n: grams for grams in found.evals[0].found}


def share(grams, part=PARTS[0]):
  return grams.parts[PARTS.index(part)].contaminated


def test_words_have_no_case_no_punctuation():
  text = "Straße, don’t! ﬁt_in\n１２,3 É"
  assert words(text) == "strasse don t fit in 12 3 é".split()
  assert words(" …!") == []


def test_one_13_gram_is_enough(tmp_path):
  """Of 26 − 12 13-grams the training row has one, then none."""
  evals = [row(said(LETTERS, 20), said(LETTERS[20:]))]
  thirteen = f"X {said(LETTERS[3:16]).upper()}, x"
  found = of(tmp_path, [row("q", thirteen)], evals)[13]
  assert share(found) == (1, 1)
  assert share(found, "prompt") == (1, 1)
  assert share(found, "gold") == (0, 0)  # six words: shorter
  (match,) = found.worst
  assert match.found == Share(1, 14)
  assert match.text == said(LETTERS[3:16])
  assert match.origin.endswith("eval.jsonl:1")
  assert match.training.endswith("train.jsonl:1")
  twelve = f"x {said(LETTERS[3:15])} x"
  found = of(tmp_path, [row("q", twelve)], evals)[13]
  assert share(found) == (0, 1) and found.worst == ()


@pytest.mark.parametrize("shared, over", ((14, 1), (13, 0)))
def test_70_percent_of_8_grams_are_too_many(tmp_path, shared, over):
  """17 words are ten 8-grams: seven of them, or six, are in training."""
  evals = [row(said(LETTERS, 9), said(LETTERS[9:17]))]
  train = [row("?", said(LETTERS, shared) + " x"), row("z y", "w")]
  found = of(tmp_path, train, evals, n=[8])
  assert list(found) == [8]
  assert share(found[8]) == (over, 1)
  # Both 8-grams of the prompt are; of the gold's one, none.
  assert share(found[8], "prompt") == (1, 1)
  assert share(found[8], "gold") == (0, 1)


def test_prompt_and_gold_are_one_text_and_two(tmp_path):
  """What crosses the border counts for both together alone."""
  evals = [row(said(LETTERS, 13), said(LETTERS[13:]))]
  train = [row("1", said(LETTERS[6:20]))]
  found = of(tmp_path, train, evals)
  assert share(found[13]) == (1, 1)
  assert share(found[13], "prompt") == share(found[13], "gold") == (0, 1)
  # Nor does an n-gram reach over into the next training row.
  train = [{"text": said(LETTERS, 12)}, {"text": said(LETTERS[12:24])}]
  assert share(of(tmp_path, train, evals)[13]) == (0, 1)


def test_shorter_rows_are_compared_whole_and_apart(tmp_path):
  evals = [row("Who wrote it?", "Ada."), row("Who sang?", "Bo"), row("a", "b")]
  train = [row("who wrote it", "ADA"), row("Who sang", "Cy"), row("x a b", "y")]
  found = of(tmp_path, train, evals)
  for n in RULES:
    both, prompt, gold = found[n].parts
    assert both.contaminated == prompt.contaminated == (0, 0)
    assert both.whole == (1, 3)
    assert prompt.whole == (2, 3) and gold.whole == (1, 3)
    (match,) = found[n].worst
    assert match.text == "who wrote it ada" and match.found == (1, 1)
    assert match.training.endswith("train.jsonl:1")


def test_the_worst_come_first_with_the_row_that_has_most(tmp_path):
  evals = [
    row(said(LETTERS, 13), said("0123456789")),
    row(said(LETTERS[:2] + LETTERS[4:17]), said("9876543210")),
    row(said(LETTERS[::-1]), "z"),
  ]
  train = [
    {"text": said(LETTERS, 14)},  # has the beginning first
    row(said(LETTERS, 13), said("0123456789")),  # has all of it
  ]
  first, *more = of(tmp_path, train, evals)[13].worst
  assert first.origin.endswith(":1") and first.found == (11, 11)
  # The first 13-gram is of the text; the ten after it are of the second row.
  assert first.training.endswith("train.jsonl:2")
  assert first.text == f"{said(LETTERS[1:13])} {said('0123456789')}"
  assert more == []


@pytest.mark.parametrize(
  "train",
  (
    {"messages": [{"role": "user", "content": said(LETTERS, 13)}]},
    {"prompt": [{"role": "user", "content": said(LETTERS, 13)}]},
    {"prompt": "q", "chosen": "no", "rejected": said(LETTERS, 13)},
    {"prompt": said(LETTERS, 13), "completion": "x", "label": False},
    {"prompt": said(LETTERS, 5), "completion": said(LETTERS[5:]), "label": "x"},
    {"prompt": said(LETTERS, 13)},
    {"text": f"y {said(LETTERS, 13)}"},
    {
      "instruction": said(LETTERS, 6),
      "input": said(LETTERS[6:]),
      "output": "x",
    },
    {
      "prompt": "q",
      "completions": ["x", "y", said(LETTERS, 13)],
      "ranks": [1, 2, 3],
    },
  ),
)
def test_rows_of_every_format_are_trained_on(tmp_path, train):
  if "messages" in train:
    train["messages"].append({"role": "assistant", "content": "x"})
  evals = [{"prompt": said(LETTERS, 13)}]
  found = of(tmp_path, [train], evals)[13]
  assert share(found) == share(found, "prompt") == (1, 1)
  gold = found.parts[2]
  assert gold.contaminated == gold.whole == (0, 0)  # it has none


def test_the_gold_of_a_pair_is_the_chosen_side(tmp_path):
  evals = [{"prompt": "q", "chosen": said(LETTERS), "rejected": "no"}]
  found = of(tmp_path, [row("p", said(LETTERS))], evals)[13]
  assert share(found, "gold") == (1, 1)
  found = of(tmp_path, [row("p", "no")], evals)[13]
  assert share(found, "gold") == (0, 1)


def test_system_turns_are_left_out(tmp_path):
  def chat(question):
    parts = ("system", LETTERS), ("user", question), ("assistant", "yes")
    return {"messages": [{"role": r, "content": said(c)} for r, c in parts]}

  found = of(tmp_path, [chat("0123")], [chat("5678")])
  assert share(found[8]) == (0, 0)
  assert found[8].parts[0].whole == (0, 1)


def test_the_index_finds_what_sets_of_tuples_find(monkeypatch):
  """Random words of a small language; rows streamed in pieces."""
  monkeypatch.setattr(ngrams, "_AT_ONCE", 50)
  draw = np.random.default_rng(0)

  def rows(count, letters):
    for k in range(count):
      sizes = draw.integers(0, 12, 2)
      yield f"r{k}", *(said(draw.choice(list(letters), n)) for n in sizes)

  kept, streamed = list(rows(60, "abc")), list(rows(80, "abcd"))
  index = Index((3, 5))
  places = [index.keep(*one) for one in kept]
  index.stream((o, prompt, (gold, "d")) for o, prompt, gold in streamed[:40])
  index.stream((o, prompt, (gold,)) for o, prompt, gold in streamed[40:])

  def grams(text, n):
    found = text.split()
    return [tuple(found[i : i + n]) for i in range(len(found) - n + 1)]

  for n in (3, 5):
    first = {}
    for k, (origin, prompt, gold) in enumerate(streamed):
      texts = [f"{prompt} {gold}"] + [f"{prompt} d"] * (k < 40)
      for text in texts:
        for gram in grams(text, n):
          first.setdefault(gram, origin)
    seen = 0
    for place, (_, prompt, gold) in zip(places, kept):
      for part, text in zip(PARTS, (f"{prompt} {gold}", prompt, gold)):
        own = grams(text, n)
        hits = sum(gram in first for gram in own)
        assert index.hits(place, part, n) == (hits, len(own))
        seen += hits
      own = grams(f"{prompt} {gold}", n)
      if any(gram in first for gram in own):
        origin, text = index.longest(place, n)
        assert text in f"{prompt} {gold}"
        assert {first[gram] for gram in grams(text, n)} == {origin}
    assert seen > 50


def test_bad_rows_are_counted_and_a_set_without_others_refused(tmp_path):
  good, bad = row("a", "b"), {"question": "a"}
  paths = [
    Source(write(tmp_path / f"{k}.jsonl", *rows), "train")
    for k, rows in enumerate(([good, bad], [bad]))
  ]
  found = contamination(paths[:1], paths[:1])
  for file in (*found.train, *found.evals):
    assert (file.rows, file.bad) == (2, 1)
    assert "0.jsonl:2" in file.first_bad
  for sides in (paths[:1], paths[1:]), (paths[1:], paths[:1]):
    with pytest.raises(ValueError, match="1.jsonl .* has no row that can"):
      contamination(*sides)
  with pytest.raises(ValueError, match="n = \\[9\\]; .* 8 or 13"):
    contamination(paths[:1], paths[:1], n=[9])


def test_the_built_in_tasks_are_a_source():
  train, heldout = (Source("suite", split) for split in ("train", "heldout"))
  (file,) = contamination([train], [heldout]).evals
  parts = file.found[0].parts
  assert (file.bad, file.rows) == (
    0,
    parts[0].contaminated.n + parts[0].whole.n,
  )
  assert parts[0].whole.hits == 0  # no row is in both splits
  for grams in contamination([heldout], [heldout]).evals[0].found:
    for part in grams.parts:
      assert part.contaminated.hits == part.contaminated.n
      assert part.whole.hits == part.whole.n
    assert grams.parts[0].contaminated.n > 200


def test_the_command_prints_a_table_and_writes_json(tmp_path, capsys):
  train = write(tmp_path / "train.jsonl", row("q", said(LETTERS)))
  evals = [
    write(tmp_path / "a.jsonl", row("p", said(LETTERS[2:])), row("x", "y")),
    write(tmp_path / "b.jsonl", row("p", said(LETTERS[::-1])), {"odd": 1}),
  ]
  file = tmp_path / "found.json"
  argv = ["--train", train, "--eval", evals[0], "--eval", evals[1]]
  command([*argv, "--n", "13", "--json", str(file)])
  out = capsys.readouterr().out
  assert "100.0% of 1 [20.7, 100.0]" in out and "0.0% of 1 [0.0, 79.3]" in out
  assert f"{evals[0]}:1 as {train}:1, 12 of 13 n-grams" in out
  assert f"    {said(LETTERS[2:])}\n" in out
  assert "2 rows, 1 of them bad and left out; " in out
  numbers = json.loads(file.read_text())
  first, second = (f["found"] for f in numbers["evals"])
  assert [grams["n"] for grams in first] == [13]
  assert first[0]["parts"][0]["contaminated"]["hits"] == 1
  assert first[0]["parts"][0]["whole"] == {
    "hits": 0,
    "n": 1,
    "interval": list(Share(0, 1).interval()),
    "share": 0.0,
  }
  assert second[0]["parts"][0]["contaminated"]["share"] == 0.0
  with pytest.raises(SystemExit):
    command([*argv, "--n", "9"])


def test_a_split_is_chosen_for_each_side(tmp_path):
  """A slice of one file, and training rows of the built-in tasks by default."""
  rows = [row(said(LETTERS), "a"), row(said(LETTERS[::-1]), "b")]
  path, out = write(tmp_path / "a.jsonl", *rows), tmp_path / "out.json"
  argv = ["--train", path, "--train-split", "train[:1]", "--eval", path]
  command([*argv, "--eval-split", "train[1:]", "--json", str(out)])
  found = json.loads(out.read_text())
  assert [f["rows"] for f in found["train"] + found["evals"]] == [1, 1]
  assert found["evals"][0]["found"][0]["parts"][0]["contaminated"]["hits"] == 0
  command(["--train", path, "--eval", "suite", "--json", str(out)])
  assert json.loads(out.read_text())["evals"][0]["split"] == "heldout"
