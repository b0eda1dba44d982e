"""What the pages refuse, each rule over the wire."""

import asyncio
import random
import re
import socket
import time

import pytest
from feedback_site import (
  FORM,
  KEY,
  PAYLOADS,
  Seen,
  Visitor,
  action,
  serving,
  study,
  token_of,
)
from feedback_studies import query, rows
from itsdangerous import URLSafeTimedSerializer

from alignjax.feedback import assign
from alignjax.feedback.web import limits, sessions
from alignjax.feedback.web.limits import Limit
from alignjax.feedback.web.security import BODY, HEADERS, POLICY, Guard


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
  """A store of 40 pairs and its port; tests join raters of their own."""
  store = study(tmp_path_factory.mktemp("study") / "s.db", rows(40), overlap=50)
  with serving(store) as port:
    yield store, port
  store.close()


@pytest.fixture
def site(shared, request):
  """store, port and a rater who is logged in."""
  store, port = shared
  visitor = Visitor(port)
  visitor.token = store.add_rater(request.node.name)
  assert visitor.login(visitor.token).status == 303
  return store, port, visitor


def votes(store):
  return query(store, "SELECT count(*) FROM votes")[0][0]


def test_other_hosts_are_refused(site):
  _, port, ada = site
  for host in (
    "evil.example",
    f"evil.example:{port}",
    "127.0.0.1",
    f"127.0.0.1:{port + 1}",
    f"127.0.0.1:{port}.evil.example",
    f"127.0.0.1:{port},evil.example",
    "",
  ):
    for method, path in (("GET", "/"), ("GET", "/static/page.css")):
      assert ada.ask(method, path, Host=host).status == 421, host
    origin = f"http://{host}"
    assert ada.ask("POST", "/undo", "", Host=host, Origin=origin).status == 421
  assert ada.ask("GET", "/", Host=f"LOCALHOST:{port}").status != 421
  # Two of them: a proxy might have looked at the other one.
  with socket.create_connection(("127.0.0.1", port), 10) as wire:
    both = f"Host: 127.0.0.1:{port}\r\nHost: evil.example\r\n"
    wire.sendall(f"GET / HTTP/1.1\r\n{both}\r\n".encode())
    assert wire.recv(100).split(b" ")[1] in (b"400", b"421")


def test_forms_from_elsewhere_are_refused(site):
  store, port, ada = site
  page = ada.get("/")
  where = action(page)
  body = f"form={token_of(page)}&choice=left"
  ours, before = f"http://127.0.0.1:{port}", votes(store)
  for headers in (
    {"Origin": "http://evil.example"},
    {"Origin": "null"},
    {"Origin": f"https://127.0.0.1:{port}"},
    {"Origin": f"http://127.0.0.1:{port + 1}"},
    {"Origin": "http://127.0.0.1"},
    {"Origin": f"{ours}.evil.example"},
    {"Origin": ""},
    {"Origin": None},
    {"Origin": None, "Sec_Fetch_Site": "same-site"},
    {"Origin": None, "Sec_Fetch_Site": "none"},
    {"Origin": ours, "Sec_Fetch_Site": "cross-site"},
    {"Origin": ours, "Sec_Fetch_Site": "same-site"},
  ):
    reply = ada.ask("POST", where, body, **headers)
    assert reply.status == 403, headers
    assert ada.ask("POST", "/login", body, **headers).status == 403
  assert votes(store) == before
  # A browser that sends one of the two.
  for headers in (
    {"Origin": ours},
    {"Origin": None, "Sec_Fetch_Site": "same-origin"},
    {"Origin": ours, "Sec_Fetch_Site": "same-origin"},
  ):
    assert ada.ask("POST", where, body, **headers).status == 303, headers
  assert votes(store) == before + 1


