import json
import subprocess
import sys

import pytest

from alignjax.cli.validate import validate as command
from alignjax.data.tokenizer import byte_tokenizer
from alignjax.instruct.checks import Checks
from alignjax.instruct.language import told
from alignjax.instruct.rules import RULES, refused
from alignjax.instruct.validate import validate

ASKED = "What is the name of the longest river that is in the north of {}?"
ANSWER = "It is the {}, and it is as long as the other rivers of {} together."
PLACES = "Arland Borland Corland Dorland Erland Furland Garland Horland".split()


def row(k, **more):
  """An English row; two of them share few runs of five words."""
  place, other = PLACES[k % 8], PLACES[(k + 3) % 8]
  asked = f"{ASKED.format(place)} Say it in {k + 2} words or in {k + 3}."
  answer = f"{ANSWER.format(other, place)} I would go to {other} for that."
  return {"prompt": asked, "completion": answer} | more


def write(file, *rows):
  file.write_text("".join(json.dumps(r) + "\n" for r in rows), "utf-8")
  return str(file)


FULL = dict(licence="mit", source="ours", near=1.0)


def found(path, rule=None, **checks):
  """(line, what) of a rule's findings, (line, rule) of all without one."""
  (file,) = validate([path], Checks(**FULL | checks))
  return [
    (
      one.origin.removeprefix(path).lstrip(":"),
      one.what if rule else one.rule,
    )
    for one in file.findings
    if rule in (None, one.rule)
  ]


def test_nothing_is_said_of_good_rows(tmp_path):
  path = write(tmp_path / "a.jsonl", *(row(k) for k in range(6)))
  (file,) = validate([path], Checks(**FULL))
  assert file.findings == () and file.numbers["rows"] == 6
  assert file.numbers["languages"] == {"en": 6}


def test_rows_that_cannot_be_read_are_told_by_line_and_kind(tmp_path):
  (turn,) = turns("a")
  path = write(
    tmp_path / "a.jsonl",
    row(0, id=1),
    {"oops": 1},
    {"messages": [turn, turn]},
    {"messages": [{"role": "robot", "content": "a"}]},
    row(1, id=1),
    {"prompt": "a", "completion": " "},
  )
  with open(path, "a") as f:
    f.write("{oops}\n")
  assert sorted(found(path)) == [
    ("2", "missing field"),
    ("3", "broken alternation"),
    ("4", "unknown role"),
    ("5", "duplicate id"),
    ("6", "empty completion"),
    ("7", "broken JSON"),
  ]
  (file,) = validate([path], Checks(**FULL))
  assert (file.numbers["rows"], sum(file.numbers["bad"].values())) == (7, 6)
  assert {one.severity for one in file.findings} == {"error"}
  assert all(one.what for one in file.findings)


def test_duplicates_and_prompts_that_stand_twice(tmp_path):
  first = row(0)
  path = write(
    tmp_path / "a.jsonl",
    first,
    row(1),
    {k: v.upper() + " " for k, v in first.items()},
    first | {"completion": "I would not know that, for it is not on the map."},
    row(0, cluster="x"),
  )
  assert found(path, "duplicate", min_cluster=0) == [
    ("3", f"the same stands in {path}:1"),
    ("5", f"the same stands in {path}:1"),
  ]
  assert found(path, "repeated prompt") == [
    ("4", f"{path}:1 has the same prompt and another answer")
  ]


def test_a_near_duplicate_tells_its_index(tmp_path):
  """26 + 22 words have 44 shingles; a new last word makes 43 of 45 shared."""
  words = [f"the{k}" for k in range(48)]
  one = {"prompt": " ".join(words[:26]), "completion": " ".join(words[26:])}
  other = one | {"completion": " ".join([*words[26:-1], "last"])}
  path = write(tmp_path / "a.jsonl", one, other)
  assert found(path, "near duplicate", near=0.8) == [
    ("2", f"{43 / 45:.3f} of its shingles and those of {path}:1 are shared")
  ]
  assert found(path, "near duplicate", near=0.96) == []


