"""The server as a process: threads, kill -9, ports and addresses."""

import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPException

import pytest
from feedback_site import Visitor, action, serving, study, token_of
from feedback_studies import query, rows

from alignjax.feedback.choices import CHOICES, KEPT
from alignjax.feedback.store import Store
from alignjax.feedback.web import serve

CODE = """
import sys
from alignjax.feedback.store import Store
from alignjax.feedback.web.serve import serve
def ready(url): print(url, flush=True)
serve(Store(sys.argv[1]), port=0, ready=ready)
"""


@contextmanager
def process(root, path):
  """A server of its own: the process and its port."""
  child = subprocess.Popen(
    [sys.executable, "-c", CODE, str(path)],
    env=os.environ | {"PYTHONPATH": str(root)},
    stdout=subprocess.PIPE,
    text=True,
  )
  try:
    yield child, int(child.stdout.readline().rsplit(":", 1)[1])
  finally:
    child.kill()
    child.wait(30)
    child.stdout.close()


def choice(number: int) -> str:
  return CHOICES[number % len(CHOICES)]


def test_threads_of_raters_fill_every_place_once(tmp_path):
  store = study(tmp_path / "s.db", rows(25), overlap=3)
  tokens = [store.add_rater(f"rater {i}") for i in range(8)]

  def work(port, token):
    visitor, saved = Visitor(port), 0
    visitor.login(token)
    while 'id="vote"' in (page := visitor.get("/")).text:
      sent = dict(form=token_of(page), choice=choice(saved))
      # Twice each, as by a double click.
      places = [visitor.post(action(page), **sent).place for _ in range(2)]
      assert places == ["/?said=saved", "/?said=same"], places
      saved += 1
    return saved

  with serving(store) as port, ThreadPoolExecutor(8) as pool:
    saved = list(pool.map(lambda token: work(port, token), tokens))
  per_pair = query(
    store,
    "SELECT count(*) FROM votes v JOIN tasks t ON t.id = v.task GROUP BY pair",
  )
  assert per_pair == [(3,)] * 25
  assert sum(saved) == 75
  assert query(store, "SELECT count(*) FROM events WHERE kind = 'voted'") == [
    (75,)
  ]


def test_kill_loses_no_vote_that_was_acknowledged(root, tmp_path):
  path = tmp_path / "s.db"
  store = study(path, rows(50), overlap=4)
  tokens = [store.add_rater(f"rater {i}") for i in range(4)]
  store.close()
  acknowledged, lock = {}, threading.Lock()
  enough = threading.Event()

  def work(visitor, last):
    while 'id="vote"' in (page := visitor.get("/")).text:
      task = int(action(page).rsplit("/", 1)[1])
      sent = dict(form=token_of(page), choice=choice(task))
      assert visitor.post(action(page), **sent).place == "/?said=saved"
      with lock:
        acknowledged[task] = choice(task)
        if len(acknowledged) >= last:
          enough.set()

  def until_it_ends(visitor):
    with pytest.raises((OSError, HTTPException)):
      work(visitor, 90)
      raise AssertionError("200 votes came before the end")

  visitors = []
  with process(root, path) as (child, port):
    for token in tokens:
      visitors.append(Visitor(port))
      visitors[-1].login(token)
    with ThreadPoolExecutor(4) as pool:
      jobs = [pool.submit(until_it_ends, v) for v in visitors]
      assert enough.wait(60), "no votes"
      child.send_signal(signal.SIGKILL)
      for job in jobs:
        job.result()
  assert 90 <= len(acknowledged) < 200
  cookies = [dict(v.cookies) for v in visitors]

  def kept(store):
    return query(
      store,
      "SELECT v.task, v.choice, t.flipped FROM votes v "
      "JOIN tasks t ON t.id = v.task",
    )

  def as_seen(choice, flipped):
    at = KEPT.index(choice)
    return CHOICES[4 - at if flipped and at < 5 else at]

  store = Store(path)
  found = {task: as_seen(c, flipped) for task, c, flipped in kept(store)}
  assert acknowledged.items() <= found.items()
  # Besides, only what was under way: one form of each rater.
  assert len(found) <= len(acknowledged) + 4
  before = len(found)
  store.close()

  # Another process goes on where it was, with the sessions there were.
  with process(root, path) as (child, port):
    for visitor in visitors:
      visitor.port = port
    with ThreadPoolExecutor(4) as pool:
      list(pool.map(lambda v: work(v, 10**6), visitors))
    assert [v.cookies for v in visitors] == cookies
    child.terminate()
    # As a shell says of one that SIGTERM has ended, after its requests.
    assert child.wait(30) in (0, -signal.SIGTERM)
  store = Store(path)
  assert before < len(kept(store)) == 200
  store.close()


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_when_told(sign, root, tmp_path):
  path = tmp_path / "s.db"
  study(path, rows(1)).close()
  with process(root, path) as (child, port):
    assert Visitor(port).get("/login").status == 200
    child.send_signal(sign)
    assert child.wait(30) in (0, -signal.SIGTERM)


def test_a_port_that_is_taken(tmp_path):
  store = study(tmp_path / "s.db", rows(1))
  with serving(store) as port, pytest.raises(ValueError) as error:
    serve.serve(store, port=port)
  assert f"127.0.0.1:{port}" in str(error.value)
  assert "--port" in str(error.value)
  for wrong in (65536, -1):
    with pytest.raises(ValueError, match="ports are 0 to 65535"):
      serve.serve(store, port=wrong)


@pytest.mark.parametrize(
  "host, names, https, said",
  [
    ("0.0.0.0", (), False, "plain"),
    ("::", (), False, "--behind-https"),
    ("192.168.0.7", ("x.org",), False, "ssh tunnel"),
    ("raters.lan", (), False, "plain"),
    ("127.0.0.1", (), True, "--name rate.example.org"),
    ("127.0.0.1", ("https://x.org",), True, "not the name of a host"),
    ("127.0.0.1", ("",), False, "not the name of a host"),
  ],
)
def test_addresses_that_give_tokens_away(host, names, https, said, tmp_path):
  store = study(tmp_path / "s.db", rows(1))
  with pytest.raises(ValueError, match=said) as error:
    serve.serve(store, host=host, port=0, names=names, https=https)
  assert len(str(error.value).splitlines()) <= 5


def test_addresses_that_do_not():
  for host in ("127.0.0.1", "127.9.9.9", "::1", "localhost"):
    serve.check_address(host, (), False)
  serve.check_address("0.0.0.0", ("x.org",), True)
  loopback = {"127.0.0.1:8", "localhost:8", "[::1]:8"}
  assert serve.hosts("127.0.0.1", 8, ()) == loopback
  assert serve.hosts("::1", 8, ("x.org",)) == loopback | {"x.org"}
  assert serve.hosts("0.0.0.0", 8, ("x.org:9",)) == {"x.org:9"}
  assert "localhost" in serve.hosts("127.0.0.1", 80, ())
