"""The server: one process, threads for the store."""

import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from ipaddress import ip_address

import uvicorn
from starlette.types import ASGIApp

from alignjax.feedback.store import Store
from alignjax.feedback.web.app import app
from alignjax.feedback.web.sessions import signing_key

OPEN = 200  # connections at a time
GRACE = 5  # seconds for requests that are under way when it ends


def serve(
  store: Store,
  *,
  host: str = "127.0.0.1",
  port: int = 8765,
  names: Sequence[str] = (),
  https: bool = False,
  ready: Callable[[str], None] | None = None,
) -> None:
  """Serves a study until SIGINT or SIGTERM.

  host, port: where it listens; port 0 is any free one. names: under which
  browsers reach it through a proxy, "rate.example.org", with the port where
  that is not the usual one. https: whether they do so by https, which the proxy
  ends: cookies are then sent by https alone, and a proxy on this machine is
  believed whom it speaks for (X-Forwarded-For). ready: called with the address
  once it listens.

  Raises ValueError where others could listen to the tokens, or where the port
  is taken.
  """
  check_address(host, names, https)
  listening = _listen(host, port)
  port = listening.getsockname()[1]
  pages = app(
    store,
    signing_key(store.path),
    hosts=hosts(host, port, names),
    https=https,
  )
  # SIGINT is how it is ended, and no error.
  with listening, suppress(KeyboardInterrupt):
    if ready:
      ready(f"https://{names[0]}" if https else f"http://{_shown(host)}:{port}")
    uvicorn.Server(settings(pages, https=https)).run(sockets=[listening])


def settings(pages: ASGIApp, *, https: bool) -> uvicorn.Config:
  """How the server runs: plain parts, and no word about itself."""
  return uvicorn.Config(
    pages,
    loop="asyncio",
    http="h11",
    ws="none",
    lifespan="off",
    access_log=False,
    log_level="warning",
    server_header=False,
    proxy_headers=https,
    forwarded_allow_ips="127.0.0.1,::1",
    limit_concurrency=OPEN,
    timeout_graceful_shutdown=GRACE,
  )


def check_address(host: str, names: Sequence[str], https: bool) -> None:
  """Raises ValueError for an address that would give tokens away."""
  if not https and not is_loopback(host):
    raise ValueError(
      f"--host {host} is open to other machines, and tokens would travel in "
      "plain text.\n"
      "Keep 127.0.0.1 and let a proxy or an ssh tunnel lead to it, or say that "
      "a proxy ends TLS:\n--behind-https --name rate.example.org"
    )
  if https and not names:
    raise ValueError(
      "--behind-https needs the name that browsers use: "
      "--name rate.example.org\nrequests for any other are refused"
    )
  for name in names:
    if not name or any(c in name for c in "/@ ") or not name.isascii():
      raise ValueError(
        f"--name {name[:60]!r} is not the name of a host; legal: "
        "rate.example.org, rate.example.org:8443"
      )


def is_loopback(host: str) -> bool:
  """Whether only this machine reaches an address."""
  if host == "localhost":
    return True
  try:
    return ip_address(host).is_loopback
  except ValueError:
    return False


def hosts(host: str, port: int, names: Sequence[str]) -> set[str]:
  """What the Host header may say."""
  found = set(names)
  if is_loopback(host):
    mine = {"127.0.0.1", "localhost", "[::1]", _shown(host)}
    found |= {f"{name}:{port}" for name in mine}
    found |= mine if port == 80 else set()
  return found


def _shown(host: str) -> str:
  """As it stands in addresses."""
  return f"[{host}]" if ":" in host else host


def _listen(host: str, port: int) -> socket.socket:
  family = socket.AF_INET6 if ":" in host else socket.AF_INET
  made = socket.socket(family, socket.SOCK_STREAM)
  try:
    if sys.platform != "win32":
      made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind((host, port))
    # Now, so that whoever `ready` tells can connect.
    made.listen(128)
  except (OSError, OverflowError) as error:
    made.close()
    reason = getattr(error, "strerror", None) or "ports are 0 to 65535"
    raise ValueError(
      f"cannot listen on {host}:{port}: {reason}\n"
      "another server may be there; --port takes another one, 0 any free one"
    ) from None
  return made