def test_duplicates_stand_in_other_files_and_ids_do_not(tmp_path):
  one = write(tmp_path / "a.jsonl", row(0, id=1), row(1, id=2))
  two = write(tmp_path / "b.jsonl", row(2, id=1), row(1, id=3))
  a, b = validate([one, two], Checks(**FULL))
  assert a.findings == ()
  (only,) = b.findings
  assert (only.origin, only.rule) == (f"{two}:2", "duplicate")
  assert only.what == f"the same stands in {one}:2"


def test_personal_data_is_masked_and_its_field_told(tmp_path):
  said = turns("Who is that, and what is it for?", "ann@vale.org, and not I.")
  path = write(tmp_path / "a.jsonl", {"messages": said, "by": "212-664-7665"})
  (file,) = validate([path], Checks(**FULL))
  told_of = {f.rule: (f.severity, f.what) for f in file.findings}
  assert told_of == {
    "e-mail address": ("error", "a**@****.**g in messages[1].content"),
    "telephone number": ("warning", "2**-***-***5 in by"),
  }
  assert "vale" not in json.dumps(file.findings)


def test_language_of_each_part(tmp_path):
  path = write(
    tmp_path / "a.jsonl",
    row(0),
    row(1, completion="Es ist der Fluss, und er ist nicht so lang wie die."),
    row(2, completion="Orland"),
    row(3, prompt="Что это такое и для чего?"),
  )
  assert found(path, "language") == [
    ("2", "the answer is not en: de"),
    ("4", "the prompt is not en: ru"),
  ]
  (file,) = validate([path], Checks(**FULL))
  languages = {"en": 2, "de": 1, "undecided": 1}
  assert file.numbers["languages"] == languages
  assert ("1", "the answer is not de: en") in found(
    path, "language", language="de"
  )


def test_languages_of_sentences():
  for code, text in (
    ("es", "¿Cuál es la capital de ese país?"),
    ("fr", "La bonne réponse est la deuxième."),
    ("de", "Der Hund schläft in dem Haus."),
    ("it", "La risposta giusta è la seconda."),
    ("ru", "Собака спит в доме."),
    ("ja", "犬は家の中で寝ている。"),
    ("other", "狗在房子里睡觉。"),
    ("en", "The dog sleeps in the house."),
    ("undecided", "Paris"),
    ("undecided", "42 = 6 · 7"),
    ("undecided", "a, o, e"),  # letters of a list, not Portuguese
  ):
    assert told(text, "en") == code, text
  with pytest.raises(ValueError, match="legal: ar, bg"):
    told("", "tlh")


def test_words_of_answers(tmp_path):
  path = write(
    tmp_path / "a.jsonl",
    row(0, completion="It is that."),
    {"prompt": "a b"},
    {"text": "the"},
    {"prompt": "long " * 9, "chosen": "the a", "rejected": "is in it for"},
  )
  limits = dict(min_words=3, max_words=3)
  assert found(path, "too short", **limits) == [
    ("2", "the prompt has 2 words, not 3"),
    ("3", "the text has 1 words, not 3"),
    ("4", "the answer 1 has 2 words, not 3"),
  ]
  assert found(path, "too long", **limits) == [
    ("4", "the answer 2 has 4 words, not 3")
  ]


def turns(*said, who="role", what="content", names=("user", "assistant")):
  return [{who: names[k % 2], what: text} for k, text in enumerate(said)]


