"""The pages in headless Chromium: keys, back button, two raters, pictures."""

import json

import browser as chromium
import pytest
from feedback_site import PAYLOADS, serving, study
from feedback_studies import query, rows

from alignjax.feedback.choices import CHOICES, KEPT

pytestmark = pytest.mark.skipif(
  chromium.CHROMIUM is None,
  reason="NO BROWSER: install Debian's chromium to vote on the pages in one",
)
KEYS = dict(zip("12345b", CHOICES))
TASK = "document.getElementById('vote').action.match(/[0-9]+$/)[0]"
# (text colour, background) of whatever has a text of its own, as numbers.
COLOURS = """[...document.querySelectorAll('body *')].filter(e =>
  e.checkVisibility() && [...e.childNodes].some(n => n.nodeType == 3 &&
  n.data.trim())).map(e => {
    const numbers = c => c.match(/[0-9.]+/g).map(Number);
    let at = e, back;
    do { back = numbers(getComputedStyle(at).backgroundColor); at =
      at.parentElement; } while (back[3] === 0 && at);
    return [e.textContent.trim().slice(0, 30),
      numbers(getComputedStyle(e).color), back];
  })"""


@pytest.fixture(scope="module")
def window(tmp_path_factory):
  """A browser; each test begins without cookies."""
  with chromium.browser(tmp_path_factory.mktemp("browser")) as page:
    yield page


@pytest.fixture
def page(window):
  window.ask("Network.clearBrowserCookies")
  window.dialogs.clear()
  window.troubles.clear()
  window.requests.clear()
  yield window
  window.media()
  assert window.dialogs == []
  assert window.troubles == []


def enter(page, port, token, width=1280, **how):
  """Logs in by the link, with one key."""
  page.open(f"http://127.0.0.1:{port}/login#{token}", width, **how)
  page.wait(
    "document.activeElement.id == 'token' && "
    "document.activeElement.value.length > 40"
  )
  assert page.value("location.hash") == ""
  page.press("Enter")
  page.wait(
    "location.pathname != '/login' && document.readyState == 'complete'"
  )


def at(page) -> int:
  return int(page.value(TASK))


def save(page) -> None:
  """Presses Enter, and waits for the next page."""
  page.value("document.documentElement.dataset.old = 1")
  page.press("Enter")
  arrived(page)


def arrived(page) -> None:
  page.wait(
    "!document.documentElement.dataset.old && document.readyState == 'complete'"
  )


def on(page, path: str, said: str = "") -> None:
  """Waits until a page is there, and its script has run."""
  query = f"?said={said}" if said else ""
  page.wait(
    f"(location.pathname + location.search).startsWith('{path}{query}') && "
    "document.readyState == 'complete'"
  )


def back(page, task: int) -> None:
  """The browser's back button, to a task that has its vote."""
  page.value("history.back()")
  page.wait(
    f"location.pathname == '/task/{task}' && "
    "!!document.querySelector('.notice')"
  )
  arrived(page)  # it may come out of memory first, as it was left


def votes(store):
  """task → choice as it was seen."""
  found = query(
    store,
    "SELECT t.id, v.choice, t.flipped FROM votes v "
    "JOIN tasks t ON t.id = v.task",
  )
  seen = {}
  for task, choice, flipped in found:
    step = KEPT.index(choice)
    seen[task] = CHOICES[4 - step if flipped and step < 5 else step]
  return seen


