import re

import pytest

from alignjax import metrics
from alignjax.instruct import phrasings, sandbox, template
from alignjax.instruct.sandbox import Compiled, LeftOut

MINE = """\
name: mine
cluster: sentiment
source: nobody 2020
licence: CC0
rows: ours
fields: [text, label]
choices: ["bad", "good"]
label: label
metric: exact_match
example: {text: a fine day, label: 1}
phrasings:
  - prompt: "{{ text }}: good or bad?"
    completion: "{{ gold }}"
  - prompt: "Say something {{ gold }}."
    completion: "{{ text }}"
    answers: text
"""

# A made-up row of each schema, with fields that no template reads.
ROWS = {
  "boolq": {
    "title": "Tides",
    "question": "is there a tide in the pond",
    "passage": "The pond has no link to the sea, and its level is steady.",
    "answer": False,
  },
  "ecqa": {
    "question": "What would you cut bread with?",
    "options": ["spoon", "bread knife", "rope", "cup", "hammer"],
    "answer": "bread knife",
    "rationale": "A bread knife is made for bread; the others do not cut.",
  },
  "gsm8k": {
    "question": "A box has 1,000 nails. Ada uses 16 in each of 5 chairs.",
    "answer": "She uses 16*5=<<16*5=80>>80 nails.\n"
    "There are 1,000-80=<<1000-80=920>>920 left.\n#### 920",
  },
  "paws": {
    "id": 4,
    "sentence1": "The red boat passed the blue one .",
    "sentence2": "The blue boat was passed by the red one .",
    "label": 1,
  },
  "rte": {
    "sentence1": "Kim sold the house in May.",
    "sentence2": "Kim bought a house in June.",
    "label": 1,
    "idx": 3,
  },
  "samsum": {
    "id": "13",
    "dialogue": "Bo: Lunch?\r\nCy: At one.\r\nBo: See you then.",
    "summary": "Bo and Cy will have lunch at one.",
  },
  "squad": {
    "id": "a1",
    "title": "Mill",
    "context": "The mill was built in 1802 by two brothers from Ghent.",
    "question": "Who built the mill?",
    "answers": {
      "text": ["two brothers", "two brothers from Ghent", "two brothers"],
      "answer_start": [26, 26, 26],
    },
  },
  "sst2": {"idx": 0, "sentence": "a warm , clever little film ", "label": 1},
  "wmt16_de_en": {
    "translation": {"de": "Der Zug ist voll.", "en": "The train is full."}
  },
}


def words(name, row, origin="row"):
  """Every wording of a row."""
  one = phrasings.read(name)
  known = template.values(one, row, origin)
  n = range(len(one.phrasings))
  return [template.word(one, k, known, origin) for k in n]


def write(tmp_path, text):
  file = tmp_path / "mine.yaml"
  file.write_text(text)
  return str(file)


def test_a_phrasing_by_hand(tmp_path):
  file = write(tmp_path, MINE)
  rows = words(file, {"text": " rain ", "label": 0, "more": None})
  assert rows == [
    {
      "prompt": "rain : good or bad?",
      "completion": "bad",
      "answers": ["bad"],
      "metric": "exact_match",
      "choices": ["bad", "good"],
    },
    {
      "prompt": "Say something bad.",
      "completion": "rain",
      "answers": ["rain"],
      "metric": "exact_match",
    },
  ]


def test_what_shipped_phrasings_say():
  assert set(ROWS) == set(phrasings.shipped())
  work = words("gsm8k", ROWS["gsm8k"])
  assert work[1]["completion"] == (
    "She uses 16*5=80 nails.\nThere are 1,000-80=920 left.\n"
    "So the answer is 920."
  )
  assert work[0]["completion"].endswith("left.\n#### 920")
  assert [r["completion"] for r in words("boolq", ROWS["boolq"])[:4]] == [
    "no",
    "no",
    "No.",
    "no",
  ]
  answers = words("squad", ROWS["squad"])[0]["answers"]
  assert answers == ["two brothers", "two brothers from Ghent"]
  assert words("samsum", ROWS["samsum"])[4]["completion"].count("\n") == 2
  both = words("wmt16_de_en", ROWS["wmt16_de_en"])
  assert both[0]["completion"] == "The train is full."
  assert both[4]["completion"] == "Der Zug ist voll."