def test_forms_without_the_sessions_token_are_refused(site):
  store, port, ada = site
  bob = Visitor(port)
  bob.login(store.add_rater("Bob of tokens"))
  page = ada.get("/")
  where, good = action(page), token_of(page)
  stranger = Visitor(port)
  before = votes(store)
  for wrong in (
    "",
    "x",
    good[:-1],
    good + "x",
    token_of(bob.get("/")),
    token_of(stranger.get("/login")),
    ada.cookies[next(iter(ada.cookies))],
  ):
    assert ada.post(where, form=wrong, choice="left").status == 403, wrong
    for path in (f"{where}/skip", "/undo", "/logout"):
      assert ada.post(path, form=wrong, reason="unclear").status == 403
  assert ada.post(where, choice="left").status == 403
  assert votes(store) == before
  assert ada.get("/").status == 200  # still logged in
  assert ada.post(where, form=good, choice="left").status == 303
  # The login has one as well, or somebody could be logged in as another.
  fresh = Visitor(port)
  assert fresh.post("/login", token=ada.token).status == 403
  fresh.get("/login")
  wrong = token_of(Visitor(port).get("/login"))
  assert fresh.post("/login", form=wrong, token=ada.token).status == 403
  assert fresh.ask("GET", "/").place == "/login"


def test_only_urlencoded_forms(site):
  store, _, ada = site
  page = ada.get("/")
  where, form = action(page), token_of(page)
  body = f"form={form}&choice=left"
  for kind in ("text/plain", "multipart/form-data; boundary=x", None, ""):
    reply = ada.ask("POST", where, body, Content_Type=kind)
    assert reply.status == 415, kind
  assert ada.ask("POST", where, b"\xff\xfe=1").status == 400
  assert ada.ask("POST", where, f"{body}&comment=%ff").status == 400
  assert ada.ask("POST", where, body + "&x=1" * 50).status == 400
  reply = ada.ask("POST", where, body, Content_Type=f"{FORM}; charset=utf-8")
  assert reply.status == 303


def test_other_methods_are_refused(site):
  _, _, ada = site
  for method in ("PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"):
    assert ada.ask(method, "/undo").status == 405, method
  assert ada.ask("POST", "/", "").status == 405
  assert ada.ask("GET", "/undo").status == 405
  assert ada.ask("GET", "/logout").status == 405
  assert ada.ask("HEAD", "/login").status == 200


def test_no_body_above_64_kib(site):
  store, port, ada = site
  page = ada.get("/")
  where, before = action(page), votes(store)
  fits = f"form={token_of(page)}&choice=left&x=".encode()
  fits += b"x" * (BODY - len(fits))
  assert ada.ask("POST", where, fits + b"x").status == 413
  # In pieces, of which no length is told.
  pieces = (fits[i : i + 5000] for i in range(0, BODY, 5000))

  def more():
    yield from pieces
    yield b"x"

  assert ada.ask("POST", where, more()).status == 413
  assert votes(store) == before
  # Whatever the method, and for who is not logged in.
  assert Visitor(port).ask("GET", "/", fits + b"x").status == 413
  assert ada.ask("POST", where, fits).status == 303
  assert votes(store) == before + 1
  # Refused by what it announces, before anything of it is read.
  with socket.create_connection(("127.0.0.1", port), 10) as wire:
    wire.sendall(
      f"POST {where} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
      f"Origin: http://127.0.0.1:{port}\r\nContent-Type: {FORM}\r\n"
      "Content-Length: 9999999999\r\n\r\n".encode()
    )
    assert b"413" in wire.recv(100)


def guarded(messages, patience=0.05, headers=(), method="POST"):
  """What the guard sends for a request whose body comes as `messages`."""
  sent, reached = [], []

  async def inner(scope, receive, send):
    reached.append(await receive())
    await send({"type": "http.response.start", "status": 200, "headers": []})

  async def receive():
    if messages:
      return messages.pop(0)
    await asyncio.sleep(60)

  async def send(message):
    sent.append(message)

  guard = Guard(
    inner,
    hosts={"h"},
    https=False,
    limit=Limit(10, 1.0),
    who=lambda _: None,
    patience=patience,
  )
  told = [(b"host", b"h"), (b"origin", b"http://h"), *headers]
  told.append((b"content-type", FORM.encode()))
  scope = {"type": "http", "method": method, "path": "/", "headers": told}
  asyncio.run(guard(scope, receive, send))
  return sent[0]["status"], reached


