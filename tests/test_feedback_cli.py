"""`alignjax feedback`: the whole loop, and what it refuses."""

import json
import os
import signal
import subprocess
import sys

import pytest
from feedback_studies import query, rows
from feedback_studies import study as small

from alignjax import pretrained
from alignjax.cli.feedback import feedback
from alignjax.cli.feedback_pairs import players
from alignjax.data.tokenizer import byte_tokenizer
from alignjax.feedback.simulate import Simulated
from alignjax.feedback.store import Store
from alignjax.models.lm import LM
from alignjax.models.presets import preset

SMALL = preset("tiny").replace(
  width=16, depth=1, hidden=24, windows=(), heads=2, kv_heads=1, head_size=8
)


def write(file, made):
  file.write_text("".join(json.dumps(row) + "\n" for row in made))
  return str(file)


@pytest.fixture
def pairs(tmp_path):
  return write(tmp_path / "pairs.jsonl", rows(12, gold=range(0, 12, 2)))


@pytest.fixture(scope="module")
def models(tmp_path_factory, draw):
  folder = tmp_path_factory.mktemp("models")
  for name, heads in (("a", 0), ("b", 0), ("rm", 1)):
    lm = LM(SMALL.replace(vocab=264, scores=heads))
    params = draw(lm, ord(name[0]))
    pretrained.export(folder / name, lm, params, byte_tokenizer())
  return folder


def test_the_whole_loop(pairs, tmp_path, capsys):
  study, out = str(tmp_path / "s.db"), str(tmp_path / "out" / "p.jsonl")
  feedback(
    ["simulate", pairs, "--study", study, "--rater", "2*noise=0.1"]
    + ["--rater", "side=0.2,tie=0.2", "--repeat-every", "4"]
  )
  # 12 pairs and a repeat in every four tasks are 16, of each rater.
  assert capsys.readouterr().out.startswith("48 votes of 3 raters")
  feedback(["report", "--study", study, "--json", str(tmp_path / "r.json")])
  said = capsys.readouterr().out
  assert "12 pairs, 0 of them gold items; 12 have all 3 votes" in said
  assert "Krippendorff's alpha, five steps" in said
  told = json.loads((tmp_path / "r.json").read_text())
  assert told["counts"]["votes"] == 48 and len(told["raters"]) == 3
  assert told["settings"]["repeat_every"] == 4
  feedback(["export", "--study", study, "--out", out, "--rule", "soft"])
  said = capsys.readouterr().out
  assert said.startswith(f"{out}: ") and said.endswith(f"{out}.card.md\n")
  assert "were played" in (tmp_path / "out" / "p.jsonl.card.md").read_text()


def test_a_rule_may_say_which_answer_is_better(pairs, tmp_path):
  study = str(tmp_path / "s.db")
  (tmp_path / "taste.py").write_text(
    "def yes(prompts, completions, rows):\n"
    "  return [float(text.startswith('Yes')) for text in completions]\n"
  )
  with pytest.MonkeyPatch.context() as patch:
    patch.syspath_prepend(tmp_path)
    feedback(
      ["simulate", pairs, "--study", study, "--rater", "3*sharp=1e6"]
      + ["--judge", "taste.yes"]
    )
  store = Store(study)
  with store.read() as db:
    said = db.execute("SELECT DISTINCT choice FROM votes").fetchall()
  assert said == [("a_much",)]
  store.close()


