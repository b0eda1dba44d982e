"""A local server that answers chat completions as a test tells it to.

On 127.0.0.1 and a free port, in threads of its own that end with the `with`.
It keeps what it was asked and counts how many requests were open at a time.
"""

import json
import re
import threading
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

MODEL = "stand-in"
MOST_BYTES = 1_000_000  # of a request
MOST_REQUESTS = 1000
LONGEST_HOLD = 10.0  # seconds
_FENCED = re.compile(
  r"^--- begin ([0-9a-f]{16}) ---\n(.*?)\n--- end \1 ---$", re.M | re.S
)


class Asked(NamedTuple):
  """A request: its number from 0, its path, headers and JSON body."""

  number: int
  path: str
  headers: Mapping[str, str]
  body: Mapping

  @property
  def text(self) -> str:
    return self.body["messages"][-1]["content"]

  @property
  def texts(self) -> list[str]:
    """Prompt, first and second answer, out of their fences."""
    return [text for _, text in _FENCED.findall(self.text)]


class Reply(NamedTuple):
  """What it answers: the text of a completion, or `raw` as it is.

  hold: seconds before it answers.
  """

  content: str | None = "[[tie]]"
  finish: str = "stop"
  status: int = 200
  headers: Mapping[str, str] = {}
  raw: bytes | None = None
  hold: float = 0.0


class Server(NamedTuple):
  """url: for `endpoint`. asked: all requests so far. most: open at a time."""

  url: str
  asked: list[Asked]
  open: list[int]

  @property
  def most(self) -> int:
    return max(self.open, default=0)


def longer(asked: Asked) -> Reply:
  """A judge that likes the longer answer."""
  _, first, second = asked.texts
  if len(first) == len(second):
    return Reply("[[tie]]")
  return Reply("[[1]]" if len(first) > len(second) else "[[2]]")


def failure(status: int, message: str, **headers: str) -> Reply:
  """An error in the form of the OpenAI API."""
  raw = json.dumps({"error": {"message": message}}).encode()
  names = {k.replace("_", "-"): v for k, v in headers.items()}
  return Reply(status=status, raw=raw, headers=names)


def _completion(reply: Reply) -> bytes:
  message = {"role": "assistant", "content": reply.content}
  choice = {"index": 0, "message": message, "finish_reason": reply.finish}
  return json.dumps({"object": "chat.completion", "choices": [choice]}).encode()


@contextmanager
def serving(answer: Callable[[Asked], Reply], key: str | None = None):
  """A Server that answers by a function; `key` is the one it lets in.

  GET /v1/models lists `MODEL`; that is not among the requests kept.
  """
  lock, over = threading.Lock(), threading.Event()
  asked: list[Asked] = []
  at_a_time: list[int] = []
  state = {"open": 0}

  class Handler(BaseHTTPRequestHandler):
    timeout = LONGEST_HOLD  # of a socket

    def log_message(self, *args):
      pass

    def send(self, reply: Reply):
      raw = _completion(reply) if reply.raw is None else reply.raw
      try:
        self.send_response(reply.status)
        headers = {"Content-Length": str(len(raw)), **reply.headers}
        for name, value in headers.items():
          self.send_header(name, value)
        self.end_headers()
        self.wfile.write(raw)
      except OSError:
        pass  # the client left

    def do_GET(self):
      listed = json.dumps({"data": [{"id": MODEL}]}).encode()
      self.send(Reply(raw=listed))

    def do_POST(self):
      size = int(self.headers["Content-Length"])
      if size > MOST_BYTES or len(asked) >= MOST_REQUESTS:
        self.send(failure(507, "the stand-in is full"))
        return
      body = json.loads(self.rfile.read(size))
      with lock:
        state["open"] += 1
        at_a_time.append(state["open"])
        one = Asked(len(asked), self.path, dict(self.headers), body)
        asked.append(one)
      try:
        reply = self.reply(one)
        over.wait(min(reply.hold, LONGEST_HOLD))
      finally:
        with lock:  # before the client knows, who then may ask again
          state["open"] -= 1
      self.send(reply)

    def reply(self, one: Asked) -> Reply:
      given = one.headers.get("Authorization")
      if key is not None and given != f"Bearer {key}":
        return failure(401, f"no such key: {given}")
      if one.path != "/v1/chat/completions":
        return failure(404, f"no path {one.path}")
      return answer(one)

  server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
  thread = threading.Thread(target=server.serve_forever, args=(0.02,))
  thread.start()
  try:
    yield Server(f"http://127.0.0.1:{server.server_port}/v1", asked, at_a_time)
  finally:
    over.set()
    server.shutdown()
    server.server_close()
    thread.join()