SHAREGPT = dict(who="from", what="value", names=("human", "gpt"))
KINDS = {
  "conversation": (
    {"prompt": "a", "completion": "b"},
    {"instruction": "a", "input": "x", "output": "b"},
    {"messages": turns("a", "b")},
    {"conversations": turns("a", "b", "c", "d", **SHAREGPT)},
  ),
  "text": ({"text": "a"},),
  "pairs": (
    {"prompt": "a", "chosen": "b", "rejected": "c"},
    {"prompt": "a", "completions": ["b", "c"], "scores": [1, 2]},
    {k: f"Human: a\n\nAssistant: {k}" for k in ("chosen", "rejected")},
  ),
  "judged answer": (
    {"prompt": "a", "completion": "b", "label": True},
    {"messages": turns("a", "b"), "label": False},
  ),
  "question": ({"prompt": "a"}, {"prompt": turns("a")}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_rows_of_every_kind(tmp_path, kind):
  for k, one in enumerate(KINDS[kind]):
    path = write(tmp_path / f"{k}.jsonl", one, one | {"x": 1})
    (file,) = validate([path], Checks(**FULL))
    assert file.numbers["kinds"] == {kind: 2}
    assert [f.rule for f in file.findings] == ["duplicate"]


def test_an_answer_judged_twice_is_no_duplicate_where_the_label_differs(
  tmp_path,
):
  one = {"prompt": "a b", "completion": "c", "label": True}
  path = write(tmp_path / "a.jsonl", one, one | {"label": False}, one)
  assert [line for line, _ in found(path, "duplicate")] == ["3"]
  # Their texts are the same, which is told.
  assert [line for line, _ in found(path, "near duplicate")] == ["2"]


def test_kinds_are_not_mixed(tmp_path):
  path = write(tmp_path / "a.jsonl", row(0), {"prompt": "a"}, {"prompt": "b"})
  assert found(path, "mixed kinds") == [
    ("2", "question, where the first row is conversation")
  ]


def test_clusters(tmp_path):
  names = "a" * 5 + "b" * 2 + "c" + " "
  rows = [row(k, cluster=c.strip()) for k, c in enumerate(names)]
  path = write(tmp_path / "a.jsonl", *rows)
  limits = dict(min_cluster=2, max_ratio=4.9)
  assert found(path, "small cluster", **limits) == [
    ("", "c has 1 rows, fewer than 2")
  ]
  assert found(path, "unbalanced clusters", **limits) == [
    ("", "a has 5 rows, 5.0 times the 1 of c")
  ]
  assert found(path, "no cluster") == [("9", "no `cluster` or `task`")]
  assert found(path, "unbalanced clusters", max_ratio=5.0) == []
  none = dict(min_cluster=0, max_ratio=0.0)
  assert found(path, **none) == [("9", "no cluster")]


def test_evaluation_rows_are_found_with_both_places(tmp_path):
  words = " ".join(f"x{k}" for k in range(15))  # 8 runs of 8 words
  evals = write(
    tmp_path / "e.jsonl", row(4), {"prompt": "short"}, {"text": words}
  )
  path = write(
    tmp_path / "a.jsonl",
    *(row(k) for k in range(3)),
    row(3) | {"completion": f"Say {words.upper()}!"},
    row(4) | {"completion": "Whatever."},
    {"prompt": "Short "},
    {"prompt": "SHORT", "completion": "so"},
    {"prompt": "shorter"},
  )
  assert sorted(found(path, "contamination", evals=(evals,))) == [
    ("4", f"as {evals}:3: 8 of 8 runs of 8 words"),
    ("5", f"{evals}:1 has the same prompt"),
    ("6", f"{evals}:2 has the same prompt"),
    ("7", f"{evals}:2 has the same prompt"),
  ]
  (file,) = validate([path], Checks(evals=(evals,), **FULL))
  assert file.evals[0].rows == 3
  assert found(path, "contamination") == []


def test_tokens_of_the_longest_side(tmp_path):
  """ChatML in bytes: 1 + 5 + 2 + 2 of the user, 1 + 10 where one answers."""
  byte_tokenizer().save_pretrained(tmp_path / "t")
  path = write(
    tmp_path / "a.jsonl",
    {"prompt": "ab", "chosen": "cde", "rejected": "f"},
    {"prompt": "ab", "chosen": "c", "rejected": "d"},
  )
  tokens = dict(tokenizer=str(tmp_path / "t"))
  (file,) = validate([path], Checks(**FULL, **tokens))
  sizes = file.numbers["lengths"]["tokens of rows"]
  assert sizes["max"] - sizes["min"] == 2
  limit = sizes["min"]
  assert found(path, "too many tokens", max_length=limit, **tokens) == [
    ("1", f"{limit + 2} tokens, the limit is {limit}")
  ]
  for rows in (({"prompt": "ab"},), ({"text": "ab"},)):
    write(tmp_path / "a.jsonl", *rows)
    (file,) = validate([path], Checks(**FULL, **tokens))
    sizes = file.numbers["lengths"]["tokens of rows"]
    assert sizes["max"] == (21 if "prompt" in rows[0] else 3)


def test_licences_and_sources_that_are_not_said(tmp_path):
  path = write(tmp_path / "a.jsonl", row(0), row(1, licence="mit", source="x"))
  nothing = dict(licence="", source="")
  assert found(path, **nothing) == [("", "no licence"), ("", "no source")]
  assert found(path, "no licence", **nothing) == [("", "1 rows")]


def test_a_reader_of_ones_own(tmp_path):
  tasks = [
    {
      "instruction": one["prompt"],
      "instances": [{"input": "", "output": one["completion"]}] * 2,
    }
    for one in (row(0), row(1))
  ]
  path = write(tmp_path / "a.jsonl", *tasks)
  reader = "alignjax.data.self_instruct.read"
  (file,) = validate([path], Checks(**FULL), reader=reader)
  assert [f.origin for f in file.findings] == [f"{path}:1#1", f"{path}:2#1"]
  assert [f["name"] for f in file.numbers["files"]] == ["a.jsonl"]


def test_an_empty_file(tmp_path):
  assert found(write(tmp_path / "a.jsonl")) == [("", "no rows")]
  evals = write(tmp_path / "e.jsonl", row(0))
  assert found(str(tmp_path / "a.jsonl"), evals=(evals,)) == [("", "no rows")]


@pytest.mark.parametrize(
  ("checks", "message"),
  [
    (dict(language="tlh"), "is not told apart"),
    (dict(near=0.0), "above 0, at most 1"),
    (dict(min_words=-1), "min_words = -1"),
    (dict(min_words=5, max_words=4), "below min_words"),
    (dict(max_length=9), "need a tokenizer"),
    (dict(tokenizer="nowhere"), "has no tokenizer"),
  ],
)
def test_what_cannot_be_asked(tmp_path, checks, message):
  path = write(tmp_path / "a.jsonl", row(0))
  with pytest.raises(ValueError, match=message):
    validate([path], Checks(**checks))
  for missing in (dict(evals=(path + "x",)), {}):
    with pytest.raises(FileNotFoundError):
      validate([path if missing else path + "x"], Checks(**missing))


def test_every_rule_is_of_a_severity_and_says_why():
  for rule in RULES.values():
    assert rule.severity in ("error", "warning")
    assert rule.why and rule.remedy


def test_pairs_that_contradict_and_turns_without_text(tmp_path):
  pair = {"prompt": "Which river?", "chosen": "The Arl.", "rejected": "None."}
  turned = pair | {"chosen": "None.", "rejected": "The Arl."}
  tie = pair | {"prompt": "What sea?", "label": 0.5}
  again = turned | {"prompt": "What sea?", "label": 0.5}
  path = write(tmp_path / "a.jsonl", pair, turned, tie, again)
  told = [(f"{2}", f"{path}:1 prefers the other side")]
  assert found(path, "contradiction") == told
  said = [
    (r, t) for r, t in zip(2 * ("user", "assistant"), ("a", " ", "b", "c"))
  ]
  messages = [{"role": role, "content": text} for role, text in said]
  path = write(tmp_path / "b.jsonl", {"messages": messages}, row(0))
  assert [line for line, _ in found(path, "empty turn")] == ["1"]


def test_the_remedy_of_a_refused_row_is_its_last_line():
  from alignjax.data.bad import BadRow

  one = refused(BadRow("f:1", "NUL", "what\nand more\nrepair it"))
  assert one == ("f:1", "NUL", "error", "what; and more", "repair it")
  assert refused(BadRow("f:1", "NUL", "what"))[3:] == ("what", "")


OPTIONS = ["--licence", "mit", "--source", "ours", "--near", "1"]


def test_status_report_and_card(tmp_path, capsys):
  path = write(tmp_path / "a.jsonl", *(row(k) for k in range(4)))
  command([path, *OPTIONS])  # status 0
  assert "0 errors, 0 warnings" in capsys.readouterr().out
  made = (tmp_path / "a.jsonl.card.md").read_bytes()
  assert b'license: "mit"' in made and bytes(tmp_path) not in made
  command([path, *OPTIONS])
  assert (tmp_path / "a.jsonl.card.md").read_bytes() == made
  write(tmp_path / "a.jsonl", row(0), row(0, completion="Orland."), row(1))
  command([path, *OPTIONS])  # a warning
  shown = capsys.readouterr().out
  assert "warning, repeated prompt, 1: " in shown and f"{path}:2: " in shown
  with pytest.raises(SystemExit) as status:
    command([path, *OPTIONS, "--strict"])
  assert status.value.code == 1
  write(tmp_path / "a.jsonl", row(0), row(0), row(0), row(1))
  with pytest.raises(SystemExit) as status:
    command([path, *OPTIONS, "--show", "1", "--json", str(tmp_path / "j")])
  shown = capsys.readouterr().out
  assert status.value.code == 1 and "error, duplicate, 2: " in shown
  assert "and 1 more" in shown and f"{path}:3: " not in shown
  (told_of,) = json.loads((tmp_path / "j").read_text())
  assert [f["origin"] for f in told_of["findings"]] == [
    f"{path}:2",
    f"{path}:3",
  ]
  assert told_of["numbers"]["findings"] == {"duplicate": 2}
  assert (tmp_path / "a.jsonl.card.md").read_bytes() != made


def test_the_report_has_evaluations_and_markup_is_text(tmp_path, capsys):
  evals = write(tmp_path / "e.jsonl", row(0))
  path = write(tmp_path / "a.jsonl", row(0), {"[red]": 1})
  with pytest.raises(SystemExit):
    command([path, *OPTIONS, "--eval", evals, "--show", "0"])
  shown = capsys.readouterr().out
  assert f"{evals}, 1 rows, 0 of them bad:" in shown
  assert "error, contamination, 1: " in shown and "[red]" in shown


def test_where_cards_go(tmp_path, monkeypatch):
  one = write(tmp_path / "a.jsonl", row(0))
  two = write(tmp_path / "b.jsonl", row(1))
  command([one, two, *OPTIONS])
  for path in (one, two):
    assert (tmp_path / f"{path}.card.md").is_file()
  command([one, *OPTIONS, "--card", str(tmp_path / "c.md")])
  assert "# a.jsonl" in (tmp_path / "c.md").read_text()
  with pytest.raises(ValueError, match="the card of one FILE"):
    command([one, two, "--card", "c.md"])
  with pytest.raises(ValueError, match="twice"):
    command([one, one])
  with pytest.raises(ValueError, match="no place beside it"):
    command(["hf:owner/name"])
  monkeypatch.setattr("os.access", lambda *_: False)
  with pytest.raises(ValueError, match="read-only"):
    command([one])


def test_help_is_cheap():
  code = "import sys; from alignjax.cli.validate import validate\n"
  code += "try: validate(['--help'])\nexcept SystemExit: pass\n"
  code += "assert not {'jax', 'datasketch', 'transformers'} & set(sys.modules)"
  done = subprocess.run([sys.executable, "-c", code], capture_output=True)
  assert done.returncode == 0, done.stderr
  assert b"--near" in done.stdout