def test_raters_have_tokens(pairs, tmp_path, capsys):
  study = str(tmp_path / "s.db")
  feedback(["simulate", pairs, "--study", study, "--rater", "1*"])
  feedback(["raters", "add", "ann", "bob", "--study", study])
  feedback(["raters", "add", "eve", "--admin", "--study", study])
  said = capsys.readouterr()
  tokens = dict(x.split("\t") for x in said.out.splitlines()[1:])
  assert "shown once" in said.err
  store = Store(study)
  assert store.rater_of(tokens["ann"]).name == "ann"
  assert store.rater_of(tokens["eve"]).role == "admin"
  feedback(["raters", "renew", "ann", "--study", study])
  assert "let in" not in capsys.readouterr().out
  feedback(["raters", "deactivate", "bob", "eve", "--study", study])
  feedback(["raters", "renew", "eve", "--study", study])
  assert "eve is let in again" in capsys.readouterr().err
  assert store.rater_of(tokens["ann"]) is None
  capsys.readouterr()
  feedback(["raters", "list", "--study", study])
  assert capsys.readouterr().out.splitlines() == [
    "simulated-1\trater",
    "ann\trater",
    "bob\trater\tshut out",
    "eve\tadmin",
  ]
  store.close()


def test_played_raters_add_nothing_to_a_study_of_people(pairs, tmp_path):
  store, _ = small(tmp_path / "s.db", 2)
  store.add_rater("ann")
  with pytest.raises(ValueError, match="'ann' is in it"):
    feedback(["simulate", pairs, "--study", str(store.path), "--rater", "1*"])
  assert query(store, "SELECT count(*) FROM pairs") == [(2,)]
  assert [r.name for r in store.raters()] == ["ann"]
  store.close()


def test_two_models_are_sampled(models, tmp_path, capsys):
  asked = write(tmp_path / "q.jsonl", [{"prompt": f"{i}?"} for i in range(5)])
  out = tmp_path / "made" / "pairs.jsonl"
  words = ["sample", "--prompts", asked, "--out", str(out)]
  words += ["--max-tokens", "4", "--batch", "2"]
  both = ["--model", str(models / "a"), "--model", str(models / "b")]
  feedback(words + both)
  said = capsys.readouterr().out
  assert said.startswith(f"{out}: 5 pairs of 5 prompts")
  made = [json.loads(x) for x in out.read_text().splitlines()]
  assert {m for row in made for m in row["models"].values()} == {
    str(models / "a"),
    str(models / "b"),
  }
  about = made[0]["made"]
  assert about["temperature"] == 1.0 and about["max_tokens"] == 4
  digests = {x["sha256"] for x in about["models"].values()}
  assert len(digests) == 2
  before = out.read_text()
  feedback(words + both)
  assert out.read_text() == before
  for option, was in (("seed", 0), ("n", 1)):
    with pytest.raises(ValueError, match=f"made with {option} = {was}, not 2"):
      feedback([*words, *both, f"--{option}", "2"])
  # One model alone, and a reward model that says which answer is better.
  alone = str(tmp_path / "alone.jsonl")
  words[words.index("--out") + 1] = alone
  feedback([*words, *both[:2], "--n", "2"])
  study = str(tmp_path / "s.db")
  feedback(
    ["simulate", alone, "--study", study, "--rater", "2*sharp=1000000"]
    + ["--judge", str(models / "rm"), "--template", "chatml"]
    + ["--overlap", "2"]
  )
  store = Store(study)
  with store.read() as db:
    alike = db.execute(
      "SELECT count(DISTINCT v.choice) FROM votes v JOIN tasks t ON "
      "t.id = v.task GROUP BY t.pair"
    ).fetchall()
  assert len(alike) > 5 and set(alike) == {(1,)}  # all see the same truth
  store.close()


def test_players_are_read():
  assert players("3*noise=0.1,side=-0.2") == [Simulated(0.1, -0.2)] * 3
  assert players("2*") == [Simulated()] * 2
  assert players("") == [Simulated()]