@pytest.mark.parametrize("name", ROWS)
def test_every_shipped_template_words_rows_of_its_schema(name):
  one = phrasings.read(name)
  assert one.name == name and len(one.phrasings) >= 4
  assert len(one.sha256) == 16 and one.source and one.licence
  rows = words(name, ROWS[name])
  assert len({row["prompt"] for row in rows}) == len(rows)
  for row in rows:
    assert metrics.score(row["metric"], row["completion"], row["answers"]) == 1
    assert not re.search(r"\{\{|\{%|\bNone\b|\n\n\n", row["prompt"])
    assert row["prompt"] == row["prompt"].strip()
  # One asks the other way round: it gives what the others have been given.
  gold = rows[0]["answers"]
  assert any(row["answers"] != gold for row in rows)


def test_clusters_differ():
  clusters = [phrasings.read(name).cluster for name in phrasings.shipped()]
  assert len(set(clusters)) == len(clusters) >= 8


@pytest.mark.parametrize("label", [-1, None, "", "-1"])
def test_a_row_without_label_is_left_out(label):
  with pytest.raises(LeftOut, match="no label"):
    words("sst2", ROWS["sst2"] | {"label": label})


@pytest.mark.parametrize("label", [2, "2", "happy", 1.0, [1]])
def test_a_label_that_is_no_choice_is_left_out(label):
  with pytest.raises(LeftOut, match="label is no choice"):
    words("sst2", ROWS["sst2"] | {"label": label})


@pytest.mark.parametrize("label", [1, "1", True, "positive"])
def test_a_label_is_a_number_or_a_text(label):
  row = words("sst2", ROWS["sst2"] | {"label": label})[0]
  assert row["completion"] == "positive"


def test_a_number_means_its_place_even_where_choices_are_numbers(tmp_path):
  text = MINE.replace('["bad", "good"]', '["1", "0"]')
  file = write(tmp_path, text)
  assert words(file, {"text": "x", "label": 1})[0]["completion"] == "0"
  assert words(file, {"text": "x", "label": "1"})[0]["completion"] == "1"


LEFT_OUT = [
  ("squad", {"answers": {"text": []}}, "no answer"),
  ("samsum", {"summary": None}, "no answer"),
  ("samsum", {"dialogue": None}, "null value"),
  ("boolq", {"question": None}, "null value"),  # through a filter, too
  ("sst2", {"sentence": "  "}, "no answer"),
  ("gsm8k", {"answer": "many\n#### many"}, "completion wrong by its metric"),
  ("ecqa", {"options": ["spoon", " ", "bread knife"]}, "empty choice"),
]


@pytest.mark.parametrize("name, change, reason", LEFT_OUT)
def test_what_cannot_be_learnt_is_left_out(name, change, reason):
  with pytest.raises(LeftOut) as e:
    words(name, ROWS[name] | change)
  assert str(e.value) == reason


def test_a_null_is_false_and_no_text(tmp_path):
  text = MINE.replace("[text, label]", "[text, note, label]")
  text = text.replace("label: 1}", "label: 1, note: hm}")
  told = "{% if note %}{{ note }} {% endif %}{{ text }}"
  file = write(tmp_path, text.replace("{{ text }}: g", f"{told}: g"))
  row = words(file, {"text": "x", "label": 1, "note": None})[0]
  assert row["prompt"] == "x: good or bad?"


