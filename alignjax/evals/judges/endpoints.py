"""A language model as a judge, behind an OpenAI-compatible endpoint."""

import threading
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import nullcontext
from pathlib import Path

from alignjax.evals.judges.question import (
  REMINDER,
  check_template,
  question,
  verdict_in,
)
from alignjax.evals.judges.verdicts import VERDICTS, Judge
from alignjax.remote import kept
from alignjax.remote.connection import Connection, Refused, api_key


def endpoint(
  url: str,
  model: str,
  *,
  api_key_env: str | None,
  template: str,
  temperature: float | int = 0,
  timeout: float | int,
  retries: int,
  workers: int,
  cache: str | Path | None = None,
) -> Judge:
  """The judge that asks `model` by POST to `url`/chat/completions.

  api_key_env: the environment variable that holds the key, None for a server
    that needs none. The key is in no message and in no file.
  template: as `TEMPLATE`; {prompt}, {first} and {second} become fenced texts.
  timeout: seconds of one request. retries: further tries of one that failed
    for a while (HTTP 408, 429, 5xx, a timeout, a lost connection).
  workers: requests at a time, at most.
  cache: a file of verdicts by the sha256 of model, template, temperature,
    prompt and both answers. They are written as they come, and what the file
    has is not asked again; it says nothing of the url.

  A reply without a verdict, or one that was cut at the server's limit of
  tokens, is asked for once more; after that the verdict is "none".

  Raises ValueError for a setting that cannot work; the judge raises
  ConnectionError, after which those in the cache are kept, where the server
  does not answer as it should.
  """
  check_template(template)
  if not model or workers < 1 or retries < 0 or not 0 < timeout < float("inf"):
    raise ValueError(
      f"model = {model!r}, workers = {workers}, retries = {retries}, timeout = "
      f"{timeout}.\nLegal: a name, 1 or more, 0 or more, seconds above 0."
    )
  if not 0 <= temperature < float("inf"):
    raise ValueError(f"temperature = {temperature}; it is 0 or more.")
  connection = Connection(
    url, key=api_key(api_key_env), timeout=timeout, retries=retries
  )
  path = None if cache is None else Path(cache)

  def ask(texts: tuple[str, str, str], stop: threading.Event) -> str:
    asked = question(template, *texts)
    for content in (asked, f"{asked}\n\n{REMINDER}"):
      body = {
        "model": model,
        "messages": [{"role": "user", "content": content}],
        "temperature": temperature,
      }
      try:
        said = connection.post(body, stop)
      except Refused as error:
        start = " ".join(texts[0].split())[:60]
        raise Refused(f"{error}\nThe prompt begins {start!r}.") from None
      # What was cut may end with a mark that it only quotes.
      found = "none" if said.cut else verdict_in(said.text)
      if found != "none":
        break
    return found

  def judge(prompts, firsts, seconds):
    rows = list(zip(prompts, firsts, seconds))
    settings = (model, template, repr(float(temperature)))
    keys = [kept.digest(*settings, *texts) for texts in rows]
    found = kept.read(path, set(keys), "verdict", _legal) if path else {}
    left = {k: texts for k, texts in zip(keys, rows) if k not in found}
    stop = threading.Event()
    # From inside to outside: requests end before the file is closed.
    with kept.writing(path) if path else nullcontext() as add:
      with ThreadPoolExecutor(workers) as pool:

        def one(key):
          verdict = ask(left[key], stop)
          if add:
            add({key: {"verdict": verdict}})
          return key, verdict

        try:
          futures = [pool.submit(one, key) for key in left]
          found.update(f.result() for f in as_completed(futures))
        except BaseException:
          stop.set()
          pool.shutdown(wait=False, cancel_futures=True)
          raise
    return [found[key] for key in keys]

  return judge


def _legal(verdict) -> bool:
  return isinstance(verdict, str) and verdict in VERDICTS
