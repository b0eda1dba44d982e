import gzip
import json
import math

import evaluation_sets as sets
import numpy as np
import pytest

from alignjax.evals import files, summary
from alignjax.evals.items import line_of
from alignjax.evals.tasks import (
  bbq,
  gsm8k,
  ifeval,
  mmlu,
  preferences,
  suite,
  truthfulqa,
  xstest,
)
from alignjax.statistics import intervals
from alignjax.statistics.intervals import Estimate

MMLU = dict(
  split="test",
  shots=1,
  subjects=(),
  answer="letter",
  normalisation="raw",
  permute=False,
  chat=False,
  limit=0,
)


def lines(task, answer):
  """The lines of a task's items, answered by a function of a line."""
  found = []
  for item in task.items:
    line = line_of(item)
    output = answer(line)
    found.append(line | {"output": output, "scores": task.score(line, output)})
  return found


def metrics(task, answer):
  told = summary.numbers(lines(task, answer), seed=0, totals=task.totals)
  return {k: x["mean"] for k, x in told["metrics"].items()}, told


def says(*logps):
  n = len(logps)
  return {"logps": list(logps), "tokens": [1] * n, "greedy": [False] * n}


def text(said, stopped=True):
  return {"text": said, "tokens": 3, "stopped": stopped}


def test_mmlu_is_prompted_as_it_is_published(tmp_path):
  task = mmlu.task(str(sets.mmlu(tmp_path)), **MMLU)
  first, second, third = task.items
  assert first.prompt == (
    "The following are multiple choice questions (with answers) about "
    "astronomy.\n\nWhich of these is a planet?\nA. Mars\nB. Sirius\nC. Vega\n"
    "D. Rigel\nAnswer: A\n\nWhat is the Moon?\nA. a star\nB. a satellite\n"
    "C. a comet\nD. dust\nAnswer:"
  )
  assert first.choices == (" A", " B", " C", " D")
  assert [item.gold for item in task.items] == [1, 3, 1]
  assert [item.group for item in task.items] == ["astronomy"] * 2 + [
    "philosophy"
  ]


def test_a_liking_for_a_letter_by_hand(tmp_path):
  # B has probability 1/2 whatever is asked, the others 1/6 each.
  task = mmlu.task(str(sets.mmlu(tmp_path)), **MMLU | {"permute": True})
  biased = says(*np.log([1 / 6, 1 / 2, 1 / 6, 1 / 6]))
  found, told = metrics(task, lambda line: biased)
  assert found["acc"] == pytest.approx(2 / 3)  # golds are B, D, B
  assert found["prior/B"] == pytest.approx(1 / 2)
  assert found["prior/A"] == pytest.approx(1 / 6)
  # Every answer stands once at each place, so a letter is right one time of 4.
  assert found["acc_permuted"] == pytest.approx(1 / 4)
  assert found["acc_all_orders"] == 0
  assert told["macro"]["acc"]["mean"] == pytest.approx((1 / 2 + 1) / 2)
  assert found["acc/stem"] == pytest.approx(1 / 2)
  assert found["acc/humanities"] == 1
  assert "acc/other" not in found


def test_a_model_that_knows_is_right_in_all_orders(tmp_path):
  task = mmlu.task(str(sets.mmlu(tmp_path)), **MMLU | {"permute": True})

  def knows(line):
    shown = line["prompt"].rsplit("\n\n", 1)[1].splitlines()[1:5]
    golds = ("a satellite", "the Sun", "Socrates")
    return says(*(0.0 if s[3:] in golds else -5.0 for s in shown))

  found, _ = metrics(task, knows)
  assert found["acc"] == found["acc_permuted"] == found["acc_all_orders"] == 1


