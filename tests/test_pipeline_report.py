"""The page of a pipeline: from files on disk, and as a browser shows it."""

import json

import browser as chromium
import pytest

from alignjax.report import write_pipeline_report

HOSTILE = "<script>alert(1)</script><img src=http://example.com/x>"
MODELS = ("base", "sft", "ppo")


def estimate(mean, n=40):
  return dict(mean=mean, error=0.05, low=mean - 0.1, high=mean + 0.1, n=n)


def lines(path, rows):
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture
def folder(tmp_path):
  stages = [
    ("sft", "Supervised tuning", "", "loss", [2.9, 0.5]),
    ("ppo", "PPO", "sft", "objective/scores", [0.1, 0.6]),
  ]
  told = []
  for name, title, after, metric, values in stages:
    held = [{"step": k * 20, metric: v} for k, v in enumerate(values)]
    rows = [
      {"step": k, metric: 0.1 * k, "objective/kl": 0.2 * k}
      for k in range(1, 21)
    ]
    if name == "sft":
      rows = [{"step": k, metric: 3.0 / k} for k in range(1, 21)]
    lines(tmp_path / name / "evaluations.jsonl", held)
    lines(tmp_path / name / "metrics.jsonl", rows)
    command = f"alignjax train --config configs/{name}.py --workdir " + "x" * 90
    told.append(
      dict(name=name, title=title, after=after, folder=name)
      | dict(commands=[command], seconds=61.5, peak_mb=2048)
    )
  whole = dict(title="A pipeline", subtitle="today", caution="Small n.")
  (tmp_path / "pipeline.json").write_text(json.dumps(whole | {"stages": told}))
  changes = {
    "sft": estimate(0.3) | dict(p=1e-4, verdict="better", adjusted=4e-4),
    "ppo": estimate(-0.2) | dict(p=1e-3, verdict="worse", adjusted=2e-3),
  }
  rows = [
    dict(task=task, group="", metric="score", way="up", trained=trained)
    | dict(values={m: estimate(0.4) for m in MODELS}, differences=changes)
    for task, trained in (("suite", True), ("mmlu", False))
  ]
  found = dict(base="base", models=list(MODELS), seed=0, rows=rows)
  (tmp_path / "comparison.json").write_text(json.dumps(found))
  for model in MODELS:
    answered = [
      {
        "id": f"q{k}",
        "group": f"cluster {k}",
        "prompt": [{"role": "user", "content": f"Question {k}? {HOSTILE}"}],
        "output": {"text": f"{model} says {HOSTILE} " + "word " * 60},
        "scores": {"score": 0.5},
      }
      for k in range(8)
    ]
    lines(tmp_path / "evals" / model / "items" / "suite.jsonl", answered)
  return tmp_path


def test_the_page_says_what_the_files_say(folder):
  page = write_pipeline_report(folder).read_text()
  assert "held-out loss 2.900 → 0.500" in page
  assert "held-out score 0.100 → 0.600" in page
  assert "1 min 02 s · 2.0 GB at its peak" in page
  assert '<div class="better">+0.300</div>' in page
  assert '<div class="worse">-0.200</div>' in page
  assert "[+0.200, +0.400]" in page and "[0.300, 0.500]" in page
  assert page.count('class="card"') == 6  # prompts
  assert "ppo: score 0.50" in page
  assert "configs/ppo.py --workdir" in page
  # Two pictures and a curve for each stage.
  assert page.count("<svg") == 4
  assert "<script" not in page and "<img" not in page
  before = page
  assert write_pipeline_report(folder).read_text()[:2000] == before[:2000]


def test_a_number_without_an_interval_has_none_on_the_page(folder):
  file = folder / "comparison.json"
  found = json.loads(file.read_text())
  found["rows"][0]["values"]["sft"] |= {"low": None, "high": None}
  file.write_text(json.dumps(found))
  page = write_pipeline_report(folder).read_text()
  assert '0.400<div class="soft"></div>' in page


@pytest.mark.skipif(
  chromium.CHROMIUM is None,
  reason="NO BROWSER: install Debian's chromium to open the report in one",
)
def test_a_browser_shows_it_without_overflow_or_outside_resources(
  folder, tmp_path_factory
):
  path = write_pipeline_report(folder)
  with chromium.browser(tmp_path_factory.mktemp("browser")) as page:
    for width in (1280, 400):
      page.open(path, width)
      assert page.value("document.title") == "A pipeline"
      assert page.value("document.querySelectorAll('h2').length") == 4
      assert page.value("document.querySelectorAll('.flow li').length") == 2
      rows = "document.querySelectorAll('table.rows tr').length"
      assert page.value(rows) == 3
      # Nothing is wider than the window, but what scrolls in a box of its own.
      across = page.value("document.documentElement.scrollWidth")
      assert across <= width, f"{across} pixels wide at {width}"
      sizes = page.value(
        "[...document.querySelectorAll('figure svg')].map(x => "
        "[x.clientWidth, x.clientHeight])"
      )
      assert len(sizes) == 4
      assert all(150 < w < width and 80 < h < 800 for w, h in sizes), sizes
      small = page.value(
        "[...document.querySelectorAll('p,td,li,div.text')].filter(x => "
        "x.innerText && parseFloat(getComputedStyle(x).fontSize) < 11).length"
      )
      assert small == 0
    assert page.value("typeof alert.called") == "undefined"
    assert {url.split(":")[0] for url in page.requests} == {"file"}