def test_a_body_that_drips_or_ends_early_goes_no_further():
  part = {"type": "http.request", "body": b"a=1", "more_body": True}
  last = {"type": "http.request", "body": b"&b=2", "more_body": False}
  whole = {"type": "http.request", "body": b"a=1&b=2", "more_body": False}
  assert guarded([part, last]) == (200, [whole])
  assert guarded([part]) == (408, [])
  assert guarded([part], method="GET") == (408, [])
  assert guarded([part, {"type": "http.disconnect"}]) == (400, [])
  wrong = [(b"content-length", b"9" * 5000)]
  assert guarded([whole], headers=wrong) == (413, [])


def test_every_response_carries_the_headers(site, monkeypatch):
  _, _, ada = site
  page = ada.get("/")
  where, form = action(page), token_of(page)
  large = "x" * (BODY + 1)
  replies = {
    200: page,
    303: ada.ask("GET", "/"),
    404: ada.ask("GET", "/nothing"),
    405: ada.ask("GET", "/undo"),
    409: ada.post(where, form=form),
    403: ada.post(where, form="x"),
    413: ada.ask("POST", where, large),
    415: ada.ask("POST", where, "", Content_Type="a/b"),
    421: ada.ask("GET", "/", Host="evil.example"),
  }

  def fails(*_):
    raise RuntimeError("inner words")

  monkeypatch.setattr(assign, "progress", fails)
  replies[500] = ada.ask("GET", where)
  assert "Something went wrong" in replies[500].text
  assert "inner words" not in replies[500].text
  for status, reply in replies.items():
    assert reply.status == status
    for name, value in HEADERS.items():
      assert reply.headers[name.lower()] == value, (status, name)
    assert reply.headers["cache-control"] == "no-store"
    assert "server" not in reply.headers
  assert POLICY.startswith("default-src 'self'; script-src 'self';")
  assert "unsafe" not in POLICY and "*" not in POLICY and "data:" not in POLICY
  assert "frame-ancestors 'none'" in POLICY and "base-uri 'none'" in POLICY


def test_nothing_stands_inline_and_nothing_comes_from_elsewhere(site):
  store, port, ada = site
  boss = Visitor(port)
  boss.login(store.add_rater("Boss of pages", "admin"))
  pages = [
    Visitor(port).get("/login"),
    ada.get("/"),
    ada.get("/nothing"),
    boss.get("/admin"),
  ]
  for page in pages:
    for tag, given in Seen(page.text).tags:
      assert tag not in ("style", "iframe", "object", "embed", "base"), tag
      assert not [a for a in given if a.startswith("on") or a == "style"]
      for name in ("href", "src", "action"):
        assert given.get(name, "/").startswith("/"), given
        assert not given.get(name, "/").startswith("//"), given
      if tag == "script":
        assert given["src"].startswith("/static/keys.js")


def test_cookies_are_strict_hidden_and_named_by_the_study(tmp_path):
  store = study(tmp_path / "s.db", rows(1))
  token = store.add_rater("Ada")
  with serving(store) as port:
    first = Visitor(port).get("/login").cookies
    second = Visitor(port).login(token).cookies
  names = [c.split("=")[0] for c in first + second]
  assert names == [names[1] + "-visit", names[1]]
  assert re.fullmatch("feedback-[0-9a-f]{8}", names[1])
  for cookie in first + second:
    parts = cookie.lower().split("; ")
    assert {"httponly", "samesite=strict", "path=/"} < set(parts)
    assert "secure" not in parts
    assert not [p for p in parts if p.startswith("domain")]
    assert token not in cookie
  with serving(store, https=True, hosts=["rate.example.org"]) as port:
    ada = Visitor(port)
    told = dict(Host="rate.example.org", Origin="https://rate.example.org")
    page = ada.ask("GET", "/login", **told)
    body = f"form={token_of(page)}&token={token}"
    reply = ada.ask("POST", "/login", body, **told)
    assert reply.status == 303
    for cookie in page.cookies + reply.cookies:
      assert cookie.startswith("__Host-feedback-")
      assert "; secure" in cookie.lower()
    # By http in the open, nobody is let in with a form.
    told["Origin"] = "http://rate.example.org"
    assert ada.ask("POST", "/login", body, **told).status == 403