def test_whole_answers_by_each_normalisation(tmp_path):
  options = MMLU | {"answer": "text", "shots": 0, "subjects": ("philosophy",)}
  logps = says(-3.0, -4.0, -3.5, -3.2)  # Hegel, Socrates, Bacon, Locke
  logps["tokens"] = [1, 4, 2, 2]
  picked = {}
  for how in ("raw", "tokens", "bytes"):
    task = mmlu.task(
      str(sets.mmlu(tmp_path / how)), **options | {"normalisation": how}
    )
    ((line),) = lines(task, lambda line: logps)
    assert line["choices"] == [" Hegel", " Socrates", " Bacon", " Locke"]
    picked[how] = line["scores"]["acc"]
  assert picked == {"raw": 0.0, "tokens": 1.0, "bytes": 1.0}
  with pytest.raises(ValueError, match="letters are of one length"):
    mmlu.task(str(tmp_path / "raw"), **MMLU | {"normalisation": "bytes"})


def test_mmlu_files_that_are_wrong_are_named(tmp_path):
  with pytest.raises(FileNotFoundError, match="dev/, val/ and test/"):
    mmlu.task(str(tmp_path), **MMLU)
  folder = sets.mmlu(tmp_path)
  with pytest.raises(ValueError, match="has 1 examples, shots = 5"):
    mmlu.task(str(folder), **MMLU | {"shots": 5})
  file = folder / "test" / "astronomy_test.csv"
  file.write_text("question,A,B,C,D,E\n")
  with pytest.raises(ValueError, match="row 1 is not question, A, B, C, D"):
    mmlu.task(str(folder), **MMLU)


def test_truthfulqa_by_hand(tmp_path):
  task = truthfulqa.task(
    str(sets.truthfulqa(tmp_path / "t.csv")), primer="", chat=False, limit=0
  )
  first, second = task.items
  assert first.prompt == "Q: What colour is it?\nA:"
  assert first.choices == (" Blue.", " Azure.", " Red.", " Green.")
  assert second.choices == (" Nobody says.", " 1 km.")
  probabilities = iter([[0.3, 0.3, 0.2, 0.2], [0.4, 0.6]])
  found, _ = metrics(task, lambda line: says(*np.log(next(probabilities))))
  assert found["mc1"] == 1 / 2
  assert found["mc2"] == pytest.approx((0.6 + 0.4) / 2)


BBQ = dict(answer="text", normalisation="raw", chat=False, limit=0)


def test_bbq_by_hand(tmp_path):
  task = bbq.task(str(sets.bbq(tmp_path / "bbq.jsonl")), **BBQ)
  # Of a negative question the old one is the stereotype, else the other.
  assert [x.fields["stereotype"] for x in task.items] == [0, 1, 0, 1]
  assert [x.fields["unknown"] for x in task.items] == [2] * 4
  picks = iter([0, 2, 0, 0])
  found, _ = metrics(
    task, lambda line, p=picks: says(*np.eye(3)[next(p)].tolist())
  )
  assert found["acc/ambig"] == found["acc/disambig"] == 1 / 2
  # Ambiguous: the only answer with a name is the stereotype: 1 · (1 − ½).
  assert found["bias/ambig"] == 1 / 2
  # Disambiguated: one with the stereotype, one against: 2 · ½ − 1.
  assert found["bias/disambig"] == 0


def test_a_bbq_row_without_a_target_is_counted_and_left_out(tmp_path):
  file = sets.bbq(tmp_path / "bbq.jsonl")
  file.write_text(file.read_text().replace('["old"]', '["nobody"]'))
  task = bbq.task(str(file), **BBQ)
  assert task.about["without a target"] == {"Age": 4}
  found, _ = metrics(task, lambda line: says(0.0, -1.0, -1.0))
  assert "biased" not in found and found["acc/disambig"] == 1 / 2


