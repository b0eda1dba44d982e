import json
import math
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from alignjax.report import write_report
from alignjax.report.curves import POINTS, draw, thin

HOSTILE = [
  "<script>alert(1)</script>",
  "</title></style></pre></div><script>alert(1)</script>",
  "<img src=http://evil.example/x onerror=alert(1)>",
  "\"' onmouseover=alert(1) {{ 7 * 7 }} {% raw %}",
  "&lt;b&gt; <svg><a xlink:href='javascript:alert(1)'>",
  "<link rel=stylesheet href=//evil.example> @import url(//evil.example)",
]


class Tags(HTMLParser):
  """The tags and attributes that a browser would see, and the text."""

  def __init__(self, page):
    super().__init__()
    self.tags, self.text = [], ""
    self.feed(page)

  def handle_starttag(self, tag, attributes):
    self.tags.append((tag, dict(attributes)))

  def handle_data(self, data):
    self.text += data


def rolled(hostile=""):
  """Four rollouts of two completions, the worse one first; one is folded."""
  texts = {"prompt": f"ask {hostile}", "completion": f"say {hostile}"}
  row = {"name": "rollouts", **texts, "tokens": 7, "stopped": True}
  long = {"completion": f"long {hostile}" + " go" * 2000, "stopped": False}
  return [
    {"step": step, **row, "kl": 0.5, "score": step, **more}
    for step in (1, 4, 8, 12)
    for more in (long, {"score": step + 0.25, "kl": None})
  ]


def write_folder(path, *, hostile="", steps=12, rollouts=False):
  """A finished run; `hostile` stands wherever a model or a user may write."""
  held = [{"step": 0, "loss": 3.0}]
  rows = []
  for step in range(1, steps + 1):
    row = {"step": step, "loss": 3 - 0.1 * step, "lr": 1e-3, "grad_norm": 1.5}
    row |= {"tokens": 100, "tokens_per_s": 50.0, "wall_s": 2.0 * step}
    rows.append({**row, f"extra{hostile}": 1.0})
  held.append({"step": steps, "loss": 2.5, "wall_s": 2.0 * steps})
  config = {"name": f"sft {hostile}", "train": {"steps": 20}, "x": [hostile]}
  run = {
    "started": f"2024-01-01T00:00:00+00:00 {hostile}",
    "packages": {"alignjax": f"0.1 {hostile}", hostile: "1"},
    "devices": [hostile],
  }
  sample = {"name": f"fixed {hostile}", "prompt": f"capital? {hostile}"}
  sample["reference"] = f"gold {hostile}"
  samples = [
    {"step": step, **sample, "completion": f"Oslo {step} {hostile}"}
    for step in range(40)
  ]
  samples += [{"step": step, "prompt": "bare"} for step in (0, 39)]
  samples += rolled(hostile) if rollouts else []
  for name, value in (
    ("config.json", config),
    ("run.json", run),
  ):
    (path / name).write_text(json.dumps(value))
  files = {"metrics": rows, "evaluations": held, "samples": samples}
  for name, lines in files.items():
    text = "".join(json.dumps(row) + "\n" for row in lines)
    (path / f"{name}.jsonl").write_text(text)


def report(path, **options):
  write_folder(path, **options)
  return write_report(path).read_text("utf-8")


def test_the_summary_is_the_numbers_of_the_run(tmp_path):
  page = report(tmp_path)
  facts = re.findall(
    r"<dt>(.*?)</dt><dd>(.*?)</dd>(?:\s*<dd[^>]*>(.*?)</dd>)?", page
  )
  assert facts == [
    ("Steps", "12", "of 20"),
    ("Tokens", "1,200", ""),
    ("Wall time", "24 s", ""),
    ("Tokens per second", "50", "median"),
    ("Training loss", "2.900 → 1.800", "best 1.800 at step 12"),
    ("Held-out loss", "3.000 → 2.500", "best 2.500 at step 12"),
  ]
  assert "<title>sft </title>" in page


def test_everything_in_the_folder_is_on_the_page(tmp_path):
  text = Tags(report(tmp_path)).text
  for said in ("before", "after", "gold", "Oslo 0", "Oslo 39", "capital?"):
    assert said in text
  assert "28 more in samples.jsonl" in text  # 40 completions, 12 shown
  assert text.count("(empty)") == 2  # the bare answer, before and after
  for name in ("Loss", "Learning rate", "Gradient norm", "extra"):
    assert f"<b>{name}</b>" in (tmp_path / "report.html").read_text()
  assert '"steps": 20' in text and "packages.alignjax" in text