WRONG = {
  "": "no command ''; one of sample, serve",
  "vote": "no command 'vote'",
  "report --study {tmp}/none.db": "no such study",
  "serve": "give PAIRS, a file of pairs, or --study",
  "serve --study {tmp}/none.db": "begins one",
  "serve {tmp}/none.jsonl": "no such file or folder",
  "serve {tmp}/s.db": "go on with it by --study",
  "serve {pairs} --overlap 0": "overlap = 0",
  "serve {pairs} --host 0.0.0.0": "open to other machines",
  "serve {pairs} --behind-https": "needs the name that browsers use",
  "simulate {pairs} --study {tmp}/s.db --rater nose=1": "names are noise",
  "simulate {pairs} --study {tmp}/s.db --rater noise=2": "from 0 to 1",
  "simulate {pairs} --study {tmp}/s.db --rater 0*": "1 to 1,000",
  "simulate {pairs} --study {tmp}/s.db --rater 1* --judge no-such": "Legal: "
  "gold",
  "simulate {pairs} --study {tmp}/s.db --rater 1* --template chatml": "has no "
  "effect",
  "raters add --study {tmp}/s.db": "needs one name or more",
  "raters list ann --study {tmp}/s.db": "takes no names",
  "raters renew ann --admin --study {tmp}/s.db": "is of raters add",
  "sample --model a --model a --prompts q --out p.jsonl": "2 times: a, a",
  "sample --model a --prompts q --out p.jsonl --temperature 0": "above 0",
  "sample --model a --prompts q --out p.csv": "must end with .jsonl",
  "sample --model a --prompts q --out p.jsonl --n 0": "1 or more",
  "export --study {tmp}/none.db --out p.jsonl": "no such study",
}


@pytest.mark.parametrize("words", WRONG)
def test_what_is_refused(words, pairs, tmp_path):
  words_ = words.format(tmp=tmp_path, pairs=pairs).split()
  with pytest.raises((ValueError, OSError)) as e:
    feedback(words_)
  assert WRONG[words] in str(e.value)
  assert len(str(e.value).splitlines()) <= 5


def test_a_refusal_leaves_no_study(pairs, tmp_path):
  for words in (["--host", "0.0.0.0"], ["--gold-every", "1"]):
    with pytest.raises(ValueError):
      feedback(["serve", pairs, *words])
  with pytest.raises(ValueError, match="no pair has a gold answer"):
    bare = write(tmp_path / "bare.jsonl", rows(3))
    feedback(["serve", bare, "--gold-every", "5"])
  assert not list(tmp_path.glob("*.db"))


def test_help_says_the_commands(capsys):
  feedback(["--help"])
  said = capsys.readouterr().out
  for name in "sample serve raters report export simulate".split():
    assert f"\n  {name}" in said
    with pytest.raises(SystemExit) as e:
      feedback([name, "--help"])
    assert e.value.code == 0
  assert max(map(len, said.splitlines())) <= 80


def test_help_imports_no_jax(root):
  code = (
    "import sys; from alignjax.cli.feedback import feedback; feedback(['-h']); "
    "assert not {'jax', 'numpy', 'starlette'} & set(sys.modules)"
  )
  subprocess.run([sys.executable, "-c", code], check=True, cwd=root)


def test_a_server_prints_the_admins_token_once(pairs, tmp_path, root):
  code = "import sys; from alignjax.cli.feedback import feedback; "
  code += "feedback(sys.argv[1:])"
  command = [sys.executable, "-c", code, "serve", pairs, "--port", "0"]
  admins = []
  for start in range(2):
    server = subprocess.Popen(
      command,
      stdout=subprocess.PIPE,
      stderr=subprocess.PIPE,
      text=True,
      cwd=root,
      env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )
    try:
      first = server.stdout.readline()
      if start == 0:
        admins.append(first.strip().split("\t"))
        first = server.stdout.readline()
      assert "pairs.db at http://127.0.0.1:" in first
    finally:
      server.send_signal(signal.SIGINT)
      server.communicate(timeout=20)
  ((name, token),) = admins
  store = Store(tmp_path / "pairs.db")
  assert store.rater_of(token).role == "admin" and name == "admin"
  assert len(store.raters()) == 1
  store.close()