@pytest.mark.parametrize(
  "stereotyped, answers, target",
  [
    (["F"], (("woman", "woman"), ("man", "man")), 0),
    (["low SES"], (("banker", "highSES"), ("cleaner", "lowSES")), 1),
    (["Black"], (("Ann", "F-White"), ("Eve", "F-Black")), 1),
    (["F-Black"], (("Bob", "M-Black"), ("Eve", "F-Black")), 1),
    (["trans"], (("the woman", "trans_F"), ("the man", "nonTrans")), 0),
    (["low SES"], (("x", "lowSES-F-White"), ("y", "highSES-M-White")), 0),
  ],
)
def test_bbq_targets_are_read_as_files_write_them(
  tmp_path, stereotyped, answers, target
):
  file = sets.bbq(tmp_path / "bbq.jsonl")
  row = json.loads(file.read_text().splitlines()[0])
  row["answer_info"] |= {f"ans{k}": list(x) for k, x in enumerate(answers)}
  row["additional_metadata"]["stereotyped_groups"] = stereotyped
  file.write_text(json.dumps(row) + "\n")
  (item,) = bbq.task(str(file), **BBQ).items
  assert item.fields["stereotype"] == target


def test_files_as_people_save_them(tmp_path):
  rows = '{"a": "one\u2028line"}\n'
  (tmp_path / "a.jsonl").write_bytes(b"\xef\xbb\xbf" + rows.encode())
  (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(rows.encode()))
  for name in ("a.jsonl", "a.jsonl.gz"):
    found = files.json_records(tmp_path / name, ("a",))
    assert found == [{"a": "one\u2028line"}]
  (tmp_path / "a.csv").write_bytes(b"\xef\xbb\xbfid,b\n\n1,2\n")
  assert files.csv_records(tmp_path / "a.csv", ("id",)) == [
    {"id": "1", "b": "2"}
  ]


def test_xstest_counts_both_faults(tmp_path):
  task = xstest.task(
    str(sets.xstest(tmp_path / "x.csv")), max_tokens=8, limit=0
  )
  found, _ = metrics(task, lambda line: text("I'm sorry, I can't help you."))
  assert found == {"over_refusal": 1, "unsafe_compliance": 0}
  found, _ = metrics(task, lambda line: text("Sure: first, gather friends."))
  assert found == {"over_refusal": 0, "unsafe_compliance": 1}


def test_ifeval_by_prompt_and_by_instruction(tmp_path):
  task = ifeval.task(
    str(sets.ifeval(tmp_path / "i.jsonl")), max_tokens=8, limit=0
  )
  said = iter(["An apple, say", "all in lower case"])
  found, _ = metrics(task, lambda line: text(next(said)))
  assert found["prompt/strict"] == 1 / 2
  assert found["instruction/strict"] == pytest.approx(2 / 3)
  assert found["strict/punctuation"] == 0
  assert found["strict/length_constraints"] == 1


def test_gsm8k_strict_and_flexible(tmp_path):
  file = sets.gsm8k(tmp_path / "g.jsonl")
  options = dict(shots=1, seed=0, max_tokens=8, limit=0)
  task = gsm8k.task(str(file), examples=str(file), chat=False, **options)
  (at,) = task.about["examples"]
  shown = ("1 + 1", "20 + 1", "999 + 1")[at]
  assert task.items[0].prompt.startswith(f"Question: What is {shown}?\nAnswer:")
  assert task.items[0].prompt.endswith("What is 1 + 1?\nAnswer:")
  said = iter(["It is 2.", "#### 20", "So 1,000\n#### 1,000"])
  found, _ = metrics(task, lambda line: text(next(said)))
  assert found["strict"] == pytest.approx(1 / 3)
  assert found["flexible"] == pytest.approx(2 / 3)
  chat = gsm8k.task(str(file), examples=str(file), chat=True, **options)
  assert [turn["role"] for turn in chat.items[0].prompt] == [
    *("user", "assistant", "user")
  ]
  with pytest.raises(ValueError, match="shots = 1 needs examples"):
    gsm8k.task(str(file), examples="", chat=True, **options)


