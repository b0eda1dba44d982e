"""Who writes: replies kept by what they depend on, lots, endpoints, cost."""

import json
import time

import pytest
from ml_collections import ConfigDict
from stand_in_server import MODEL, Reply, failure, serving

from alignjax.build import evaluations
from alignjax.instruct import endpoints, writers
from alignjax.instruct.writers import Ask, Request, Writer
from alignjax.remote import connection
from configs import common


def say(text, draw=0):
  return Request(({"role": "user", "content": text},), draw)


def scripted(asked, lot=0, about=None):
  """A writer that notes what it was asked, and answers by counting."""

  def answer(requests, keep):
    asked.append([r.turns[-1]["content"] for r in requests])
    for i, r in enumerate(requests):
      text = r.turns[-1]["content"].upper()
      keep({i: writers.Reply(f"{text} {r.draw}", False, 2, 3)})

  return Writer(about or {"name": "scripted"}, answer, lot)


def test_what_was_said_is_not_asked_again(tmp_path):
  asked, file = [], tmp_path / "deep" / "replies.jsonl"
  first = Ask(scripted(asked), file)
  assert [r.text for r in first([say("a"), say("b")])] == ["A 0", "B 0"]
  assert asked == [["a", "b"]]
  again = Ask(scripted(asked), file)
  texts = [r.text for r in again([say("b"), say("c"), say("b", 1)])]
  assert texts == ["B 0", "C 0", "B 1"]
  assert asked == [["a", "b"], ["c", "b"]]
  assert again.spent() == {
    "requests": 3,
    "new": 2,
    "tokens_asked": 6,
    "tokens_answered": 9,
  }
  # Another temperature, say, is another writer.
  Ask(scripted(asked, about={"name": "other"}), file)([say("a")])
  assert asked[-1] == ["a"]


def test_a_lot_is_asked_whole_so_that_a_batch_is_the_same(tmp_path):
  asked, file = [], tmp_path / "replies.jsonl"
  requests = [say(x) for x in "abcdefg"]
  Ask(scripted(asked, lot=3), file)(requests)
  assert asked == [["a", "b", "c"], ["d", "e", "f"], ["g"]]
  lines = file.read_text().splitlines(keepends=True)
  file.write_text("".join(lines[:4]) + lines[4][:20])  # killed within a lot
  asked.clear()
  replies = Ask(scripted(asked, lot=3), file)(requests)
  assert asked == [["d", "e", "f"], ["g"]]
  assert [r.text for r in replies] == [f"{x.upper()} 0" for x in "abcdefg"]
  asked.clear()
  Ask(scripted(asked, lot=3), file)(requests)
  assert not asked


def test_the_same_is_asked_once_and_a_writer_is_read_late(tmp_path):
  asked, read = [], []

  def late():
    read.append(1)
    return scripted(asked)

  ask = Ask(late, tmp_path / "r")
  assert not read
  assert [r.text for r in ask([say("a"), say("b"), say("a")])] == [
    "A 0",
    "B 0",
    "A 0",
  ]
  assert asked == [["a", "b"]] and read == [1]


def test_a_model_of_ours_is_read_when_it_is_asked(tmp_path):
  from alignjax.build.writers import tools

  config = common.writing({"name": "any"})
  config.model.path = str(tmp_path / "nowhere")
  found = tools(config, tmp_path, lambda *shown: None)
  with pytest.raises((FileNotFoundError, ValueError), match="nowhere"):
    found.ask([say("a")])


def test_what_was_kept_without_refusals_is_read(tmp_path):
  file = tmp_path / "r"
  Ask(scripted([]), file)([say("a")])
  file.write_text(file.read_text().replace(', "refused": ""', ""))
  asked = []
  assert Ask(scripted(asked), file)([say("a")])[0].text == "A 0"
  assert not asked


def subject():
  config = common.evaluation()
  config.model.preset, config.rows = "tiny", 8
  return evaluations.subject(config)


@pytest.fixture(scope="module")
def ours():
  return subject()


def own(ours, **changes):
  options = dict(max_tokens=6, temperature=1.0, top_p=1.0, seed=0) | changes
  return writers.own(*ours, **options)


def test_a_model_of_ours_depends_on_request_and_seed_alone(ours, tmp_path):
  requests = [say("one"), say("two"), say("one", 1), say("three")]

  def texts(requests, name, **changes):
    ask = Ask(own(ours, **changes), tmp_path / name)
    return [r.text for r in ask(requests)]

  found = texts(requests, "a")
  assert texts(requests, "b") == found
  assert texts(requests[::-1], "c") == found[::-1]
  assert found[0] != found[2]  # another draw
  assert texts(requests, "d", seed=1) != found


def test_how_sure_a_model_of_ours_is_of_a_choice(ours, tmp_path):
  requests = [say("one"), say("two"), say("one")]
  found, turned = (
    [
      float(r.text)
      for r in Ask(writers.chooser(*ours, choices), tmp_path / name)(requests)
    ]
    for name, choices in (("a", ("1", "2")), ("b", ("2", "1")))
  )
  assert found[0] == found[2] != found[1]
  assert all(0 < p < 1 for p in found)
  assert [p + q for p, q in zip(found, turned)] == pytest.approx(3 * [1])
  ask = Ask(writers.chooser(*ours, ("1", "2")), tmp_path / "c")
  with pytest.raises(ValueError, match="the model takes 512"):
    ask([say("word " * 2000)])
  assert "the model takes 512" in ask.fault(say("word " * 2000))
  assert not ask.fault(say("word"))