def test_tokens_and_keys_are_not_in_the_study(tmp_path):
  path = tmp_path / "s.db"
  store = study(path, rows(1))
  token = store.add_rater("Ada")
  key = sessions.signing_key(path)
  store.close()
  files = {f.name: f for f in tmp_path.iterdir()}
  assert set(files) == {"s.db", "s.db.key"}
  assert token.encode() not in files["s.db"].read_bytes()
  assert key not in files["s.db"].read_bytes()
  assert files["s.db.key"].stat().st_mode & 0o777 == 0o600
  assert sessions.signing_key(path) == key and len(key) == 64
  files["s.db.key"].write_text("short")
  with pytest.raises(ValueError, match="Delete it"):
    sessions.signing_key(path)


def test_wrong_tokens(site):
  store, port, ada = site
  for wrong in ("", " ", "admin", "password", ada.token[:-1], ada.token + "x"):
    stranger = Visitor(port)
    reply = stranger.login(wrong)
    assert reply.status == 403 and "nobody" in reply.text, wrong
    assert stranger.ask("GET", "/").place == "/login"
    assert len(wrong) < 9 or wrong not in reply.text
  assert Visitor(port).login(f" {ada.token}\n").status == 303


def test_sessions_that_are_forged_old_or_over(site, monkeypatch):
  store, port, ada = site
  ((name, cookie),) = [
    (k, v) for k, v in ada.cookies.items() if not k.endswith("-visit")
  ]
  visit = ada.cookies[f"{name}-visit"]
  rater = store.rater_of(ada.token)

  def lets_in(value):
    other = Visitor(port)
    other.cookies = {name: value}
    return other.ask("GET", "/").place.startswith("/task/")

  def signed(key, data, salt="session"):
    return URLSafeTimedSerializer(key, salt=salt).dumps(data)

  # The login form's cookie is no session, and a session no such cookie.
  reader = sessions.Sessions(KEY)
  assert reader.read({name: cookie}).rater == rater.id
  assert reader.read({name: visit}) is None
  assert reader.visitor({reader.visit: visit}) is not None
  assert reader.visitor({reader.visit: cookie}) is None
  good = [rater.id, rater.key, "nonce"]
  assert lets_in(cookie) and lets_in(signed(KEY, good))
  for wrong in (
    "",
    "x",
    cookie[:-2],
    "." + cookie,
    visit,
    signed(b"another key" * 9, good),
    signed(KEY, good, "visit"),
    signed(KEY, good, "form"),
    signed(KEY, [rater.id + 9999, rater.key, "nonce"]),
    signed(KEY, [rater.id, "0" * 16, "nonce"]),
    signed(KEY, [0, "", "nonce"]),
  ):
    assert not lets_in(wrong), wrong
  now = time.time()
  with monkeypatch.context() as later:
    later.setattr(time, "time", lambda: now + sessions.AGE - 5)
    assert lets_in(cookie)
    later.setattr(time, "time", lambda: now + sessions.AGE + 5)
    assert not lets_in(cookie)
  # Logged out, the cookie's copies are worth nothing; a new login is another.
  ada.post("/logout", form=token_of(ada.get("/")))
  assert name not in ada.cookies and not lets_in(cookie)
  ada.login(ada.token)
  again = ada.cookies[name]
  assert again != cookie and lets_in(again)
  # A new token, or none: who is in is out.
  store.renew(rater.name)
  assert not lets_in(again)
  ada.login(store.renew(rater.name))
  assert lets_in(ada.cookies[name])
  form = token_of(ada.get("/"))
  store.deactivate(rater.name)
  assert not lets_in(ada.cookies[name])
  reply = ada.post("/undo", form=form)
  assert reply.status == 403 and "Log in again" in reply.text


def test_a_visit_from_elsewhere_leaves_the_session(site):
  # A link on another page is followed without cookies (SameSite=Strict).
  _, _, ada = site
  before = dict(ada.cookies)
  page = ada.ask("GET", "/login", Cookie=None)
  assert page.status == 200
  changed = {k for k in ada.cookies if ada.cookies[k] != before.get(k)}
  assert all(name.endswith("-visit") for name in changed)
  assert ada.get("/").status == 200


