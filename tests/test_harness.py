import csv
import functools
import json
import math
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from tokenizers import processors

from alignjax import sharding
from alignjax.cli.harness import harness as command
from alignjax.data.templates import load_template
from alignjax.data.tokenizer import byte_tokenizer
from alignjax.evals import answering, harness, harness_tasks, spelling, summary
from alignjax.evals.tasks import mmlu
from alignjax.generate import Completion, make_generator
from alignjax.models.lm import LM
from alignjax.models.presets import preset

# Invented: question, A, B, C, D, letter.
QUESTIONS = {
  "tea_making": [
    ["What boils?", "Water", "Wood", "Wool", "Wax", "A"],
    ["Which is hot? ", "ice", "snow", "steam", "frost", "C"],
    ["Two cups and two?", "1", "2", "3", "4", "D"],
    ["Leaf, as in:\n the plant", "a page", "tea", "", "a  door", "B"],
  ],
  "knots": [
    ["A bow is tied in?", "rope", "rain", "rock", "rice", "A"],
    ["How many ends, of one rope?", "0", "2", "5", "9", "B"],
    ['"Reef" is', "a knot", "a nut", "a net", "a gnat", "A"],
  ],
}
TEXTS = ["a short text", "Ein längerer Text. " * 30]  # 600 tokens and more
BOS, START, END = 257, 258, 259


@pytest.fixture(scope="module", autouse=True)
def offline():
  with pytest.MonkeyPatch.context() as patch:
    for name in ("HF_DATASETS_OFFLINE", "HF_HUB_OFFLINE"):
      patch.setenv(name, "1")  # before anything imports datasets
    yield


@pytest.fixture(scope="module")
def subject(draw):
  lm, tokenizer = LM(preset("tiny")), byte_tokenizer()
  mesh = sharding.make_mesh((1, 1, 1), jax.devices()[:1])
  place = sharding.Placement(mesh, [(".*", ())], {})
  template = load_template(None, tokenizer)
  return answering.Subject(lm, draw(lm), tokenizer, template, place, 512, 4)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
  """MMLU in its published layout, and the same as tasks of the harness."""
  published, own = map(tmp_path_factory.mktemp, ("mmlu", "tasks"))
  import lm_eval

  default = Path(lm_eval.__file__).parent / "tasks/mmlu/default"
  for subject, (example, *questions) in QUESTIONS.items():
    files = {}
    for split, rows in (("dev", [example]), ("test", questions)):
      (published / split).mkdir(exist_ok=True)
      with open(published / split / f"{subject}_{split}.csv", "w") as file:
        csv.writer(file).writerows(rows)
      files[split] = own / f"{subject}.{split}.jsonl"
      lines = [
        {"question": q, "choices": texts, "answer": "ABCD".index(letter)}
        for q, *texts, letter in rows
      ]
      files[split].write_text("".join(json.dumps(x) + "\n" for x in lines))
    name = subject.replace("_", " ")
    task = {
      "include": str(default / "_default_template_yaml"),
      "task": f"mmlu_{subject}",
      "description": "The following are multiple choice questions (with "
      f"answers) about {name}.\n\n",
    }
    write(own / f"{subject}.yaml", task, files)
  texts = own / "texts.jsonl"
  texts.write_text("".join(json.dumps({"text": x}) + "\n" for x in TEXTS))
  task = {
    "task": "texts",
    "test_split": "test",
    "output_type": "loglikelihood_rolling",
    "doc_to_text": "",
    "doc_to_target": "{{text}}",
    "num_fewshot": 0,
    "metric_list": [{"metric": "word_perplexity"}],
  }
  write(own / "texts.yaml", task, {"test": texts})
  return published, own


def write(path, task, files):
  """A task of the harness with its rows in files."""
  rows = {
    "dataset_path": "json",
    "dataset_kwargs": {
      "data_files": {k: str(x) for k, x in files.items()},
      "cache_dir": str(path.parent / "cache"),
    },
  }
  path.write_text(json.dumps(task | rows))  # JSON is YAML


def run(subject, folders, *tasks, **given):
  given = {"shots": 1, "limit": None, "chat": False} | given
  index = harness_tasks.index(tasks, folders[1])
  return harness_tasks.run(
    subject, tasks, about={"path": "tiny"}, index=index, **given
  )


