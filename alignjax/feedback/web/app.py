"""The application: its addresses, behind the guard."""

import hashlib
from collections.abc import Collection
from importlib import resources

from jinja2 import DictLoader, Environment, StrictUndefined
from starlette.applications import Starlette
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from alignjax.feedback.store import Store
from alignjax.feedback.web.admin import Admin
from alignjax.feedback.web.limits import Limit
from alignjax.feedback.web.pages import Pages
from alignjax.feedback.web.security import Guard
from alignjax.feedback.web.sessions import Sessions

TYPES = {
  "css": "text/css; charset=utf-8",
  "js": "text/javascript; charset=utf-8",
  "svg": "image/svg+xml",
}


def app(
  store: Store,
  key: bytes,
  *,
  hosts: Collection[str],
  https: bool = False,
  requests: Limit | None = None,
  logins: Limit | None = None,
) -> ASGIApp:
  """The pages of a study, for any ASGI server.

  key: signs cookies. hosts: what browsers may send as Host, with the port.
  https: whether they come by it. requests, logins: limits of all requests, by
  rater or address, and of logins that fail, by address.
  """
  sessions = Sessions(key, https=https)
  static = _read("static")
  pages = Pages(store, sessions, logins or Limit(20, 0.1), _templates(static))
  admin = Admin(pages)

  async def file(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in static:  # what was read at the start; no other file is
      return await missing(request, None)
    kept = {"Cache-Control": "max-age=86400"}  # the address has its version
    kind = TYPES[name.rsplit(".", 1)[1]]
    return Response(static[name], headers=kept, media_type=kind)

  async def missing(request: Request, error) -> Response:
    return pages.message("Not found", "There is no such page here.", 404)

  async def wrong(request: Request, error) -> Response:
    return pages.message("Not done", "Go back and try once more.", 405)

  async def broken(request: Request, error) -> Response:
    return pages.message(
      "Something went wrong",
      "What you sent may not be kept. Go back, reload, and look.\n"
      "If it stays so, tell those who run the study.",
      500,
    )

  page = pages.page
  inner = Starlette(
    routes=[
      Route("/", page(pages.home, ""), methods=["GET"]),
      Route("/login", pages.login_form, methods=["GET"]),
      Route("/login", pages.login, methods=["POST"]),
      Route("/logout", page(pages.logout, ""), methods=["POST"]),
      Route("/task/{task}", page(pages.task), methods=["GET"]),
      Route("/task/{task}", page(pages.vote), methods=["POST"]),
      Route("/task/{task}/skip", page(pages.skip), methods=["POST"]),
      Route("/undo", page(pages.undo), methods=["POST"]),
      Route("/admin", page(admin.show, "admin"), methods=["GET"]),
      Route("/static/{name}", file, methods=["GET"]),
    ],
    exception_handlers={404: missing, 405: wrong, Exception: broken},
  )

  def who(connection: HTTPConnection) -> str | None:
    session = sessions.read(connection.cookies)
    return f"rater {session.rater}" if session else None

  return Guard(
    inner,
    hosts=hosts,
    https=https,
    limit=requests or Limit(240, 5.0),
    who=who,
  )


def _read(folder: str) -> dict[str, bytes]:
  """All files of a folder beside this one, by name."""
  place = resources.files(__package__) / folder
  return {file.name: file.read_bytes() for file in place.iterdir()}


def _templates(static: dict[str, bytes]) -> Environment:
  made = Environment(
    loader=DictLoader({k: v.decode() for k, v in _read("templates").items()}),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
  )
  made.globals["static"] = lambda name: (
    f"/static/{name}?v={hashlib.sha256(static[name]).hexdigest()[:8]}"
  )
  return made