@pytest.mark.parametrize("hostile", HOSTILE)
def test_hostile_text_changes_no_tag(tmp_path, hostile):
  (tmp_path / "a").mkdir()
  (tmp_path / "b").mkdir()
  tame = Tags(report(tmp_path / "a", hostile="tame", rollouts=True))
  seen = Tags(report(tmp_path / "b", hostile=hostile, rollouts=True))
  assert [tag for tag, _ in seen.tags] == [tag for tag, _ in tame.tags]
  names = {name for _, attributes in seen.tags for name in attributes}
  assert names == {name for _, attributes in tame.tags for name in attributes}
  assert not any(name.startswith("on") for name in names)
  assert not {"script", "img", "link", "iframe"} & {t for t, _ in seen.tags}
  assert seen.text.count(hostile) == tame.text.count("tame")


def test_nothing_is_fetched(tmp_path):
  page = report(tmp_path)
  for tag, attributes in Tags(page).tags:
    for name in ("src", "href", "xlink:href", "srcset", "data", "action"):
      assert attributes.get(name, "#").startswith("#"), (tag, attributes)
  assert "@import" not in page
  assert all(r.startswith("#") for r in re.findall(r"url\(([^)]*)\)", page))
  addresses = set(re.findall(r"\w+://[^\"'<> ]*", page))
  assert all(a.startswith("http://www.w3.org/") for a in addresses)
  assert (
    re.findall(r"http://www.w3.org/", re.sub(r'xmlns(:\w+)?="[^"]*"', "", page))
    == []
  )
  assert "default-src 'none'" in page


def test_the_same_folder_gives_the_same_bytes(tmp_path):
  first = report(tmp_path)
  assert write_report(tmp_path).read_text("utf-8") == first


def test_ids_are_unique_and_references_resolve(tmp_path):
  page = report(tmp_path)
  ids = re.findall(r'\bid="([^"]*)"', page)
  assert len(ids) > 20 and len(ids) == len(set(ids))
  used = re.findall(r'href="#([^"]*)"|url\(#([^)]*)\)', page)
  assert used and {a or b for a, b in used} <= set(ids)


def test_drawings_take_their_colours_from_the_page(tmp_path):
  svg = draw("Loss", ([1, 2], [3.0, 2.0]), ([0], [3.1]), last=2, key="k")
  fixed = set(re.findall(r"(?:stroke|fill): (#\w+)", svg))
  assert fixed == set()
  assert "var(--train)" in svg and "var(--held)" in svg
  size = re.search(r"<svg[^>]*>", svg).group()
  assert "viewBox" in size and "width" not in size and "height" not in size


def test_thin_averages_neighbours_and_leaves_gaps():
  few = thin([1, 2, 3], [1.0, math.nan, 3.0])
  np.testing.assert_array_equal(few, [[1, 2, 3], [1, math.nan, 3]])
  n = 2 * POINTS - 1  # pairs, and one alone
  steps = list(range(1, n + 1))
  values = [float(s) for s in steps]
  values[0] = math.inf
  values[2] = values[3] = math.nan
  x, y = thin(steps, values)
  assert len(x) == POINTS
  assert list(x[:3]) == [1.5, 3.5, 5.5] and x[-1] == n
  assert y[0] == 2 and math.isnan(y[1]) and y[2] == 5.5 and y[-1] == n


def test_metrics_alone_are_enough(tmp_path):
  rows = '{"step": 1, "loss": 2.0}\n{"step": 2, "loss": null, "nonfinite": ["l'
  (tmp_path / "metrics.jsonl").write_text(rows)  # the last line cut short
  page = write_report(tmp_path).read_text("utf-8")
  assert f"<title>{tmp_path.name}</title>" in page
  headings = "Answers", "Rollouts", "Samples", "Configuration", "Environment"
  for heading in headings:
    assert heading not in page


def test_rows_that_are_not_finite_are_reported(tmp_path):
  rows = [{"step": s, "loss": None, "nonfinite": ["loss"]} for s in (4, 5)]
  lines = "".join(json.dumps(row) + "\n" for row in rows)
  (tmp_path / "metrics.jsonl").write_text(lines)
  page = write_report(tmp_path).read_text("utf-8")
  assert "Rows not finite</dt><dd>2</dd>" in page and "first at step 4" in page
  assert "Training loss" not in page


def test_a_lone_surrogate_is_written(tmp_path):
  assert "Oslo 3 ?" in report(tmp_path, hostile="\ud800")