@pytest.fixture(scope="module")
def plain(subject, folders):
  return run(subject, folders, "mmlu_tea_making", "mmlu_knots", "texts")


def test_log_likelihoods_are_those_of_mmlu(subject, folders, plain):
  task = mmlu.task(
    str(folders[0]),
    split="test",
    shots=1,
    subjects=tuple(QUESTIONS),
    answer="letter",
    normalisation="raw",
    permute=False,
    chat=False,
    limit=0,
  )
  known = {}
  for found, *_ in answering.outputs(task, task.items, subject):
    known |= found
  scores = [
    task.score({"gold": item.gold, "turn": 0}, known[i])
    for i, item in enumerate(task.items)
  ]
  samples = [
    one
    for name in QUESTIONS
    for one in plain["harness"]["samples"][f"mmlu_{name}"]
  ]
  assert len(samples) == len(task.items) == 5
  for i, (item, sample) in enumerate(zip(task.items, samples)):
    prompts = [context for context, _ in sample["arguments"]]
    assert prompts == [item.prompt] * 4
    logps, greedy = zip(*(said[0] for said in sample["resps"]))
    np.testing.assert_allclose(logps, known[i]["logps"], atol=1e-4, rtol=0)
    assert list(greedy) == known[i]["greedy"]
    assert np.ptp(logps) > 0.1  # so that the wrong order would be seen
    assert sample["acc"] == scores[i]["acc"]
  for name in QUESTIONS:
    lines = [
      {"id": item.id, "scores": scores[i]}
      for i, item in enumerate(task.items)
      if item.group == name
    ]
    expected = summary.numbers(lines, seed=0)["metrics"]["acc"]
    assert plain["tasks"][f"mmlu_{name}"]["metrics"]["acc"] == expected
    assert plain["tasks"][f"mmlu_{name}"]["items"] == len(lines)


def test_what_was_run_is_said(plain):
  assert plain["model"] == {"path": "tiny"} and plain["chat"] is False
  said = plain["harness"]["config"]
  assert {k: x for k, x in said.items() if k.endswith("seed")} == {
    "random_seed": 0,
    "numpy_seed": 1234,
    "torch_seed": 1234,
    "fewshot_seed": 1234,
  }
  assert plain["harness"]["n-shot"] == {
    "mmlu_tea_making": 1,
    "mmlu_knots": 1,
    "texts": 0,
  }
  assert plain["harness"]["version"] and plain["code"]["packages"]


def test_a_text_is_predicted_from_as_much_as_there_is_room_for(subject, plain):
  sums = []
  for text in TEXTS:
    ids = [BOS, *text.encode()]
    # The last token of a window is predicted and never fed.
    sums.append(logp(subject, ids[:1], ids[1:513]))
    if len(ids) > 513:
      last = len(ids) - 513  # the tokens that are left over
      sums[-1] += logp(subject, ids[-513:-last], ids[-last:])
  samples = plain["harness"]["samples"]["texts"]
  resps = [sample["resps"][0][0] for sample in samples]
  np.testing.assert_allclose(resps, sums, atol=1e-3, rtol=0)
  # One window: as a task of ours has it.
  (window,) = spelling.windows(TEXTS[0], subject.tokenizer, 512)
  assert logp(subject, *window) == pytest.approx(sums[0])
  words = sum(len(text.split(" ")) for text in TEXTS)
  found = plain["tasks"]["texts"]["metrics"]["word_perplexity"]
  assert found["low"] is None and found["n"] == 2
  assert math.log(found["mean"]) == pytest.approx(-sum(sums) / words, abs=1e-4)