def test_twenty_pairs_by_keyboard_alone(page, tmp_path):
  store = study(tmp_path / "s.db", rows(20))
  token = store.add_rater("Ada")
  expected = {}
  with serving(store) as port:
    enter(page, port, token)
    for number in range(20):
      assert f"{number} of 20 done" in page.value("document.body.innerText")
      task, key = at(page), "12345b"[number % 6]
      expected[task] = KEYS[key]
      if number == 0:
        # Without a choice nothing is sent, and the page says so.
        page.press("Enter")
        assert "Choose first" in page.value(
          "document.getElementById('said').innerText"
        )
        # The help is there, and goes.
        for shown in (True, False):
          page.press("?")
          assert page.value("document.getElementById('help').open") is shown
        assert page.value(
          "[...document.querySelectorAll('#vote kbd')].every(k => "
          "k.checkVisibility())"
        )
      page.press("3")
      page.press(key)
      if number == 1:
        for mark in ("q", "w", "w", "p"):
          page.press(mark)
      if number == 2:
        # What is written is no key, and Enter is a line's end.
        page.press("c")
        page.press("1")
        page.press("Enter")
        page.write("ünï")
        page.value("document.documentElement.dataset.old = 1")
        page.press("Enter", control=True)
        arrived(page)
        continue
      if number == 3:
        page.press("c")
        page.press("5")
        page.press("Escape")
      if number == 4:
        # A key held down does not run on.
        page.press("Enter", held=True)
        assert at(page) == task
      save(page)
    assert "Thank you" in page.value("document.body.innerText")
    assert votes(store) == expected and len(expected) == 20
    labels = query(store, "SELECT task, label FROM labels ORDER BY label")
    assert labels == [(2, "harmful"), (2, "unhelpful")]
    comments = query(
      store, "SELECT task, comment FROM votes WHERE comment != ''"
    )
    assert comments == [(3, "1\nünï"), (4, "5")]
    # Undo, then skip with a reason, by keys as well.
    page.value("document.documentElement.dataset.old = 1")
    page.press("u")
    arrived(page)
    assert at(page) == 20 and 20 not in votes(store)
    page.press("s")
    page.press("ArrowDown")
    page.press("ArrowDown")
    page.press("Tab")
    page.write("too hard")
    page.press("Tab")
    save(page)
    assert "Thank you" in page.value("document.body.innerText")
    skips = query(store, "SELECT task, reason, comment FROM skips")
    assert skips == [(20, "unfamiliar", "too hard")]
    assert len(votes(store)) == 19
    assert {r.split("/")[2] for r in page.requests} == {f"127.0.0.1:{port}"}


def test_a_reload_keeps_side_and_progress(page, tmp_path):
  store = study(tmp_path / "s.db", rows(8))
  token = store.add_rater("Ada")

  def shown():
    return page.value(
      "[document.querySelector('.progress').innerText, "
      "...[...document.querySelectorAll('.text')].map(e => e.innerText)]"
    )

  with serving(store) as port:
    enter(page, port, token)
    for key in "1245":
      before = shown()
      for _ in range(2):
        page.value("document.documentElement.dataset.old = 1")
        page.ask("Page.reload")
        arrived(page)
        assert shown() == before
      page.press(key)
      save(page)
      assert shown() != before
    # Logged out and in again, it is the same pair.
    before = shown()
    page.value("document.documentElement.dataset.old = 1")
    page.click(".top button")
    arrived(page)
    assert page.value("location.pathname") == "/login"
    enter(page, port, token)
    assert shown() == before
  assert len(votes(store)) == 4


def test_back_button_and_double_submit_leave_one_vote(page, tmp_path):
  store = study(tmp_path / "s.db", rows(4))
  with serving(store) as port:
    enter(page, port, store.add_rater("Ada"))
    page.press("1")
    save(page)
    assert votes(store) == {1: "left_much"} and at(page) == 2
    back(page, 1)
    # As it was sent, then otherwise.
    save(page)
    assert votes(store) == {1: "left_much"}
    back(page, 1)
    page.press("4")
    save(page)
    assert votes(store) == {1: "right"} and at(page) == 2
    kinds = query(
      store, "SELECT kind FROM events WHERE kind IN ('voted', 'changed')"
    )
    assert kinds == [("voted",), ("changed",)]
    # Enter twice at once; and twice past our script.
    page.press("b")
    page.value("document.documentElement.dataset.old = 1")
    page.press("Enter")
    page.press("Enter")
    arrived(page)
    page.wait(f"{TASK} == '3'")
    page.value(
      "document.documentElement.dataset.old = 1;"
      "document.querySelector('[value=tie]').checked = true;"
      "HTMLFormElement.prototype.submit.call(document.forms.vote);"
      "HTMLFormElement.prototype.submit.call(document.forms.vote)"
    )
    arrived(page)
    page.wait(f"{TASK} == '4'")
    assert votes(store) == {1: "right", 2: "both_bad", 3: "tie"}


