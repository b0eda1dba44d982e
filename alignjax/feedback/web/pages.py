"""What raters see: the login, a pair, and what becomes of a vote."""

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple
from urllib.parse import parse_qsl

from jinja2 import Environment
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from alignjax.feedback import assign, votes
from alignjax.feedback.choices import CHOICES, COMMENT, LABELS, REASONS, Vote
from alignjax.feedback.store import Rater, Store
from alignjax.feedback.web import sessions
from alignjax.feedback.web.limits import Limit
from alignjax.feedback.web.security import too_many
from alignjax.feedback.web.sessions import Session, Sessions

FIELDS = 40  # of a form, at most

# What `?said=` may have a page say, and nothing else.
SAID = {
  "saved": "Saved.",
  "same": "Saved before; nothing has changed.",
  "changed": "Changed: the earlier vote is replaced.",
  "skipped": "Skipped.",
  "undone": "Taken back: this pair has no vote now.",
  "nothing": "Nothing is taken back: that one was not, or no more, your last.",
  "gone": "That pair is not yours now; this one is.",
}


class Asked(NamedTuple):
  """A checked request. form: name → values; empty where it is no form."""

  request: Request
  rater: Rater
  session: Session
  form: Mapping[str, list[str]]

  def field(self, name: str) -> str:
    """The one value of a field, "" where it was not sent."""
    return self.form.get(name, [""])[-1]


