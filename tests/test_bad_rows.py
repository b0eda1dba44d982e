"""Every kind of bad row: named in strictness, counted or kept on request."""

import ast
import gzip
import json

import pytest

from alignjax.data import formats, lines
from alignjax.data.bad import RULES, BadRow, BadRows
from alignjax.data.sources import read

GOOD = b'{"prompt": "1+1?", "completion": "2"}\n'


def chat(*turns):
  roles = {"u": "user", "a": "assistant", "b": "bot"}
  turns = [{"role": roles[r], "content": text} for r, text in turns]
  return json.dumps({"messages": turns}).encode()


# Bytes of line 2 -> its kind and what the first line of the message must say.
KINDS = {
  b'{"prompt": "a", "completion" "b"}\n': (
    "broken JSON",
    "bad JSON: Expecting ':' delimiter at column 30",
  ),
  b'{"text": "a"} {"text": "b"}\n': ("broken JSON", "Extra data at column 15"),
  b'{"text": ' + b"1" * 5000 + b"}\n": ("broken JSON", "Exceeds the limit"),
  b'{"prompt": "a", "comple': (
    "truncated last line",
    "the last line ends early: bad JSON: Unterminated string",
  ),
  b'{"text": "caf\xc3': (
    "truncated last line",
    "the last line ends early: not UTF-8: byte 0xc3",
  ),
  b'{"messages": [{"role": "user", "content": "b"}': (
    "truncated last line",
    "the last line ends early: bad JSON: Expecting ',' delimiter",
  ),
  b'\xef\xbb\xbf{"text": "a"}\n': ("BOM", "byte order mark inside the file"),
  b'{"text": "caf\xe9"}\n': ("invalid UTF-8", "byte 0xe9 at offset 13"),
  b'{"text": "\xed\xa0\x80"}\n': ("invalid UTF-8", "not UTF-8: byte 0xed"),
  b'{"text": "a\0b"}\n': ("NUL", "a NUL character at column 12"),
  b'{"text": "a\\u0000b"}\n': ("NUL", "'text' has a NUL at character 1"),
  b'["a", "b"]\n': ("non-object", "must be a JSON object, this is list"),
  b'{"prompt": "a"}\n': ("missing field", "cannot tell what this row is"),
  b'{"messages": [{"role": "user"}]}\n': ("missing field", "turn 0 must have"),
  b'{"text": 3}\n': ("wrong type", "'text' must be a string, this is int"),
  b'{"messages": ["a"]}\n': ("wrong type", "turn 0 must have 'role'"),
  chat("ub", "bx"): ("unknown role", "unknown role 'bot' in turn 1; legal"),
  chat("ub", "ux", "ay"): ("broken alternation", "are user, user, assis"),
  chat("ub"): ("broken alternation", "the last turn is 'user'"),
  chat("ub", "a "): ("empty completion", "last assistant turn has no text"),
  b'{"text": " "}\n': ("empty text", "empty text"),
  b'{"text": "a", "score": NaN}\n': ("NaN", "NaN is no JSON"),
  b'{"text": "a", "score": -Infinity}\n': ("NaN", "-Infinity is no JSON"),
  b'{"text": "\\ud83d"}\n': (
    "lone surrogate",
    "half a surrogate pair at character 0",
  ),
  b'{"text": ' + b"[" * 100_000 + b"]" * 100_000 + b"}\n": (
    "deep nesting",
    "nested too deep",
  ),
  b'{"messages": [{"role": "tool", "content": "3"}]}\n': (
    "tools",
    "turn 0 is about tools",
  ),
}


def examples(path, on_bad):
  return list(formats.examples(read(str(path), on_bad=on_bad), on_bad=on_bad))


IDS = [f"{kind}-{i}" for i, (kind, _) in enumerate(KINDS.values())]


def check_rule(path, rule, number, kind, reason, good):
  """A bad row in line `number` is dealt with by rule, and says file and why.

  good: the numbers of the lines that are kept by a lenient rule.
  """
  bad = BadRows(rule, 1.0)
  if rule == "error":
    with pytest.raises(BadRow) as error:
      examples(path, bad)
    message = str(error.value)
    assert message.startswith(f"{path}:{number}: ") and reason in message
    assert error.value.kind == kind and len(message.splitlines()) <= 5
    return
  kept = [e.origin for e in examples(path, bad)]
  assert kept == [f"{path}:{n}" for n in good]
  assert bad.kinds() == f"1 {kind}"
  assert bad.first.startswith(f"{path}:{number}: ")
  assert reason in bad.first
  if rule == "skip":
    assert not bad.kept
    return
  (record,) = bad.kept
  assert record[:2] == (f"{path}:{number}", kind) and reason in record.reason
  assert 0 < len(record.raw) <= 2000


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("line", KINDS, ids=IDS)
def test_every_kind_is_named_and_dealt_with_by_rule(tmp_path, line, rule):
  kind, reason = KINDS[line]
  last = kind == "truncated last line"
  path = tmp_path / "a.jsonl"
  path.write_bytes(GOOD + line.rstrip(b"\n") + (b"" if last else b"\n" + GOOD))
  check_rule(path, rule, 2, kind, reason, (1,) if last else (1, 3))