def test_too_many_requests_of_one_do_not_stop_others(tmp_path):
  store = study(tmp_path / "s.db", rows(2))
  tokens = [store.add_rater(name) for name in ("Ada", "Bob")]
  with serving(store, requests=Limit(6, 0.01)) as port:
    ada, bob = Visitor(port), Visitor(port)
    ada.login(tokens[0])
    bob.login(tokens[1])
    found = [ada.ask("GET", "/") for _ in range(8)]
    assert [r.status for r in found] == [303] * 6 + [429] * 2
    assert 90 <= int(found[-1].headers["retry-after"]) <= 102
    assert "Wait" in found[-1].text
    assert bob.get("/").status == 200
    # Without a login they count by address: four were the two logins.
    assert Visitor(port).ask("GET", "/").status == 303
    assert Visitor(port).ask("GET", "/").status == 303
    assert Visitor(port).ask("GET", "/").status == 429


def test_guessing_tokens_is_slow_and_logging_in_is_not(tmp_path):
  store = study(tmp_path / "s.db", rows(1))
  token = store.add_rater("Ada")
  with serving(store, logins=Limit(3, 0.01)) as port:
    for _ in range(5):
      assert Visitor(port).login(token).status == 303
    found = [Visitor(port).login(f"guess {i}").status for i in range(5)]
    assert found == [403, 403, 403, 429, 429]
    assert Visitor(port).login(token).status == 429


def test_a_limit_by_hand(monkeypatch):
  at = [100.0]
  limit = Limit(2, 0.5, lambda: at[0])
  assert [limit.take("a") for _ in range(3)] == [0, 0, 2.0]
  assert limit.take("b") == 0
  at[0] += 1  # half of one is back
  assert limit.take("a") == 1.0
  at[0] += 1
  assert limit.take("a") == 0
  limit.give("a")
  assert [limit.take("a") for _ in range(2)] == [0, 2.0]
  at[0] += 1000  # no more than the bucket holds
  assert [limit.take("a") for _ in range(3)] == [0, 0, 2.0]
  monkeypatch.setattr(limits, "KEYS", 50)
  for i in range(500):
    limit.take(f"key {i}")
  assert len(limit._left) <= 50
  assert limit.take("key 499") == 0 and limit.take("key 499") > 0


def test_no_path_leads_to_files(site):
  _, port, ada = site
  for path in (
    "/static/../app.py",
    "/static/..%2fapp.py",
    "/static/%2e%2e/app.py",
    "/static/%2e%2e%2f%2e%2e%2fstore.py",
    "/static/..\\app.py",
    "/static/..%5capp.py",
    "/static//etc/passwd",
    "/static/%2fetc%2fpasswd",
    "/static/page.css%00.js",
    "/static/",
    "/static",
    "/static/base.html",
    "/static/../templates/base.html",
    "//etc/passwd",
    "/../../../../etc/passwd",
    "/templates/base.html",
    "/s.db",
    "/s.db.key",
    "/task/../s.db",
    "/%2e%2e/s.db",
  ):
    with socket.create_connection(("127.0.0.1", port), 10) as wire:
      told = f"Host: 127.0.0.1:{port}\r\nConnection: close\r\n"
      wire.sendall(f"GET {path} HTTP/1.1\r\n{told}\r\n".encode())
      reply = b""
      while part := wire.recv(65536):
        reply += part
    status = int(reply.split(b" ")[1])
    # /task/… asks for the login first.
    assert status in (303, 400, 404), (path, status)
    for words in (b"import", b"root:", b"{% ", b"SQLite format"):
      assert words not in reply, path


def test_numbers_that_are_no_task(site):
  _, _, ada = site
  form = token_of(ada.get("/"))
  for number in ("0", "-1", "x", "1e3", "9" * 15, "9" * 19, "9" * 5000, "%00"):
    reply = ada.ask("GET", f"/task/{number}")
    assert (reply.status, reply.place) == (303, "/?said=gone"), number
    for path in (f"/task/{number}", f"/task/{number}/skip"):
      reply = ada.post(path, form=form, choice="left", reason="unclear")
      assert reply.status in (303, 409), number