def test_conversations_are_rendered_by_the_template(subject, folders):
  found = run(subject, folders, "mmlu_knots", chat=True, limit=1)
  ((prompt, choice), *_) = found["harness"]["samples"]["mmlu_knots"][0][
    "arguments"
  ]
  assert choice == "A" and found["chat"] is True
  said = (
    (
      "system",
      "The following are multiple choice questions (with answers) "
      "about knots.\n\n",
    ),
    ("user", "A bow is tied in?\nA. rope\nB. rain\nC. rock\nD. rice\nAnswer:"),
    ("assistant", "A"),
    ("user", "How many ends, of one rope?\nA. 0\nB. 2\nC. 5\nD. 9\nAnswer:"),
  )
  turns = [f"<|im_start|>{who}\n{what}<|im_end|>\n" for who, what in said]
  assert prompt == "".join(turns) + "<|im_start|>assistant\n"
  assert found["tasks"]["mmlu_knots"]["items"] == 1


def test_an_answer_that_has_begun_is_gone_on_with(subject):
  turns = [
    {"role": "user", "content": "Q"},
    {"role": "assistant", "content": "It is"},
  ]
  model = harness.harness(subject)
  assert model.apply_chat_template(turns, add_generation_prompt=False) == (
    "<|im_start|>user\nQ<|im_end|>\n<|im_start|>assistant\nIt is"
  )
  assert model.chat_template(True) == subject.template.source
  assert model.chat_template(False) is None


@functools.cache
def logits_of(lm):
  return jax.jit(lm.logits)


def logp(subject, context, continuation):
  """Σ log p by a pass over one row alone."""
  whole = np.concatenate([context, continuation]).astype(int)
  ids = np.zeros((1, 512), np.int32)
  ids[0, : len(whole) - 1] = whole[:-1]  # the last one is never fed
  logits = np.asarray(logits_of(subject.lm)(subject.params, ids))[0]
  at = np.arange(len(context) - 1, len(whole) - 1)
  logps = np.asarray(jax.nn.log_softmax(logits[at]))
  return logps[np.arange(len(at)), continuation].sum()


def requests(kind, *arguments):
  from lm_eval.api.instance import Instance

  return [Instance(kind, {}, given, i) for i, given in enumerate(arguments)]


def test_answers_come_in_the_order_of_requests(subject):
  asked = [
    ("to be", " or not"),
    ("", "begins"),
    ("a longer context, before", " x"),
    ("  ", "after white space"),
    ("to be ", "or not"),  # the space belongs to what follows
    ("", "begins"),
  ]
  shown = []
  model = harness.harness(subject, lambda *step: shown.append(step))
  found = model.loglikelihood(requests("loglikelihood", *asked))
  for (context, continuation), (value, _) in zip(asked, found):
    bare = context.rstrip()
    after = (context + continuation)[len(bare) :].encode()
    before = [*bare.encode()] or [BOS]
    expected = logp(subject, before, [*after])
    assert value == pytest.approx(expected, abs=1e-4), context
  assert shown[-1][0] == "loglikelihood" and shown[-1][1] == shown[-1][2]
  assert model.loglikelihood([]) == []


def test_a_begin_token_is_not_doubled(subject):
  tokenizer = byte_tokenizer()
  tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
    single="<|bos|> $A", special_tokens=[("<|bos|>", BOS)]
  )
  model = harness.harness(subject._replace(tokenizer=tokenizer))
  assert model.tok_encode("a") == [BOS, 97]
  assert model.tok_encode("<|bos|>a") == [BOS, 97]
  assert model.tok_encode("a", add_special_tokens=False) == [97]
  assert model.prefix_token_id == BOS


def test_a_continuation_without_a_token_is_refused(subject):
  model = harness.harness(subject)
  with pytest.raises(ValueError, match="'' of 'context' has no token"):
    model.loglikelihood(requests("loglikelihood", ("context", "")))


def test_answers_are_greedy_and_cut(subject):
  generate = make_generator(
    subject.lm, subject.tokenizer, subject.template, max_tokens=12, rows=4
  )
  prompts = ["one", "the second of them", "3"]
  own = generate(subject.params, [list(x.encode()) for x in prompts])
  texts = [answer.text for (answer,) in own]
  assert len(set(texts)) == 3
  stop = texts[1][4:6]
  arguments = [(x, {"max_gen_toks": 12, "until": []}) for x in prompts]
  arguments[1] = (prompts[1], {"max_gen_toks": 12, "until": ["\0", stop, ""]})
  model = harness.harness(subject)
  found = model.generate_until(requests("generate_until", *arguments))
  assert found[0] == texts[0] and found[2] == texts[2]
  assert found[1] == texts[1][: texts[1].index(stop)] != texts[1]