def test_a_last_line_that_is_whole_and_wrong_is_not_truncated(tmp_path):
  path = tmp_path / "a.jsonl"
  path.write_bytes(GOOD + b'{"text": "a",}')
  check_rule(path, "skip", 2, "broken JSON", "property name", (1,))


@pytest.mark.parametrize("rule", RULES)
def test_a_second_row_of_an_id_is_bad(tmp_path, rule):
  path = tmp_path / "a.jsonl"
  path.write_text(
    '{"id": 1, "text": "a"}\n{"id": 2, "text": "b"}\n{"id": 1, "text": "c"}\n'
    '{"id": "", "text": "d"}\n{"id": "", "text": "e"}\n'
  )
  reason = f"id 1 stands in {path}:1 already"
  check_rule(path, rule, 3, "duplicate id", reason, (1, 2, 4, 5))


@pytest.mark.parametrize("rule", RULES)
def test_a_line_of_50_mb_is_passed_over(tmp_path, rule):
  path = tmp_path / "a.jsonl"
  line = b'{"text": "' + b"x" * 50_000_000 + b'"}\n'
  path.write_bytes(GOOD + line + GOOD)
  reason = "a line of more than 50,000,000 bytes"
  check_rule(path, rule, 2, "line too long", reason, (1, 3))


def test_a_long_line_is_not_read_whole(tmp_path, monkeypatch):
  monkeypatch.setattr(lines, "MAX_LINE", 60)
  path = tmp_path / "a.jsonl"
  path.write_bytes(GOOD + b'{"text": "' + b"x" * 3_000_000 + b'"}\n' + GOOD)
  bad = BadRows("quarantine", 1.0)
  assert [e.origin[-2:] for e in examples(path, bad)] == [":1", ":3"]
  assert len(bad.kept[0].raw) == 61


def test_a_line_below_the_real_limit_is_read(tmp_path):
  assert lines.MAX_LINE == 50_000_000
  path = tmp_path / "a.jsonl"
  path.write_bytes(b'{"text": "' + b"x" * 2_000_000 + b'"}\n')
  assert len(examples(path, BadRows("error", 0.0))[0].text) == 2_000_000


@pytest.mark.parametrize("rule", RULES)
def test_what_is_odd_and_good_is_no_bad_row(tmp_path, rule):
  texts = ["a\u2028b\u0085c", "<|im_end|> typed", "\ufeff", "[" * 500]
  rows = [json.dumps({"text": t}, ensure_ascii=False) + "\n" for t in texts]
  path = tmp_path / "a.jsonl"
  # A byte order mark at the start, empty lines, no end of the last line.
  path.write_bytes(b"\xef\xbb\xbf" + "\n".join(rows).rstrip().encode())
  bad = BadRows(rule, 0.0)
  assert [(e.text, e.origin) for e in examples(path, bad)] == [
    (text, f"{path}:{2 * i + 1}") for i, text in enumerate(texts)
  ]
  assert not bad.counts


def test_bad_rows_have_places_in_slices_and_limits(tmp_path):
  path = tmp_path / "a.jsonl"
  path.write_bytes(GOOD + b"{\n" + GOOD * 2)

  def origins(**kwargs):
    bad = BadRows("skip", 1.0)
    rows = [o[-1] for _, o in read(str(path), on_bad=bad, **kwargs)]
    return rows, bad.counts.total()

  assert origins(split="train[:50%]") == (["1"], 1)
  assert origins(split="train[50%:]") == (["3", "4"], 0)
  assert origins(limit=3) == (["1", "3"], 1)


def test_json_lists_go_on_and_broken_files_do_not(tmp_path):
  path = tmp_path / "a.json"
  path.write_text('[{"text": "a"}, 3, {"text": "b"}]')
  bad = BadRows("quarantine", 1.0)
  assert [e.text for e in examples(path, bad)] == ["a", "b"]
  assert bad.kept[0][:2] == (f"{path}[1]", "non-object")
  assert bad.kept[0].raw == "3"
  path.write_text('[{"text": "a"}, {"text"')
  with pytest.raises(BadRow, match="bad JSON"):
    examples(path, BadRows("skip", 1.0))
  path = tmp_path / "a.jsonl.gz"
  path.write_bytes(gzip.compress(GOOD * 99)[:-9])
  with pytest.raises(ValueError, match="broken gzip file"):
    examples(path, BadRows("skip", 1.0))


def test_every_kind_is_listed(root):
  found = set()
  for file in (root / "alignjax").rglob("*.py"):
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
      name = isinstance(node, ast.Call) and getattr(node.func, "id", "")
      at = {"BadRow": 1, "Unfit": 0}.get(name or "")
      for argument in () if at is None else node.args[at : at + 1]:
        for part in ast.walk(argument):  # one kind, or one of two
          if isinstance(part, ast.Constant) and isinstance(part.value, str):
            found.add(part.value)
  assert len(found) > 20
  text = (root / "alignjax/data/bad.py").read_text("utf-8")
  listed = " ".join((ast.get_docstring(ast.parse(text)) or "").split())
  assert [kind for kind in sorted(found) if kind not in listed] == []
