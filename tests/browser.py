"""A headless Chromium, spoken to over a pipe: what a page looks like to it,
and what it does with keys."""

import base64
import json
import os
import select
import shutil
import subprocess
import time
from contextlib import contextmanager

NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None)
SECONDS = 60
# Keys that are no character: code, number, what they write.
KEYS = {
  "Enter": (13, "\r"),
  "Escape": (27, ""),
  "Tab": (9, ""),
  "Space": (32, " "),
  "ArrowDown": (40, ""),
}
CONTROL = 2  # of modifiers


class Page:
  """One page at a time, by the DevTools protocol.

  requests: addresses asked for. dialogs: texts of alert and its like, which
  are dismissed. troubles: errors of scripts and breaches of a page's policy.
  """

  def __init__(self, out: int, back: int):
    self.out, self.back, self.rest = out, back, b""
    self.number, self.requests, self.session = 0, [], None
    self.dialogs, self.troubles = [], []
    self.session = self.ask(
      "Target.attachToTarget",
      targetId=self.ask("Target.createTarget", url="about:blank")["targetId"],
      flatten=True,
    )["sessionId"]
    for domain in ("Page", "Network", "Log", "Runtime"):
      self.ask(f"{domain}.enable")

  def open(
    self, path, width: int, height: int = 900, phone: bool = False
  ) -> None:
    """path: of a file, or an address."""
    self.resize(width, height, phone)
    url = path if isinstance(path, str) else path.as_uri()
    self.ask("Page.navigate", url=url)
    self.wait("document.readyState == 'complete'")

  def resize(self, width: int, height: int = 900, phone: bool = False) -> None:
    """phone: with fingers instead of a mouse, and thin scroll bars."""
    self.ask(
      "Emulation.setDeviceMetricsOverride",
      **dict(width=width, height=height, deviceScaleFactor=1, mobile=phone),
    )
    self.ask("Emulation.setTouchEmulationEnabled", enabled=phone)

  def wait(self, expression: str) -> None:
    """Until it is true, however often another page comes between."""
    ends = time.monotonic() + SECONDS
    while True:
      found = self.ask("Runtime.evaluate", checked=False, expression=expression)
      if found.get("result", {}).get("result", {}).get("value") is True:
        return
      assert time.monotonic() < ends, f"never: {expression}"
      time.sleep(0.02)

  def press(self, key: str, control: bool = False, held: bool = False) -> None:
    """A key down and up. held: as the keyboard repeats one."""
    number, text = KEYS.get(key, (ord(key[0].upper()), key))
    name = " " if key == "Space" else key
    told = dict(
      key=name,
      code=key,
      windowsVirtualKeyCode=number,
      modifiers=CONTROL if control else 0,
    )
    if text and not control:
      told["text"] = text
    down = "keyDown" if "text" in told else "rawKeyDown"
    self.ask("Input.dispatchKeyEvent", type=down, autoRepeat=held, **told)
    told.pop("text", None)
    self.ask("Input.dispatchKeyEvent", type="keyUp", **told)

  def write(self, text: str) -> None:
    """Into what has the focus, as from a keyboard of any language."""
    self.ask("Input.insertText", text=text)

  def click(self, selector: str) -> None:
    """The mouse, on the middle of an element."""
    x, y = self.value(
      f"(e => {{ e.scrollIntoView({{block: 'center'}}); "
      "const b = e.getBoundingClientRect(); "
      "return [b.x + b.width / 2, b.y + b.height / 2]; })"
      f"(document.querySelector({json.dumps(selector)}))"
    )
    for kind in ("mousePressed", "mouseReleased"):
      self.ask(
        "Input.dispatchMouseEvent",
        **dict(type=kind, x=x, y=y, button="left", clickCount=1),
      )

  def media(self, **features: str) -> None:
    """What the page is told of the screen, such as prefers_color_scheme."""
    told = [
      {"name": k.replace("_", "-"), "value": v} for k, v in features.items()
    ]
    self.ask("Emulation.setEmulatedMedia", features=told)

  def picture(self, path) -> None:
    """The whole page as a PNG file."""
    self.ask("Emulation.setScrollbarsHidden", hidden=True)
    found = self.ask("Page.captureScreenshot", captureBeyondViewport=True)
    path.write_bytes(base64.b64decode(found["data"]))
    self.ask("Emulation.setScrollbarsHidden", hidden=False)

  def value(self, expression: str):
    found = self.ask(
      "Runtime.evaluate", expression=expression, returnByValue=True
    )
    assert "exceptionDetails" not in found, found
    return found["result"].get("value")

  def ask(self, method: str, checked: bool = True, **params) -> dict:
    """The result; where it is not checked, the whole answer."""
    number = self.tell(method, **params)
    while True:
      heard = self.hear()
      self.note(heard.get("method"), heard.get("params", {}))
      if heard.get("id") == number:
        assert not checked or "error" not in heard, heard
        return heard["result"] if checked else heard

  def tell(self, method: str, **params) -> int:
    self.number += 1
    said = {"id": self.number, "method": method, "params": params}
    if self.session:
      said["sessionId"] = self.session
    rest = json.dumps(said).encode() + b"\0"
    while rest:
      rest = rest[os.write(self.out, rest) :]
    return self.number

  def note(self, method: str | None, params: dict) -> None:
    if method == "Network.requestWillBeSent":
      self.requests.append(params["request"]["url"])
    elif method == "Page.javascriptDialogOpening":
      self.dialogs.append(params["message"])
      self.tell("Page.handleJavaScriptDialog", accept=False)
    elif method == "Log.entryAdded" and params["entry"]["level"] == "error":
      self.troubles.append(params["entry"]["text"])
    elif method == "Runtime.exceptionThrown":
      self.troubles.append(params["exceptionDetails"]["text"])

  def hear(self) -> dict:
    while b"\0" not in self.rest:
      ready, _, _ = select.select([self.back], [], [], SECONDS)
      assert ready, "the browser says nothing"
      read = os.read(self.back, 1 << 16)
      assert read, "the browser has ended"
      self.rest += read
    first, _, self.rest = self.rest.partition(b"\0")
    return json.loads(first)


@contextmanager
def browser(folder):
  """folder: for the browser's own files."""
  ours, theirs = os.pipe(), os.pipe()
  command = (
    f'exec "{CHROMIUM}" --headless --no-sandbox --disable-gpu '
    "--no-first-run --disable-dev-shm-usage --remote-debugging-pipe "
    f'--user-data-dir="{folder}" 3<&{ours[0]} 4>&{theirs[1]}'
  )
  child = subprocess.Popen(
    ["bash", "-c", command],
    pass_fds=(ours[0], theirs[1]),
    stdout=subprocess.DEVNULL,
    stderr=subprocess.DEVNULL,
  )
  os.close(ours[0])
  os.close(theirs[1])
  try:
    yield Page(ours[1], theirs[0])
  finally:
    child.terminate()
    child.wait(30)
    os.close(ours[1])
    os.close(theirs[0])
