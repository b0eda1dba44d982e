import gzip

from alignjax.data import sources
from alignjax.data.bad import BadRows

READER = "alignjax.data.flan_cot.read"


def test_rows_by_hand(tmp_path):
  file = tmp_path / "some_train.tsv.gz"
  lines = [
    'Where is "up"?\\nOptions:\\n- above\\n- below it\tabove\tIt is.\\nSo.',
    "Is snow cold?\tyes\tIt is frozen.",
    "",
    "Which?\\nOptions:\\n\ta\tb",
    "two\tcolumns",
  ]
  file.write_bytes(gzip.compress("\n".join(lines).encode()))
  bad = BadRows("quarantine", 1.0)
  rows = list(sources.read(str(file), reader=READER, on_bad=bad))
  assert rows == [
    (
      {
        "question": 'Where is "up"?',
        "options": ["above", "below it"],
        "answer": "above",
        "rationale": "It is.\nSo.",
      },
      f"{file}:1",
    ),
    (
      {
        "question": "Is snow cold?",
        "options": [],
        "answer": "yes",
        "rationale": "It is frozen.",
      },
      f"{file}:2",
    ),
    (
      {"question": "Which?", "options": [], "answer": "a", "rationale": "b"},
      f"{file}:4",
    ),
  ]
  assert [(r.origin, r.kind) for r in bad.kept] == [
    (f"{file}:5", "wrong columns")
  ]
