"""Who is logged in: signed cookies, and the tokens that forms carry.

The server keeps nothing about a session but which ones were ended since it
started: a cookie holds the rater's number and key and a random text, signed.
Each request looks the rater up: who is shut out or has a new token is out.
"""

import hashlib
import hmac
import os
import secrets
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from itsdangerous import BadData, URLSafeTimedSerializer
from starlette.responses import Response

from alignjax.feedback.store import Rater

AGE = 7 * 24 * 3600  # seconds that a session lasts


class Session(NamedTuple):
  """rater, key: of `Rater`; 0 and "" before the login. nonce: random."""

  rater: int
  key: str
  nonce: str


def signing_key(path: Path) -> bytes:
  """The key of a study's cookies, made at the first call.

  It lies in `PATH.key`, readable by its owner alone, and not in the study, of
  which there are copies. Deleting it ends all sessions.
  """
  file = path.with_name(f"{path.name}.key")
  try:
    with open(
      os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb"
    ) as made:
      made.write(secrets.token_hex(32).encode())
  except FileExistsError:
    pass
  key = file.read_bytes()
  if len(key) < 64:
    raise ValueError(
      f"{file} holds {len(key)} bytes and no key, which has 64.\n"
      "Delete it; a new one is made, and raters log in again."
    )
  return key


class Sessions:
  """Makes and reads cookies and form tokens.

  key: secret. https: cookies are Secure, and bound to this host by their name.
  """

  def __init__(self, key: bytes, *, https: bool = False):
    self.https = https
    # Cookies of one host are shared by its ports: two studies on one machine
    # have names of their own.
    name = "feedback-" + hashlib.sha256(key).hexdigest()[:8]
    self.name = f"__Host-{name}" if https else name
    # A cookie for the login form. A page that is opened from elsewhere comes
    # without cookies (SameSite=Strict) and must not overwrite the session.
    self.visit = f"{self.name}-visit"
    self._cookies = URLSafeTimedSerializer(key, salt="session")
    self._visits = URLSafeTimedSerializer(key, salt="visit")
    self._forms = URLSafeTimedSerializer(key, salt="form")
    self._ended: dict[str, float] = {}  # nonce → when it would have expired

  def read(self, cookies: Mapping[str, str]) -> Session | None:
    """The session of a request, None where it has none that is valid."""
    found = _loads(self._cookies, cookies.get(self.name))
    return None if found is None or found.nonce in self._ended else found

  def visitor(self, cookies: Mapping[str, str]) -> Session | None:
    """What the cookie of the login form says, likewise."""
    return _loads(self._visits, cookies.get(self.visit))

  def visit_begins(self, response: Response, visit: Session) -> None:
    """Sends the cookie that the login form needs."""
    self._set(response, self.visit, self._visits.dumps(visit))

  def begin(self, response: Response, rater: Rater) -> None:
    """A new session, as a cookie."""
    session = new(rater.id, rater.key)
    self._set(response, self.name, self._cookies.dumps(session))

  def end(self, response: Response, session: Session) -> None:
    """Deletes the cookie, and refuses copies of it."""
    now = time.time()
    self._ended = {k: t for k, t in self._ended.items() if t > now}
    self._ended[session.nonce] = now + AGE
    self._set(response, self.name, "")

  def token(self, session: Session) -> str:
    """What a form of this session carries: another site cannot know it."""
    return str(self._forms.dumps(session.nonce))

  def matches(self, session: Session, token: str) -> bool:
    """Whether a form was made for this session, and by us."""
    try:
      nonce = self._forms.loads(token, max_age=AGE)
    except BadData:
      return False
    return hmac.compare_digest(str(nonce), session.nonce)

  def _set(self, response: Response, name: str, value: str | bytes) -> None:
    response.set_cookie(
      name,
      str(value),
      max_age=AGE if value else 0,
      path="/",
      httponly=True,
      samesite="strict",
      secure=self.https,
    )


def new(rater: int = 0, key: str = "") -> Session:
  """A session with a nonce of its own; without a rater, a visit."""
  return Session(rater, key, secrets.token_urlsafe(16))


def _loads(
  serializer: URLSafeTimedSerializer, value: str | None
) -> Session | None:
  try:
    return Session(*serializer.loads(value or "", max_age=AGE))
  except BadData:
    return None