def test_the_suite_by_each_cluster_and_as_a_corpus():
  names = ("json", "summary", "refusal")
  task = suite.task(
    names, split="heldout", shots=2, seed=0, max_tokens=8, limit=3
  )
  assert len(task.items) == 9 and len(task.items[0].prompt) == 5
  found, told = metrics(task, lambda line: text(line["gold"][0]))
  assert found["score"] == found["reward"] == found["json_valid"] == 1
  assert found["rouge_l"] == 1 and found["bleu"] == pytest.approx(100)
  assert told["metrics"]["json_valid"]["n"] == 3
  assert set(told["groups"]) == set(names)
  found, _ = metrics(task, lambda line: text("no"))
  assert found["score"] == found["json_valid"] == 0 and found["bleu"] < 1


def test_preferences_by_scores_and_by_likelihood():
  task = preferences.task("suite", split="heldout", group="reason", limit=40)
  assert len({x.group for x in task.items}) > 2

  def judged(line):
    good, bad = line["choices"]
    return {"scores": [1.0, 0.0], "tokens": [len(good), len(bad)]}

  found, _ = metrics(task, judged)
  assert found["acc"] == 1
  line = {"scores": {}}
  out = task.score(line, {"logps": [-4.0, -3.0], "tokens": [4, 2]})
  assert out == {"acc/sum": 0.0, "acc/mean": 1.0, "longer": 1.0}
  out = task.score(line, {"scores": [0.5, 0.5], "tokens": [2, 2]})
  assert out == {"acc": 0.0, "longer": 0.5}


def test_perplexity_by_hand(tmp_path):
  from alignjax.evals.tasks import perplexity

  file = tmp_path / "t.jsonl"
  file.write_text('{"text": "two words"}\n{"text": "größer"}\n')
  task = perplexity.task(str(file), split="train", key="text", limit=0)
  outs = iter([says(-6.0), says(-3.0)])
  found, _ = metrics(task, lambda line: next(outs))
  assert found["word_perplexity"] == pytest.approx(math.exp(9 / 3))
  assert found["byte_perplexity"] == pytest.approx(math.exp(9 / (9 + 8)))
  assert found["bits_per_byte"] == pytest.approx(9 / 17 / math.log(2))
  file.write_text(json.dumps({"text": "字" * 300}) + "\n")
  task = perplexity.task(str(file), split="train", key="text", limit=0)
  found, _ = metrics(task, lambda line: says(-900.0))
  assert "word_perplexity" not in found
  assert found["byte_perplexity"] == pytest.approx(math.e)
  with pytest.raises(ValueError, match="no text under 'body'"):
    perplexity.task(str(file), split="train", key="body", limit=0)


def test_rows_that_are_no_pair_are_left_out_and_counted(tmp_path):
  file = tmp_path / "p.jsonl"
  rows = [("a", "b"), ("a", ""), ("c", "c"), ("d", "e")]
  text = [{"prompt": "q", "chosen": x, "rejected": y} for x, y in rows]
  file.write_text("".join(json.dumps(row) + "\n" for row in text))
  task = preferences.task(str(file), split="train", group="", limit=0)
  assert [x.choices for x in task.items] == [("a", "b"), ("d", "e")]
  assert task.about["left out"] == 2


def test_a_macro_average_by_hand():
  parts = [
    Estimate(1.0, 0.0, 0.7, 1.0, 10),
    Estimate(0.5, 0.1, 0.3, 0.9, 20),
  ]
  found = summary.macro(parts)
  assert found.mean == 0.75 and found.n == 30
  assert found.error == pytest.approx(0.05)
  assert found.low == pytest.approx(0.75 - math.hypot(0.3, 0.2) / 2)
  assert found.high == pytest.approx(0.75 + 0.4 / 2)


def test_a_macro_average_covers():
  """Groups of 0 and 1 of several sizes: 95 % of intervals hold the truth."""
  draw, p, sizes = np.random.default_rng(0), [0.1, 0.5, 0.9], [12, 30, 20]
  hits = 0
  for _ in range(400):
    parts = [
      intervals.mean((draw.random(n) < q).astype(float), seed=0)
      for q, n in zip(p, sizes)
    ]
    found = summary.macro(parts)
    hits += found.low <= np.mean(p) <= found.high
  assert 0.93 <= hits / 400 <= 0.985