@pytest.mark.parametrize(
  "source, text",
  (
    ("{% if q is none %}none{% endif %}", "none"),
    ("{% if q == none %}none{% endif %}", "none"),
    ("{{ q | default('x', true) }}", "x"),
    ("{% for x in q %}{{ x }}{% endfor %}", None),
    ("{{ q | length }}", None),
    ("{{ q | join(',') }}", None),
    ("{{ q[0] }}", None),
    ("{{ q in 'abc' }}", None),
    ("{{ q + 1 }}", None),
    ("{{ 1 - q }}", None),
    ("{{ q < 1 }}", None),
    ("{{ 'a' in q }}", None),
    ("{{ q() }}", None),
    ("{{ q | int }}", None),
    ("{{ d | tojson }}", None),
  ),
)
def test_what_a_null_can_do(source, text):
  made = sandbox.Compiled("here", source, ["q", "d"])
  values = sandbox.without_null({"q": None, "d": {"a": None}})
  if text is None:
    with pytest.raises(LeftOut, match="null value"):
      made(values, "row")
  else:
    assert made(values, "row") == text


@pytest.mark.parametrize(
  "source",
  (
    "{{ q.strip }}",
    "{{ l | map('upper') }}",
    "{{ d.items() }}",
    "{% macro m() %}{% endmacro %}{{ m }}",
    "{{ true }}",
    "{{ q ~ l }}",
    "{{ l | string }}",
  ),
)
def test_what_is_no_text_is_not_printed(source):
  made = sandbox.Compiled("here", source, ["q", "l", "d"])
  with pytest.raises(ValueError, match="which is no text"):
    made({"q": "x", "l": ["a"], "d": {"a": 1}}, "row")
  made = sandbox.Compiled("here", "{{ q ~ 1 ~ 0.5 }}", ["q"])
  assert made({"q": "x"}, "row") == "x10.5"


def test_a_row_without_a_field_says_which_there_are():
  with pytest.raises(ValueError) as e:
    words("rte", {"premise": "a", "label": 0}, "f.jsonl:7")
  said = str(e.value)
  assert said.startswith("f.jsonl:7: ") and "sentence1, sentence2" in said
  assert "fields there: premise, label" in said and "config rte" in said
  with pytest.raises(ValueError) as e:
    words("wmt16_de_en", {"translation": {"de": "a", "fr": "b"}}, "f.jsonl:7")
  said = str(e.value)
  assert "wmt16_de_en.yaml:7: answers" in said and "'en'" in said
  assert "row: f.jsonl:7" in said and "translation.de, translation.fr" in said


HOSTILE = [
  "{{ ''.__class__ }}",
  "{{ text.__init__.__globals__ }}",
  "{{ text | attr('__class__') }}",
  "{{ '{0.__class__}'.format(text) }}",
  "{{ choices.append('x') }}",
  "{{ choices.clear() }}",
  "{% include '/etc/hostname' %}",
  "{% import 'os' as os %}{{ os }}",
  "{% for i in range(10**9) %}{% endfor %}{{ text }}",
  "{{ lipsum() }}",
  "{{ cycler.__init__ }}",
  "{{ choices | random }}",
  "{{ self.__class__ }}",
]


@pytest.mark.parametrize("source", HOSTILE)
def test_the_sandbox_refuses(tmp_path, source):
  text = MINE.replace('"{{ text }}: good or bad?"', f'"{source}"')
  with pytest.raises(ValueError) as e:
    phrasings.read(write(tmp_path, text))
  said = str(e.value)
  assert "mine.yaml:12: phrasing 0, prompt" in said
  assert len(said.splitlines()) <= 5