def test_answers_end_at_control_tokens_and_where_the_task_says(
  subject, monkeypatch
):
  """Of a generator that repeats its prompt, and writes <|im_start|> and x."""
  made = []

  def fake(lm, tokenizer, template, *, max_tokens, rows):
    made.append(max_tokens)

    def generate(params, prompts):
      assert len(prompts) <= rows == 4
      said = [(p + [START, 120])[:max_tokens] for p in prompts]
      return [[Completion("", x, [0.0] * len(x), False)] for x in said]

    return generate

  monkeypatch.setattr(harness, "make_generator", fake)
  arguments = [
    ("ab", {"until": ["<|im_start|>"], "max_gen_toks": 9}),
    ("abcdef", {"max_gen_toks": 4}),
    ("ab", {"until": "b", "max_gen_toks": 9, "do_sample": False}),
    ("ab", {"temperature": 0.0, "num_beams": 1}),
    ("a<|im_end|>b", {"do_sample": False, "temperature": 1}),
    *((f"{i}", {"max_new_tokens": 4}) for i in range(5)),
  ]
  model = harness.harness(subject)
  found = model.generate_until(requests("generate_until", *arguments))
  assert found[:5] == ["ab", "abcd", "a", "abx", "a"]
  assert found[5:] == [f"{i}x" for i in range(5)]
  assert made == [4, 9, harness.MAX_TOKENS]


@pytest.mark.parametrize(
  "said, message",
  [
    ({"do_sample": True}, "do_sample = True.*\n.*do_sample: false"),
    ({"temperature": 0.7}, "temperature = 0.7"),
    ({"num_beams": 10}, "num_beams = 10.*\n.*legal: until, max_gen_toks"),
  ],
)
def test_what_is_not_greedy_is_refused(subject, said, message):
  model = harness.harness(subject)
  with pytest.raises(ValueError, match=message):
    model.generate_until(requests("generate_until", ("a", said)))


def test_an_unknown_task_is_named(folders, monkeypatch, tmp_path):
  import lm_eval.tasks

  class Manager:
    all_subtasks = all_tasks = ["mmlu_knots", "mmlu_tea_making", "boolq"]

    def __init__(self, include_path, include_defaults=True):
      pass

  monkeypatch.setattr(lm_eval.tasks, "TaskManager", Manager)
  with pytest.raises(ValueError, match="'mmlu_knot'; close to it: mmlu_knots"):
    harness_tasks.index(["boolq", "mmlu_knot"], folders[1])
  with pytest.raises(FileNotFoundError, match="none"):
    harness_tasks.index(["boolq"], tmp_path / "none")


def test_without_the_package_the_remedy_is_named(subject, monkeypatch):
  for name in ("lm_eval.api.model", "lm_eval.tasks"):
    monkeypatch.setitem(sys.modules, name, None)
  with pytest.raises(ImportError, match=r"pip install 'alignjax\[evals\]'"):
    harness.harness(subject)
  with pytest.raises(ImportError, match=r"pip install 'alignjax\[evals\]'"):
    harness_tasks.index(["boolq"])


def test_command(folders, tmp_path, root, capsys):
  out = tmp_path / "found.json"
  command(
    [
      f"--config={root}/configs/evaluate.py:tiny",
      f"--include-path={folders[1]}",
      "--tasks=mmlu_knots, mmlu_tea_making",
      "--config.mesh=1,1,1",
      "--shots=0",
      "--limit=1",
      f"--out={out}",
    ]
  )
  found = json.loads(out.read_text("utf-8"))
  assert found["model"]["preset"] == "tiny" and found["model"]["sha256"]
  assert list(found["tasks"]) == ["mmlu_knots", "mmlu_tea_making"]
  assert found["tasks"]["mmlu_knots"]["items"] == 1
  assert found["harness"]["n-shot"]["mmlu_knots"] == 0
  assert "mmlu_tea_making" in capsys.readouterr().out
  with pytest.raises(ValueError, match="needs --tasks"):
    command([f"--config={root}/configs/evaluate.py:tiny", f"--out={out}"])