def test_two_raters_in_two_browsers_keep_to_the_overlap(page, tmp_path):
  store = study(tmp_path / "s.db", rows(7), overlap=1)
  tokens = [store.add_rater(name) for name in ("Ada", "Bob")]
  with serving(store) as port, chromium.browser(tmp_path / "b") as second:
    both = (page, second)
    for one, token in zip(both, tokens):
      enter(one, port, token)
    held = "document.getElementById('vote') !== null"
    tasks = []
    while any(going := [one.value(held) for one in both]):
      tasks.append([at(one) for one, go in zip(both, going) if go])
      assert len(set(tasks[-1])) == len(tasks[-1])
      for one, go in zip(both, going):
        if go and one.value(held):
          one.press("2")
          save(one)
    assert second.troubles == []
    assert len(tasks) == 4  # three and a half turns of two
    found = query(
      store,
      "SELECT t.pair, t.rater FROM votes v JOIN tasks t ON t.id = v.task",
    )
    assert sorted(pair for pair, _ in found) == list(range(1, 8))
    assert {rater for _, rater in found} == {1, 2}


def test_voting_without_javascript(page, tmp_path):
  store = study(tmp_path / "s.db", rows(2))
  token = store.add_rater("Ada")
  page.ask("Emulation.setScriptExecutionDisabled", value=True)
  try:
    with serving(store) as port:
      page.open(f"http://127.0.0.1:{port}/login", 360)
      page.click("#token")
      page.write(token)
      page.click("#login button")
      on(page, "/task/1")
      assert not page.value("document.documentElement.className")
      assert page.value(
        "[...document.querySelectorAll('kbd')].every(k => !k.checkVisibility())"
      )
      # The browser asks for a choice by itself.
      page.click("#save")
      page.click("[value=right]")
      page.click("[value='left harmful']")
      page.click("#comment")
      page.write("no script")
      page.click("#save")
      on(page, "/task/2")
      assert votes(store) == {1: "right"}
      page.click("#skip summary")
      page.wait("document.getElementById('skip').open")
      page.click("#undo button")
      on(page, "/task/1", "undone")
      assert votes(store) == {}
  finally:
    page.ask("Emulation.setScriptExecutionDisabled", value=False)


def test_payloads_stay_inert(page, tmp_path):
  given = [{"prompt": x, "a": f"{x} a", "b": f"{x} b"} for x in PAYLOADS]
  for row, payload in zip(given, PAYLOADS):
    row["models"] = {"a": f"{payload} one", "b": f"{payload} two"}
  store = study(tmp_path / "s.db", given, overlap=12)
  raters = [store.add_rater(payload) for payload in PAYLOADS]
  boss = store.add_rater("Boss", "admin")
  inert = "document.scripts.length == 1 && document.images.length == 0 && "
  inert += "document.querySelectorAll('svg,iframe,math,base,[onerror],"
  inert += "[onfocus],[onload]').length == 0"
  name = "document.querySelector('.who').textContent"
  with serving(store) as port:
    for payload, token in zip(PAYLOADS, raters):
      page.ask("Network.clearBrowserCookies")
      enter(page, port, token)
      assert page.value(name) == payload
      assert page.value(inert)
    for payload in PAYLOADS:
      texts = page.value(
        "[...document.querySelectorAll('.text')].map(e => e.textContent)"
      )
      assert texts[0] == payload
      assert sorted(texts[1:]) == [f"{payload} a", f"{payload} b"]
      assert page.value(inert)
      task = at(page)
      page.press("2")
      page.press("c")
      page.write(payload)
      page.value("document.documentElement.dataset.old = 1")
      page.press("Enter", control=True)
      arrived(page)
      back(page, task)
      assert page.value("document.getElementById('comment').value") == payload
      assert page.value(inert)
      # What an error repeats.
      page.value(
        "document.documentElement.dataset.old = 1;"
        f"document.querySelector('[value=left]').value = {json.dumps(payload)};"
        "document.getElementById('save').click()"
      )
      arrived(page)
      assert "is unknown" in page.value("document.body.textContent")
      assert page.value(inert)
      page.open(f"http://127.0.0.1:{port}/", 1280)
    assert len(votes(store)) == len(PAYLOADS) == 12
    page.ask("Network.clearBrowserCookies")
    enter(page, port, boss)
    text = page.value("document.body.textContent")
    for payload in PAYLOADS:
      assert text.count(payload) >= 4  # rater, comment, two models
    assert page.value(inert)
    page.open(f"http://127.0.0.1:{port}/admin?intervals", 1280)
    assert page.value(inert)
  # The errors' pages are told in the log, and nothing else is.
  assert [x for x in page.troubles if "409" not in x] == []
  page.troubles.clear()
  assert {r.split("/")[2] for r in page.requests} == {f"127.0.0.1:{port}"}


