"""Chat completions by HTTP: retried where that helps, refused in plain words.

The standard library alone. The key goes to one host, in one header: redirects
are not followed, and what a server says is shown without it.
"""

import json
import os
import re
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from http.client import HTTPException
from typing import NamedTuple
from urllib import request
from urllib.error import HTTPError
from urllib.parse import urlsplit

FIRST_PAUSE = 1.0  # seconds, doubled by each retry
PATIENCE = 180.0  # seconds that one request spends in pauses, at most
LARGEST = 4_000_000  # bytes of a reply
SHOWN = 200  # characters of what a server says
# They do not go away by waiting.
LASTING = (ConnectionRefusedError, socket.gaierror, ssl.SSLError)
NOT_JSON = (ValueError, LookupError, TypeError, RecursionError)


class Said(NamedTuple):
  """A chat completion.

  cut: whether it ended at a limit of tokens, or by a filter of contents. asked,
  answered: tokens, as the server counts them; 0 where it does not say.
  """

  text: str
  cut: bool
  asked: int
  answered: int


class Refused(ConnectionError):
  """The server does not take this one request, and never will."""


def api_key(name: str | None) -> str | None:
  """The key that an environment variable holds; None for no name, or "".

  Raises ValueError, without the key, where there is none or it cannot stand in
  a header.
  """
  if not name:
    return None
  # Not shown: it may be the key itself.
  if not re.fullmatch(r"[A-Z_][A-Z0-9_]*", name):
    raise ValueError(
      "api_key_env is not the name of an environment variable in capitals.\n"
      "Give the name, never the key: api_key_env='JUDGE_API_KEY'."
    )
  key = os.environ.get(name, "").strip()
  if not re.fullmatch(r"[!-~]+", key):
    wrong = "holds characters that no key has" if key else "is not set"
    raise ValueError(
      f"The environment variable {name} {wrong}.\n"
      "It must hold the key of the endpoint; without api_key_env none is sent."
    )
  return key


def check_url(url: str) -> None:
  """Raises ValueError for any other than http(s)://HOST[:PORT][/PATH]."""
  try:
    parts = urlsplit(url)
    _ = parts.port
    good = parts.scheme in ("http", "https") and parts.hostname
  except ValueError:
    good = False
  if not good or not re.fullmatch(r"[!-~]+", url):
    raise ValueError(
      f"url = {url.split('?')[0].split('@')[-1]!r} is not one of a server.\n"
      "Legal: http://HOST:PORT/v1 and https://HOST/v1."
    )
  if "@" in parts.netloc or "?" in url or "#" in url:
    raise ValueError(
      f"url at {parts.hostname} has a user, a query or a fragment.\n"
      "Secrets have no place in it; name a variable with api_key_env."
    )


