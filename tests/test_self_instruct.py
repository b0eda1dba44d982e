import json

from alignjax.data import formats, sources
from alignjax.data.bad import BadRows

READER = "alignjax.data.self_instruct.read"
TASKS = [
  {
    "id": "task_0",
    "instruction": "Name the opposite.",
    "instances": [
      {"input": "hot", "output": "cold"},
      {"input": "", "output": "none"},
    ],
  },
  {"instruction": "Say hello."},
  {"instruction": "Add.", "instances": [{"input": "1 + 1"}]},
  {"instruction": "Sing.", "instances": [{"input": "", "output": "La."}]},
]


def test_every_instance_is_a_row(tmp_path):
  file = tmp_path / "tasks.jsonl"
  file.write_text("".join(json.dumps(task) + "\n" for task in TASKS))
  bad = BadRows("quarantine", 1.0)
  rows = sources.read(str(file), reader=READER, on_bad=bad)
  found = list(formats.examples(rows, on_bad=bad))
  texts = [tuple(m["content"] for m in e.messages) for e in found]
  assert texts == [
    ("Name the opposite.\n\nhot", "cold"),
    ("Name the opposite.", "none"),
    ("Sing.", "La."),
  ]
  assert [e.origin for e in found] == [
    f"{file}:{n}" for n in ("1#0", "1#1", "4#0")
  ]
  assert [(r.origin, r.kind) for r in bad.kept] == [
    (f"{file}:2", "missing field"),
    (f"{file}:3", "missing field"),
  ]
  assert "keys: instruction" in bad.kept[0].reason
  assert "instance 0 must have input and output" in bad.kept[1].reason
