"""A headless Chromium, spoken to over a pipe: what a page looks like to it."""

import json
import os
import select
import shutil
import subprocess
import time
from contextlib import contextmanager

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
SECONDS = 60


class Page:
  """One page at a time, by the DevTools protocol."""

  def __init__(self, out: int, back: int):
    self.out, self.back, self.rest = out, back, b""
    self.number, self.requests, self.session = 0, [], None
    self.session = self.ask(
      "Target.attachToTarget",
      targetId=self.ask("Target.createTarget", url="about:blank")["targetId"],
      flatten=True,
    )["sessionId"]
    for domain in ("Page", "Network"):
      self.ask(f"{domain}.enable")

  def open(self, path, width: int, height: int = 900) -> None:
    self.ask(
      "Emulation.setDeviceMetricsOverride",
      **dict(width=width, height=height, deviceScaleFactor=1, mobile=False),
    )
    self.ask("Page.navigate", url=path.as_uri())
    ends = time.monotonic() + SECONDS
    while self.value("document.readyState") != "complete":
      assert time.monotonic() < ends, "the page does not load"
      time.sleep(0.1)

  def value(self, expression: str):
    found = self.ask(
      "Runtime.evaluate", expression=expression, returnByValue=True
    )
    assert "exceptionDetails" not in found, found
    return found["result"].get("value")

  def ask(self, method: str, **params) -> dict:
    self.number += 1
    said = {"id": self.number, "method": method, "params": params}
    if self.session:
      said["sessionId"] = self.session
    os.write(self.out, json.dumps(said).encode() + b"\0")
    while True:
      heard = self.hear()
      if heard.get("method") == "Network.requestWillBeSent":
        self.requests.append(heard["params"]["request"]["url"])
      if heard.get("id") == self.number:
        assert "error" not in heard, heard
        return heard["result"]

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