def test_no_nonsense_breaks_it(site):
  # Property: whatever comes, the answer is a refusal, never a failure.
  store, _, ada = site
  form = token_of(ada.get("/"))
  draw = random.Random(0)
  paths = ("/", "/task/1", "/task/1/skip", "/undo", "/login", "/logout")
  paths += ("/admin", "/static/page.css", "/x")
  names = ("form", "choice", "label", "comment", "reason", "token", "said")
  before = votes(store)
  for _ in range(150):
    junk = "".join(
      f"&{draw.choice(names)}={draw.choice(('', '%00', '%ff', '%F0%9F%98%80'))}"
      f"{''.join(chr(draw.randrange(33, 127)) for _ in range(6))}"
      for _ in range(draw.randrange(6))
    )
    path = draw.choice(paths)
    if draw.random() < 0.5:
      reply = ada.ask("GET", f"{path}?{junk}".replace("#", ""))
    else:
      known = f"form={form}" if draw.random() < 0.5 else ""
      reply = ada.ask("POST", path, known + junk)
    assert reply.status < 500, (path, junk)
    assert reply.headers["content-security-policy"] == POLICY
  assert votes(store) == before


def test_hostile_texts_stay_text(tmp_path):
  given = [
    {"prompt": x, "a": f"{x} a", "b": f"{x} b", "models": {"a": x, "b": x}}
    for x in PAYLOADS
  ]
  store = study(tmp_path / "s.db", given)
  clean = study(tmp_path / "clean.db", rows(1))

  def tags(page):
    """Tags and names of attributes: what a browser would build."""
    return [(tag, *sorted(given)) for tag, given in Seen(page.text).tags]

  with serving(clean) as port:
    plain = Visitor(port)
    plain.login(clean.add_rater("Ada"))
    usual = tags(plain.get("/"))
  with serving(store) as port:
    boss = Visitor(port)
    for payload in PAYLOADS:
      rater = Visitor(port)
      rater.login(store.add_rater(payload))
      page = rater.get("/")
      assert tags(page) == usual
      texts = "".join(Seen(page.text).texts)
      shown = next(x for x in PAYLOADS if f"\n{x} a\n" in texts + "\n")
      for text in (payload, f"{shown} a", f"{shown} b"):
        assert text in texts
      assert rater.vote("left", comment=payload).status == 303
      # In the comment's field, too.
      back = rater.get(action(page))
      assert payload in "".join(Seen(back.text).texts)
      assert {t[0] for t in tags(back)} <= {"a", *(t[0] for t in usual)}
      # And in what an error repeats.
      error = rater.post(
        action(page), form=token_of(page), choice=payload, comment=""
      )
      assert error.status == 409
      assert payload[:40] in "".join(Seen(error.text).texts) or "'" in payload
      allowed = ("html", "head", "meta", "title", "link", "script", "body")
      allowed += ("header", "span", "main", "section", "h1", "p", "a")
      assert {t[0] for t in tags(error)} <= set(allowed)
    boss.login(store.add_rater("Boss", "admin"))
    page = boss.get("/admin")
    seen = Seen(page.text)
    texts = "".join(seen.texts)
    for payload in PAYLOADS:
      assert texts.count(payload) >= 2, payload  # as a name and a comment
    for tag, given in seen.tags:
      assert tag not in ("img", "svg", "iframe", "math", "base", "style", "b")
      assert not [a for a in given if a.startswith("on")]
      assert "javascript:" not in given.get("href", "")
    scripts = [given for tag, given in seen.tags if tag == "script"]
    assert len(scripts) == 1


def test_who_is_believed_about_addresses(tmp_path):
  store = study(tmp_path / "s.db", rows(1))

  def guesses(port, **told):
    """Statuses of wrong tokens, each said to come from elsewhere."""
    found = []
    for i in range(4):
      told["X_Forwarded_For"] = f"198.51.100.{i}"
      visitor = Visitor(port)
      form = token_of(visitor.ask("GET", "/login", **told))
      body = f"form={form}&token=guess"
      found.append(visitor.ask("POST", "/login", body, **told).status)
    return found

  # Nobody: whoever guesses would say another address each time.
  with serving(store, logins=Limit(2, 0.01)) as port:
    assert guesses(port) == [403, 403, 429, 429]
  # A proxy on this machine: its visitors have addresses of their own.
  told = dict(Host="x.org", Origin="https://x.org")
  with serving(
    store, https=True, hosts=["x.org"], logins=Limit(2, 0.01)
  ) as port:
    assert guesses(port, **told) == [403] * 4