def test_an_endpoint_says_no_probabilities():
  from alignjax.build.writers import writer

  config = ConfigDict({"seed": 0, "judge": common.writer()})
  config.judge.url, config.judge.choices = "http://127.0.0.1:1/v1", ("1", "2")
  with pytest.raises(ValueError, match="An endpoint has none"):
    writer(config, "judge", dict)


def test_a_request_that_does_not_fit_is_refused(ours, tmp_path):
  ask = Ask(own(ours), tmp_path / "r")
  with pytest.raises(
    ValueError, match="1 of 20 .* 10019 tokens.*512 leave 506"
  ):
    ask([say(f"{i}") for i in range(19)] + [say("word " * 2000)])
  assert not (tmp_path / "r").exists()  # none was asked in vain


def remote(url, **changes):
  options = dict(
    api_key_env="",
    max_tokens=9,
    temperature=0.5,
    top_p=0.9,
    seed=3,
    workers=4,
    timeout=5.0,
    retries=2,
    per_minute=0,
  )
  return endpoints.endpoint(url, MODEL, **options | changes)


def completion(text, finish="stop", usage=(7, 5)):
  body = {
    "choices": [{"message": {"content": text}, "finish_reason": finish}],
    "usage": {"prompt_tokens": usage[0], "completion_tokens": usage[1]},
  }
  return Reply(raw=json.dumps(body).encode())


def test_an_endpoint_is_asked_with_its_settings(tmp_path):
  def answer(asked):
    ends = {"b": "length", "c": "content_filter"}
    return completion(asked.text.upper(), ends.get(asked.text, "stop"))

  with serving(answer) as server:
    ask = Ask(remote(server.url), tmp_path / "r")
    replies = ask([say("a"), say("b"), say("c"), say("a", 4)])
    assert [(r.text, r.cut) for r in replies] == [
      ("A", False),
      ("B", True),
      ("C", True),
      ("A", False),
    ]
    body = next(x.body for x in server.asked if x.body["seed"] == 7)
    assert body["max_tokens"] == 9 and body["temperature"] == 0.5
    assert body["top_p"] == 0.9 and body["model"] == MODEL
    assert ask.spent()["tokens_asked"] == 28
    assert ask.spent()["tokens_answered"] == 20


def test_an_endpoint_that_fails_keeps_what_was_said(tmp_path, monkeypatch):
  monkeypatch.setattr(connection, "FIRST_PAUSE", 0.01)

  def fails(asked):
    return completion("ok") if asked.number < 3 else failure(400, "no more")

  file, requests = tmp_path / "r", [say(f"{i}") for i in range(6)]
  with serving(fails) as server:
    with pytest.raises(ConnectionError, match="no more"):
      Ask(remote(server.url, workers=1), file)(requests)
  with serving(lambda asked: completion("later")) as server:
    replies = Ask(remote(server.url), file)(requests)
    assert len(server.asked) == 3
  assert sorted(r.text for r in replies) == 3 * ["later"] + 3 * ["ok"]


def test_a_prompt_that_is_refused_stops_nothing_and_is_not_asked_again(
  tmp_path,
):
  def filters(asked):
    said = failure(400, "Mend your prompt.")
    error = {"message": "Mend your prompt.", "code": "content_filter"}
    said = said._replace(raw=json.dumps({"error": error}).encode())
    return said if asked.text == "b" else completion("ok")

  for times in (3, 0):
    with serving(filters) as server:
      replies = Ask(remote(server.url), tmp_path / "r")([*map(say, "abc")])
      assert len(server.asked) == times
    assert [r.text for r in replies] == ["ok", "", "ok"]
    assert [r.refused for r in replies] == ["", endpoints.REFUSED, ""]


def test_after_a_failure_nothing_is_asked_that_waits(tmp_path):
  with serving(lambda asked: failure(400, "no")) as server:
    ask = Ask(remote(server.url, per_minute=120), tmp_path / "r")
    with pytest.raises(ConnectionError, match="no\n(.*\n)*Its last turn: '0'"):
      ask([say(f"{i}") for i in range(4)])
    time.sleep(0.2)
    assert len(server.asked) == 1


def test_requests_of_a_minute_are_bounded(tmp_path):
  times = []

  def answer(asked):
    times.append(time.monotonic())
    return completion("ok")

  with serving(answer) as server:
    ask = Ask(remote(server.url, per_minute=600), tmp_path / "r")
    ask([say(f"{i}") for i in range(6)])
  assert max(times) - min(times) > 0.45  # five pauses of 0.1 s


@pytest.mark.parametrize(
  "changes",
  (
    dict(workers=0),
    dict(retries=-1),
    dict(timeout=0.0),
    dict(timeout=float("nan")),
    dict(per_minute=-1),
  ),
)
def test_settings_that_cannot_work_are_refused(changes):
  with pytest.raises(ValueError, match="Legal: a name"):
    remote("http://127.0.0.1:1/v1", **changes)


@pytest.mark.parametrize(
  "changes",
  (
    dict(max_tokens=-3),
    dict(temperature=-1.0),
    dict(temperature=float("nan")),
    dict(top_p=7.0),
  ),
)
def test_sampling_that_cannot_be_is_refused(changes):
  from alignjax.build.writers import writer

  config = ConfigDict({"seed": 0, "writer": common.writer() | changes})
  with pytest.raises(ValueError, match="Legal: 1 or more, 0 or more, above 0"):
    writer(config, "writer", dict)


def test_an_endpoint_needs_a_name_and_a_model_of_ours_has_none():
  from alignjax.build.writers import writer

  config = ConfigDict({"seed": 0, "writer": common.writer()})
  config.writer.model = "named"
  with pytest.raises(ValueError, match="without a url has no effect"):
    writer(config, "writer", dict)