class Connection:
  """Asks one server; threads may share it.

  url: what stands before /chat/completions. key: sent as a bearer token, or
  None. timeout: seconds of one try. retries: further tries of what failed for
  a while; pauses grow from `FIRST_PAUSE`, are at least what Retry-After says
  and sum to `PATIENCE` at most. per_minute: tries that begin in a minute, at
  most; 0 for as many as there are.

  Raises ValueError for a url that cannot be.
  """

  def __init__(
    self,
    url: str,
    *,
    key: str | None,
    timeout: float | int,
    retries: int,
    per_minute: int = 0,
  ):
    check_url(url)
    self._pause = 60.0 / per_minute if per_minute else 0.0
    self._next, self._lock = 0.0, threading.Lock()
    self.url, self.timeout, self.retries = url.rstrip("/"), timeout, retries
    handlers: list[request.BaseHandler] = [_Stay()]
    host = urlsplit(url).hostname or ""
    if host in ("localhost", "::1") or host.startswith("127."):
      handlers.append(request.ProxyHandler({}))  # none leads to this machine
    self._opener = request.build_opener(*handlers)
    self._key = key
    self._headers = {
      "Content-Type": "application/json",
      "User-Agent": "alignjax",
    }
    if key:
      self._headers["Authorization"] = f"Bearer {key}"

  def post(self, body: dict, stop: threading.Event) -> Said:
    """A chat completion.

    stop: an event after which nothing is tried again.

    Raises ConnectionError for what the server refuses or does not manage; where
    it is this request that it refuses, the error is `Refused`.
    """
    data = json.dumps(body).encode("ascii")
    pause, waited = FIRST_PAUSE, 0.0
    for tries in range(1, self.retries + 2):
      asked = 0.0
      self._wait(stop)
      try:
        raw = self._fetch("/chat/completions", data)
      except HTTPError as error:
        trouble = f"HTTP {error.code}: {self._shown(_said(error))}"
        if error.code not in (408, 429) and error.code < 500:
          raise self._refusal(error.code, trouble, body) from None
        asked = _retry_after(error.headers.get("Retry-After", "").strip())
      except (OSError, HTTPException) as error:
        reason = getattr(error, "reason", error)
        if isinstance(reason, LASTING):
          raise self._error(
            self._shown(f"{reason}"),
            "No server answers there; start it, or mend the url.",
          ) from None
        timed_out = isinstance(reason, TimeoutError)
        trouble = f"no reply within {self.timeout} s" if timed_out else ""
        trouble = trouble or self._shown(f"{reason}") or type(reason).__name__
      else:
        return self._said(raw)
      rest = max(pause, asked)
      last = tries > self.retries or waited + rest > PATIENCE
      if last or _stopped(rest, stop):
        wish = f"; it asks for a pause of {asked:.0f} s" if asked else ""
        raise self._error(
          trouble,
          f"Tried {tries} times{wish}.\nRun again later, with fewer workers or "
          "a longer timeout; a cache keeps what was judged.",
        )
      waited, pause = waited + rest, 2 * pause
    raise AssertionError("the last try returns or raises")

  def _fetch(self, path: str, data: bytes | None = None) -> bytes:
    end = time.monotonic() + self.timeout
    sent = request.Request(self.url + path, data, self._headers)
    with self._opener.open(sent, timeout=self.timeout) as response:
      return _body(response, end)

  def _wait(self, stop: threading.Event) -> None:
    """Until this try may begin: threads take their turns `_pause` apart."""
    if self._pause:
      with self._lock:
        now = time.monotonic()
        turn = max(now, self._next)
        self._next = turn + self._pause
      if _stopped(turn - now, stop):
        raise self._error("not asked", "Another request failed before.")

  def _said(self, raw: bytes) -> Said:
    try:
      reply = json.loads(raw)
      choice = reply["choices"][0]
      text = choice["message"]["content"]
      if not isinstance(text, str | None):
        raise TypeError
      usage = reply.get("usage") or {}
      counts = [usage.get(f"{k}_tokens") or 0 for k in ("prompt", "completion")]
      cut = choice.get("finish_reason") in ("length", "content_filter")
      return Said(text or "", cut, *map(int, counts))
    except (*NOT_JSON, AttributeError):
      said = self._shown(raw.decode("utf-8", "replace")) or "nothing"
      raise Refused(
        f"{self.url}: the reply is not a chat completion: {said}\n"
        "It must be JSON with choices[0].message.content; url is what stands "
        "before /chat/completions, mostly …/v1."
      ) from None

  def _shown(self, text: str) -> str:
    """On one line, without the key and what moves a cursor."""
    text = text.replace(self._key, "***") if self._key else text
    text = "".join(c for c in " ".join(text.split()) if c.isprintable())
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"

  def _error(self, trouble: str, remedy: str) -> ConnectionError:
    return ConnectionError(f"{self.url}: {trouble}\n{remedy}")

  def _refusal(self, code: int, trouble: str, body: Mapping) -> ConnectionError:
    """What to do about a status that does not go away."""
    if code in (401, 403):
      remedy = (
        "The key is not accepted; mend the variable of api_key_env."
        if self._key
        else "Without a key; name the variable that holds one by api_key_env."
      )
    elif code == 404:
      remedy = (
        f"No model {body['model']!r} there, or url is not what stands before "
        f"/chat/completions, mostly …/v1.\nModels there: {self._models()}."
      )
    elif 300 <= code < 400:
      remedy = "Redirects are not followed; give the url that it leads to."
    else:
      size = sum(len(m["content"]) for m in body["messages"])
      return Refused(
        f"{self.url}: {trouble}\nThe request has {size} characters. Leave the "
        "prompt out where that is too long, or give the server more room."
      )
    return self._error(trouble, remedy)

  def _models(self) -> str:
    """Names of the models that the server lists."""
    try:
      found = json.loads(self._fetch("/models"))["data"]
      return self._shown(", ".join(str(m["id"]) for m in found)) or "none"
    except (OSError, HTTPException, *NOT_JSON):
      return "it does not say"


class _Stay(request.HTTPRedirectHandler):
  """Follows no redirect: the header with the key would go along."""

  def redirect_request(self, *args):
    return None


def _stopped(seconds: float, stop: threading.Event) -> bool:
  """Sleeps; whether it was woken to stop."""
  return stop.wait(seconds)


def _body(response, end: float) -> bytes:
  """All of a reply, which may not drip on past `end`."""
  whole = response.length  # None where it comes in chunks
  parts, size = [], 0
  while size != whole and (part := response.read1(65536)):
    parts.append(part)
    size += len(part)
    if size > LARGEST:
      raise OSError(f"a reply of more than {LARGEST:,} bytes")
    if time.monotonic() > end:
      raise TimeoutError
  if whole and size < whole:
    raise OSError(f"the reply ends after {size:,} of {whole:,} bytes")
  return b"".join(parts)


def _said(error: HTTPError) -> str:
  """The message in the body of an error, or the body."""
  try:
    with error:
      raw = error.read(LARGEST).decode("utf-8", "replace")
  except (OSError, HTTPException):
    return error.reason
  try:
    said = json.loads(raw)["error"]
    message, code = str(said["message"]), said.get("code")  # no dict: TypeError
    return f"{code}: {message}" if isinstance(code, str) else message
  except NOT_JSON:
    return raw or error.reason


def _retry_after(value: str) -> float:
  """Seconds that Retry-After asks for, in either form (RFC 9110, 10.2.3)."""
  if re.fullmatch(r"[0-9]+(\.[0-9]+)?", value):
    return float(value)
  try:
    return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
  except (ValueError, TypeError, OverflowError):
    return 0.0
