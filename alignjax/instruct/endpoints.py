"""A model at an OpenAI-compatible endpoint that writes."""

import math
import re
import threading
from concurrent.futures import ThreadPoolExecutor, as_completed

from alignjax.instruct.writers import Reply, Writer
from alignjax.remote.connection import Connection, Refused, api_key

REFUSED = "refused by the server"
# What a server says of one request, and not of all.
_OWN = re.compile(
  r"content.?(filter|management|policy)|usage.polic|context.?(length|size)",
  re.I,
)


def endpoint(
  url: str,
  model: str,
  *,
  api_key_env: str,
  max_tokens: int,
  temperature: float,
  top_p: float,
  seed: int,
  workers: int,
  timeout: float,
  retries: int,
  per_minute: int,
) -> Writer:
  """`model` at an OpenAI-compatible endpoint, `workers` requests at a time.

  The options as of `judges.endpoint`; per_minute: requests that begin in a
  minute, 0 for no limit. api_key_env: "" for a server that needs no key.

  What the server refuses for its contents or its length has a reply that says
  so, and is not asked again.

  Raises ValueError for settings that cannot work; the writer raises
  ConnectionError where the server does not answer as it should.
  """
  good = workers >= 1 and retries >= 0 and per_minute >= 0
  if not model or not good or not 0 < timeout < math.inf:
    raise ValueError(
      f"writer.model = {model!r}, workers = {workers}, retries = {retries}, "
      f"per_minute = {per_minute}, timeout = {timeout}.\n"
      "Legal: a name, 1 or more, 0 or more, 0 or more, seconds above 0."
    )
  connection = Connection(
    url,
    key=api_key(api_key_env),
    timeout=timeout,
    retries=retries,
    per_minute=per_minute,
  )
  settings = {"max_tokens": max_tokens, "temperature": temperature}
  settings |= {"top_p": top_p, "seed": seed}

  def answer(requests, keep):
    stop = threading.Event()

    def one(i: int) -> None:
      body = {"model": model, "messages": list(requests[i].turns), **settings}
      body["seed"] = seed + requests[i].draw
      try:
        keep({i: Reply(*connection.post(body, stop))})
      except Refused as error:
        if not _OWN.search(str(error).split("\n")[0]):
          end = " ".join(requests[i].turns[-1]["content"].split())[:60]
          raise Refused(f"{error}\nIts last turn: {end!r}") from None
        keep({i: Reply("", False, 0, 0, REFUSED)})

    with ThreadPoolExecutor(workers) as pool:
      try:
        jobs = [pool.submit(one, i) for i in range(len(requests))]
        for done in as_completed(jobs):
          done.result()
      except BaseException:
        stop.set()
        pool.shutdown(wait=False, cancel_futures=True)
        raise

  # The url is left out: the same model may be asked elsewhere.
  return Writer({"model": model, **settings}, answer, 0)
