"""A study and its pages on a free port of this machine, and who visits them.

Requests go over the wire with `http.client`, which sends what it is told to,
as a browser would not.
"""

import re
import socket
import threading
import time
from contextlib import contextmanager
from html.parser import HTMLParser
from http.client import HTTPConnection, HTTPResponse
from typing import NamedTuple
from urllib.parse import urlencode

import uvicorn
from feedback_studies import SETTINGS, read

from alignjax.feedback.store import create
from alignjax.feedback.web.app import app
from alignjax.feedback.web.limits import Limit
from alignjax.feedback.web.serve import settings

KEY = b"0123456789abcdef" * 4
FORM = "application/x-www-form-urlencoded"
# Each would run or fetch something, were it more than text.
PAYLOADS = (
  "<script>alert(1)</script>",
  '"><script>alert(2)</script>',
  "'><img src=x onerror=alert(3)>",
  "</textarea><script>alert(4)</script>",
  "<svg/onload=alert(5)>",
  "javascript:alert(6)",
  "{{ 7*7 }}{% raw %}<b>7</b>",
  "<iframe srcdoc='<script>parent.alert(8)</script>'></iframe>",
  "</title></script><script src=//evil.example/9></script>",
  "<a href=javascript:alert(10) autofocus onfocus=alert(10)>x</a>",
  "<math><mtext><style><img src onerror=alert(11)></style>",
  '<base href="//evil.example/"><meta http-equiv=refresh content="0;url=/12">',
)


def study(path, given, **others):
  """A new study of rows of pairs, by the clock on the wall."""
  return create(path, read(given), SETTINGS._replace(**others))


class Reply(NamedTuple):
  """status, headers (lower case; the last of several), body and cookies."""

  status: int
  headers: dict[str, str]
  text: str
  cookies: list[str]

  @property
  def place(self) -> str:
    return self.headers.get("location", "")


class Visitor:
  """A browser of one person: keeps cookies and reads forms."""

  def __init__(self, port: int):
    self.port, self.cookies = port, {}

  @property
  def host(self) -> str:
    return f"127.0.0.1:{self.port}"

  def ask(self, method: str, path: str, body=None, **headers) -> Reply:
    """One request; a header that is None is not sent."""
    wire = HTTPConnection("127.0.0.1", self.port, timeout=30)
    told = {"Host": self.host, "Connection": "close"}
    if self.cookies:
      told["Cookie"] = "; ".join(f"{k}={v}" for k, v in self.cookies.items())
    if method == "POST":
      told |= {"Origin": f"http://{self.host}", "Content-Type": FORM}
    told |= {k.replace("_", "-"): v for k, v in headers.items()}
    try:
      wire.request(
        method,
        path,
        body,
        {k: v for k, v in told.items() if v is not None},
      )
      return self._read(wire.getresponse())
    finally:
      wire.close()

  def _read(self, response: HTTPResponse) -> Reply:
    headers = response.getheaders()
    cookies = [v for k, v in headers if k.lower() == "set-cookie"]
    for cookie in cookies:
      name, value = cookie.split(";")[0].split("=", 1)
      self.cookies[name] = value
      if "max-age=0" in cookie.lower():
        del self.cookies[name]
    return Reply(
      response.status,
      {k.lower(): v for k, v in headers},
      response.read().decode("utf-8"),
      cookies,
    )

  def get(self, path: str) -> Reply:
    """The page at the end of all redirects."""
    for _ in range(5):
      reply = self.ask("GET", path)
      if reply.status != 303:
        return reply
      path = reply.place
    raise AssertionError(f"redirects without end, at last to {path}")

  def post(self, path: str, **fields) -> Reply:
    """Sends a form; fields may be lists."""
    return self.ask("POST", path, urlencode(fields, doseq=True))

  def login(self, token: str) -> Reply:
    form = token_of(self.get("/login"))
    return self.post("/login", form=form, token=token)

  def vote(self, choice: str, **fields) -> Reply:
    """On the pair that is next."""
    page = self.get("/")
    return self.post(action(page), form=token_of(page), choice=choice, **fields)


def token_of(page: Reply) -> str:
  """The token that the forms of a page carry."""
  found = re.search('name="form" value="([^"]+)"', page.text)
  assert found, page.text
  return found[1]


def action(page: Reply) -> str:
  """Where the vote of a page goes."""
  found = re.search('action="(/task/[0-9]+)"', page.text)
  assert found, page.text
  return found[1]


class Seen(HTMLParser):
  """What a browser makes of a page: tags with attributes, and texts."""

  def __init__(self, page: str):
    super().__init__()
    self.tags, self.texts = [], []
    self.feed(page)
    self.close()

  def handle_starttag(self, tag, attributes):
    self.tags.append((tag, dict(attributes)))

  def handle_data(self, data):
    self.texts.append(data)


@contextmanager
def serving(store, *, https=False, hosts=(), requests=None, logins=None):
  """The port on which the pages of a store are served, in a thread."""
  with socket.create_server(("127.0.0.1", 0)) as listening:
    port = listening.getsockname()[1]
    pages = app(
      store,
      KEY,
      hosts={f"127.0.0.1:{port}", f"localhost:{port}", *hosts},
      https=https,
      requests=requests or Limit(100_000, 1000.0),
      logins=logins,
    )
    server = uvicorn.Server(settings(pages, https=https))
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    try:
      while not server.started:
        assert thread.is_alive(), "the server does not start"
        time.sleep(0.005)
      yield port
    finally:
      server.should_exit = True
      thread.join(30)