def contrast(first, second) -> float:
  """WCAG 2.2's ratio of two colours, 1 to 21."""

  def light(colour):
    parts = [c / 255 for c in colour[:3]]
    linear = [
      c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts
    ]
    return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear))

  high, low = sorted((light(first), light(second)), reverse=True)
  return (high + 0.05) / (low + 0.05)


def test_it_is_readable_on_a_phone_and_on_a_desk(page, tmp_path):
  given = rows(3)
  for row in given:
    row["a"] += "\n" + "unbreakable" * 40
    row["b"] += "\n\n" + "some more words of an answer " * 60
  store = study(tmp_path / "s.db", given)
  token, boss = store.add_rater("A" * 100), store.add_rater("Boss", "admin")
  with serving(store) as port:
    for width, phone in ((360, True), (1280, False)):
      for scheme in ("light", "dark"):
        page.ask("Network.clearBrowserCookies")
        page.media(prefers_color_scheme=scheme)
        for path in ("/login", "/", "/task/1", "/admin"):
          if path == "/":
            enter(page, port, token, width, phone=phone)
            page.press("2")
          elif path == "/admin":
            page.ask("Network.clearBrowserCookies")
            enter(page, port, boss, width, phone=phone)
          else:
            page.open(f"http://127.0.0.1:{port}{path}", width, phone=phone)
          where = f"{path} at {width}, {scheme}"
          across = page.value("document.documentElement.scrollWidth")
          assert across <= width, f"{where}: {across} pixels wide"
          for text, colour, back in page.value(COLOURS):
            ratio = contrast(colour, back)
            assert ratio >= 4.5, f"{where}: {ratio:.1f} for {text!r}"
          if path != "/task/1":
            continue
          tops = page.value(
            "[...document.querySelectorAll('.answer')].map(e => "
            "e.getBoundingClientRect().top)"
          )
          assert (tops[0] == tops[1]) is not phone
          names = page.value(
            "[...document.querySelectorAll('.answer h2')].map(e => "
            "e.innerText.trim())"
          )
          first = ("First", "Second") if phone else ("Left", "Right")
          assert names == [f"{name} answer" for name in first]
          heights = page.value(
            "[...document.querySelectorAll('.choice,#save,summary')].map(e => "
            "e.getBoundingClientRect().height)"
          )
          assert min(heights) >= 44, where
          size = page.value(
            "parseFloat(getComputedStyle(document.querySelector('.text'))"
            ".fontSize)"
          )
          assert size >= 16
          keys = page.value(
            "[...document.querySelectorAll('.choice kbd')].filter(e => "
            "e.checkVisibility()).length"
          )
          assert keys == (0 if phone else 6)