class Pages:
  """Answers requests from the store; `page` makes endpoints of its methods.

  logins: of tokens that are nobody's, by address.
  """

  def __init__(
    self,
    store: Store,
    sessions: Sessions,
    logins: Limit,
    templates: Environment,
  ):
    self.store, self.sessions, self.logins = store, sessions, logins
    self.templates = templates

  # Endpoints run in threads: the store waits for the disk.

  def page(self, work: Callable[[Asked], Response], role: str = "rater"):
    """An endpoint for those of a role; its POST must carry their form token."""

    async def endpoint(request: Request) -> Response:
      body = await request.body()
      return await run_in_threadpool(self._answer, work, role, request, body)

    return endpoint

  def _answer(self, work, role: str, request: Request, body: bytes) -> Response:
    session = self.sessions.read(request.cookies)
    rater = self.store.rater(session.rater) if session else None
    posted = request.method == "POST"
    if rater is None or rater.key != session.key:
      if not posted:
        return see("/login")
      return self.message(
        "Not logged in",
        "What you sent was not kept: the session is over.\n"
        "Log in again; the pair is still there.",
        403,
      )
    form = read_form(body) if posted else {}
    if form is None:
      return self.message("Not a form", "Go back and send it again.", 400)
    asked = Asked(request, rater, session, form)
    if posted and not self.sessions.matches(session, asked.field("form")):
      return self.message(
        "An old form",
        "What you sent was not kept: the form is of another session.\n"
        "Go on, and say it again.",
        403,
      )
    if role not in ("", rater.role):
      return self.message("Not for you", f"This is for the {role}s.", 403)
    try:
      return work(asked)
    except ValueError as error:  # the store's, in words for people
      return self.message("Not kept", str(error), 409)

  def render(
    self, name: str, asked: Asked | None, status: int = 200, **values
  ) -> Response:
    """A template as a response."""
    known = {"rater": None, "form": ""}
    if asked:
      form = self.sessions.token(asked.session)
      known = {"rater": asked.rater, "form": form}
    page = self.templates.get_template(name).render(**known | values)
    return HTMLResponse(page, status)

  def message(self, title: str, text: str, status: int) -> Response:
    """A page that says one thing, and has a way on."""
    return self.render("message.html", None, status, title=title, text=text)

  async def login_form(self, request: Request) -> Response:
    """The page that asks for a token."""
    return self._login(request, "", 200)

  async def login(self, request: Request) -> Response:
    """A session for who sends a token that is somebody's, or the page again."""
    body = await request.body()
    return await run_in_threadpool(self._log_in, request, body)

  def _log_in(self, request: Request, body: bytes) -> Response:
    form = read_form(body) or {}
    visit = self.sessions.visitor(request.cookies)
    token = form.get("form", [""])[-1]
    if visit is None or not self.sessions.matches(visit, token):
      return self._login(request, "The form was old. Try once more.", 403)
    address = request.client.host if request.client else "?"
    if wait := self.logins.take(address):
      return too_many(wait)
    rater = self.store.rater_of(form.get("token", [""])[-1].strip())
    if rater is None:
      return self._login(request, "That is nobody's token here.", 403)
    self.logins.give(address)
    response = see("/")
    self.sessions.begin(response, rater)
    return response

  def _login(self, request: Request, trouble: str, status: int) -> Response:
    visit = self.sessions.visitor(request.cookies) or sessions.new()
    form = self.sessions.token(visit)
    response = self.render(
      "login.html", None, status, form=form, trouble=trouble
    )
    self.sessions.visit_begins(response, visit)
    return response

  def logout(self, asked: Asked) -> Response:
    """Ends the session."""
    response = see("/login")
    self.sessions.end(response, asked.session)
    return response

  def home(self, asked: Asked) -> Response:
    """To the pair that is next; a page of thanks where there is none."""
    if asked.rater.role == "admin":
      return see("/admin")
    said = asked.request.query_params.get("said", "")
    shown = assign.next_task(self.store, asked.rater)
    if shown:
      return see(f"/task/{shown.task}", said)
    progress = assign.progress(self.store, asked.rater)
    return self.render(
      "done.html",
      asked,
      progress=progress,
      last=votes.last(self.store, asked.rater),
      said=SAID.get(said, ""),
    )

  def task(self, asked: Asked) -> Response:
    """A pair. One that was voted on can be looked at again, and changed."""
    number = _number(asked.request.path_params["task"])
    shown = number and assign.shown(self.store, asked.rater, number)
    if not shown:
      return see("/", "gone")
    said = asked.request.query_params.get("said", "")
    return self.render(
      "rate.html",
      asked,
      shown=shown,
      vote=shown.vote or Vote(""),
      progress=assign.progress(self.store, asked.rater),
      last=votes.last(self.store, asked.rater),
      said=SAID.get(said, ""),
      choices=CHOICES,
      labels=LABELS,
      reasons=REASONS,
      longest=COMMENT,
    )

  def vote(self, asked: Asked) -> Response:
    """Keeps a vote; leads to the next pair. ValueError without a choice."""
    number = _number(asked.request.path_params["task"])
    if not number:
      return see("/", "gone")
    if not asked.field("choice"):
      raise ValueError("No choice was made.\nGo on, and choose first.")
    marks = [tuple(x.split(" ", 1)) for x in asked.form.get("label", [])]
    vote = Vote(
      asked.field("choice"),
      tuple(mark if len(mark) == 2 else (mark[0], "") for mark in marks),
      asked.field("comment"),
    )
    return see("/", votes.vote(self.store, asked.rater, number, vote))

  def skip(self, asked: Asked) -> Response:
    """Leaves a pair out, with a reason; leads to the next."""
    number = _number(asked.request.path_params["task"])
    if not number:
      return see("/", "gone")
    votes.skip(
      self.store,
      asked.rater,
      number,
      asked.field("reason"),
      asked.field("comment"),
    )
    return see("/", "skipped")

  def undo(self, asked: Asked) -> Response:
    """Takes the last vote or skip back, once; leads to its pair."""
    shown = votes.undo(self.store, asked.rater, _number(asked.field("task")))
    if shown is None:
      return see("/", "nothing")
    return see(f"/task/{shown.task}", "undone")


def see(path: str, said: str = "") -> Response:
  """Has the browser get another page: a reload of that one sends nothing."""
  query = f"?said={said}" if said in SAID else ""
  return RedirectResponse(path + query, 303)


def read_form(body: bytes) -> dict[str, list[str]] | None:
  """name → values of an urlencoded form; None where it is none."""
  form: dict[str, list[str]] = {}
  try:
    for name, value in parse_qsl(
      body.decode("ascii"),
      keep_blank_values=True,
      errors="strict",
      max_num_fields=FIELDS,
    ):
      form.setdefault(name, []).append(value)
  except ValueError:  # also of a text that is not UTF-8
    return None
  return form


def _number(said: str) -> int | None:
  """The number of a task; None where it cannot be one."""
  return int(said) if re.fullmatch("[0-9]{1,15}", said) else None