def test_a_long_run_keeps_the_page_small(tmp_path):
  page = report(tmp_path, steps=5000)
  assert len(page) < 200_000
  assert "mean over 13 logged steps" in page


def test_a_folder_without_metrics_is_an_error(tmp_path):
  with pytest.raises(FileNotFoundError, match="no metrics.jsonl.*\n.*train"):
    write_report(tmp_path)
  (tmp_path / "metrics.jsonl").write_text("")
  with pytest.raises(ValueError, match="no row"):
    write_report(tmp_path)
  assert not (tmp_path / "report.html").exists()


@pytest.mark.parametrize(
  "name, text, said",
  [
    ("config.json", "{", "config.json is not JSON"),
    ("run.json", "[]", "run.json must hold an object"),
  ],
)
def test_a_broken_file_is_named(tmp_path, name, text, said):
  write_folder(tmp_path)
  (tmp_path / name).write_text(text)
  with pytest.raises(ValueError, match=said):
    write_report(tmp_path)


def test_skipped_steps_are_facts(tmp_path):
  write_folder(tmp_path)
  events = [{"step": s, "kind": "spike", "rows": ["a:1"]} for s in range(2, 9)]
  events.insert(1, {"step": 5, "kind": "nonfinite", "loss": None, "rows": []})
  lines = "".join(json.dumps(row) + "\n" for row in events)
  (tmp_path / "events.jsonl").write_text(lines)
  facts = re.findall(
    r"<dt>(Skipped.*?)</dt><dd>(.*?)</dd>(?:\s*<dd[^>]*>(.*?)</dd>)?",
    write_report(tmp_path).read_text("utf-8"),
  )
  assert facts == [
    ("Skipped, not finite", "1", "at step 5"),
    ("Skipped, spike", "7", "at step 2, 3, 4, 5, 6, …"),
  ]


def test_epochs_of_parts_are_no_curves(tmp_path):
  row = {"step": 1, "loss": 2.0, "epoch/a": 0.5, "epoch/b": 0.1, "kl": 1.0}
  (tmp_path / "metrics.jsonl").write_text(json.dumps(row) + "\n")
  page = write_report(tmp_path).read_text("utf-8")
  assert "<b>kl</b>" in page and "epoch/" not in page


def section(page, name):
  return page[page.index(f"<h2>{name}</h2>") :].partition("<h2>")[2]


def test_rollouts_have_a_table_of_their_own(tmp_path):
  write_folder(tmp_path, rollouts=True)
  means = {"step": 1, "loss": 0.1, "objective/scores": 0.4125}
  means |= {"objective/kl": -0.001, "completions/mean_length": 14.25}
  path = tmp_path / "metrics.jsonl"
  first, *rest = path.read_text().splitlines()
  path.write_text("\n".join([json.dumps(json.loads(first) | means), *rest]))
  page = write_report(tmp_path).read_text("utf-8")
  found = section(page, "Rollouts").partition("<h2>")[0]
  assert re.findall(r"<h3>(.*?)</h3>", found) == [
    "Step 1: score 0.412, KL 0.00 nats, 14.2 tokens",
    "Step 4",  # between the first and the last; their means are not there
    "Step 12",
  ]
  cells = re.findall(r'<td class="number">(.*?)</td>', found)
  assert cells[:8] == ["1.25", "–", "7", "no", "1", "0.50", "7", "yes"]
  assert found.count("say ") == 3 and found.count("<details>") == 3
  assert "2005 more characters" in found
  assert "ask" not in section(page, "Samples during training")
  assert (
    "ask" not in section(page, "Answers before and after").partition("<h2>")[0]
  )


def test_scores_are_told_and_drawn_before_the_loss(tmp_path):
  rows = [
    {"step": s, "loss": 0.1, "objective/scores": x, "objective/kl": 2.0 * s}
    for s, x in enumerate((0.25, 0.75, 0.5), 1)
  ]
  lines = "".join(json.dumps(row) + "\n" for row in rows)
  (tmp_path / "metrics.jsonl").write_text(lines)
  page = write_report(tmp_path).read_text("utf-8")
  facts = re.findall(
    r"<dt>(.*?)</dt><dd>(.*?)</dd>\s*<dd[^>]*>(.*?)</dd>", page
  )
  assert facts[:2] == [
    ("Score", "0.250 → 0.500", "best 0.750 at step 2"),
    ("KL, nats a completion", "2.000 → 6.000", "highest 6.000 at step 3"),
  ]
  assert re.findall(r"<figcaption><b>(.*?)</b>", page) == [
    "Score",
    "KL to the reference, nats a completion",
    "Loss",
  ]
