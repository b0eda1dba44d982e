"""What every request passes before a page sees it, and every response after.

Host: a page elsewhere whose name is made to lead to this machine (DNS
rebinding) has a Host of its own. Origin: a form elsewhere that posts here
says where it is. Both are refused whatever cookies come along.
"""

import asyncio
from collections.abc import Callable, Collection

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from alignjax.feedback.web.limits import Limit

BODY = 64 * 1024  # bytes of a request
PATIENCE = 10.0  # seconds for a body to arrive

# Nothing inline, nothing from elsewhere, in no frame.
POLICY = "; ".join(
  (
    "default-src 'self'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self'",
    "object-src 'none'",
    "form-action 'self'",
    "frame-ancestors 'none'",
    "base-uri 'none'",
    "require-trusted-types-for 'script'",
  )
)
HEADERS = {
  "Content-Security-Policy": POLICY,
  "X-Content-Type-Options": "nosniff",
  "X-Frame-Options": "DENY",
  # Not no-referrer: that makes browsers send `Origin: null` with our forms.
  "Referrer-Policy": "same-origin",
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Resource-Policy": "same-origin",
}


class Guard:
  """ASGI middleware; the application behind it sees checked requests only.

  hosts: values of the Host header that are ours. https: how browsers reach
  them. limit: of requests, by who asks: `who` gives a name for one who is
  logged in, else it is the address. patience: seconds for a body to arrive.
  """

  def __init__(
    self,
    app: ASGIApp,
    *,
    hosts: Collection[str],
    https: bool,
    limit: Limit,
    who: Callable[[HTTPConnection], str | None],
    patience: float = PATIENCE,
  ):
    self.app, self.limit, self.who, self.patience = app, limit, who, patience
    self.hosts = {host.lower() for host in hosts}
    scheme = "https" if https else "http"
    self.origins = {f"{scheme}://{host}" for host in self.hosts}

  async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
      await self.app(scope, receive, send)
      return
    if scope["type"] != "http":  # there are no web sockets here
      await send({"type": "websocket.close", "code": 1008})
      return

    async def out(message: Message) -> None:
      if message["type"] == "http.response.start":
        headers = MutableHeaders(scope=message)
        for name, value in HEADERS.items():
          headers[name] = value
        headers.setdefault("Cache-Control", "no-store")
      await send(message)

    refusal = self._refusal(scope)
    if refusal is None:
      try:
        body = await asyncio.wait_for(_body(scope, receive), self.patience)
      except TimeoutError:
        body = _refuse(408, "It came too slowly. Send it again.")
      if isinstance(body, Response):
        refusal = body
      else:
        receive = _replay(body, receive)
    await (refusal or self.app)(scope, receive, out)

  def _refusal(self, scope: Scope) -> Response | None:
    """Why a request goes no further; None where it may."""
    headers = Headers(scope=scope)
    found = [host.lower() for host in headers.getlist("host")]
    if len(found) != 1 or found[0] not in self.hosts:
      return _refuse(
        421,
        "This is not the address of the page. Open the one that the server "
        "prints; other names are given to it at its start.",
      )
    asks = self.who(HTTPConnection(scope))
    if asks is None:
      asks = f"address {(scope.get('client') or ('?',))[0]}"
    if wait := self.limit.take(asks):
      return too_many(wait)
    if scope["method"] in ("GET", "HEAD"):
      return None
    if scope["method"] != "POST":
      return _refuse(405, "Pages are read and forms are sent here, no more.")
    origin = headers.get("origin")
    ours = (
      headers.get("sec-fetch-site") == "same-origin"
      if origin is None
      else origin.lower() in self.origins
    )
    # A browser sends both; where they disagree, one is not the browser's.
    if (
      not ours or headers.get("sec-fetch-site", "same-origin") != "same-origin"
    ):
      return _refuse(403, "This form was not sent from a page of this server.")
    kind = headers.get("content-type", "").split(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
      return _refuse(
        415, "Forms are sent as application/x-www-form-urlencoded."
      )
    return None


def too_many(seconds: float) -> Response:
  """The answer to one who asks too often."""
  wait = max(1, round(seconds + 0.5))
  return _refuse(
    429,
    f"Too many requests. Wait {wait} s, then load the page again.",
    {"Retry-After": str(wait)},
  )


def _refuse(status: int, text: str, headers: dict | None = None) -> Response:
  return PlainTextResponse(f"{text}\n", status, headers)


async def _body(scope: Scope, receive: Receive) -> bytes | Response:
  """All of the body, counted as it comes, or why there is none."""
  large = _refuse(
    413, f"This has more than {BODY:,} bytes. Shorten the comment."
  )
  said = Headers(scope=scope).get("content-length", "0")
  if not (len(said) < 20 and said.isdecimal() and int(said) <= BODY):
    return large
  body = b""
  while True:
    message = await receive()
    if message["type"] != "http.request":  # the client left: half a form
      return _refuse(400, "It did not arrive whole. Send it again.")
    body += message.get("body", b"")
    if len(body) > BODY:
      return large
    if not message.get("more_body"):
      return body


def _replay(body: bytes, receive: Receive) -> Receive:
  """Gives the body that was read, then what comes after it."""
  first: list[Message] = [
    {"type": "http.request", "body": body, "more_body": False}
  ]

  async def again() -> Message:
    return first.pop() if first else await receive()

  return again