FAULTS = [
  ("name: mine", "nam: mine", "mine.yaml:1: unknown key 'nam'"),
  ("cluster: sentiment\n", "", "no key 'cluster'"),
  ("name: mine", "name: My set", "mine.yaml:1: name = 'My set'"),
  ("name: mine", "name: mine\nname: other", "mine.yaml:2: 'name' stands twice"),
  ("licence: CC0", "licence: 0", "licence = 0 must be a text"),
  ('["bad", "good"]', "[no, yes]", "a choice = False must be a text"),
  (
    "metric: exact_match",
    "metric: bleu",
    "mine.yaml:9: metric = 'bleu'; legal",
  ),
  ("label: label\n", "", "there is neither"),
  ("label: label\n", "label: label\nanswers: text\n", "there are both"),
  ("label: label\n", "label: lable\n", "mine.yaml:8: label reads 'lable'"),
  ("[text, label]", "[text, label, more]", "with the fields text, label, more"),
  (
    "{{ text }}: g",
    "{{ txet }}: g",
    "mine.yaml:12: phrasing 0, prompt reads 'txet', which is no field\n"
    "legal: text, label, gold, answers, choices",
  ),
  ("{{ text }}: g", "{{ text: g", "mine.yaml:12: phrasing 0, prompt: "),
  ("{{ text }}: g", "{text}: g", "phrasing 0, prompt: '{text}' is left"),
  ("{{ text }}: g", "{{ text }} {{ '{{' }} g", "'{{' is left in the text"),
  ("{{ text }}: g", "{{ choices }} g", "which is no text"),
  ("{{ text }}: g", "{{ text }} {{ gold }}", "reads 'label', which the comple"),
  ("{{ text }}: g", "{{ choices[label] }}", "reads 'label', which the comple"),
  ("Say something {{ gold }}.", "{{ text }}", "reads 'text', which the comple"),
  ("    answers: text\n", "", "mine.yaml:14: phrasing 1, prompt"),
  ("    answers: text\n", "    answer: text\n", "phrasing 1: unknown key"),
  (
    "    answers: text\n",
    "    answers: text\n    metric: label\n",
    "phrasing 1 makes no row of the example",
  ),
  ("label: 1}", "label: 7}", "label is no choice"),
  ("label: 1}", "label: 1", "mine.yaml:11: not YAML"),
]


@pytest.mark.parametrize("old, new, said", FAULTS)
def test_a_fault_of_the_file_is_named(tmp_path, old, new, said):
  assert old in MINE
  with pytest.raises(ValueError) as e:
    phrasings.read(write(tmp_path, MINE.replace(old, new, 1)))
  assert said in str(e.value), e.value
  assert len(str(e.value).splitlines()) <= 5


def test_nothing_stands_idle_or_twice(tmp_path):
  more = MINE.replace("[text, label]", "[text, label, more]")
  more = more.replace("label: 1}", "label: 1, more: x}")
  with pytest.raises(ValueError, match="nothing reads the field 'more'"):
    phrasings.read(write(tmp_path, more))
  twice = MINE + MINE.split("phrasings:\n")[1].split('  - prompt: "Say')[0]
  with pytest.raises(ValueError, match="phrasing 2 is the same as phrasing 0"):
    phrasings.read(write(tmp_path, twice))


def test_no_python_comes_out_of_yaml(tmp_path):
  text = MINE.replace("cluster: sentiment", "cluster: !!python/name:os.system")
  with pytest.raises(ValueError, match="mine.yaml:2: not YAML"):
    phrasings.read(write(tmp_path, text))


def test_an_unknown_name_says_which_there_are():
  with pytest.raises(FileNotFoundError, match="shipped: boolq, ecqa"):
    phrasings.read("bollq")


def test_paths_by_hand():
  source = (
    "{{ a.b }} {{ c['d'].e | trim }} {{ f.split('#')[-1] }} {{ g[h].i }}"
    "{% for x in j.items() %}{{ x.y }}{% endfor %}{{ [k][0] }}"
  )
  made = Compiled("here", source, "abcdefghijk")
  assert made.paths == {"a.b", "c.d.e", "f", "g.i", "h", "j", "k"}
  assert made.reads == set("acfghjk")
  assert sandbox.overlap({"a.b"}, {"a"}) == "a.b"
  assert sandbox.overlap({"a"}, {"a.b"}) == "a"
  assert sandbox.overlap({"a.b", "ab"}, {"a.c", "a_b"}) == ""
