"""Writers that are told what to say, for the tests of methods."""

from pathlib import Path

from alignjax.instruct.made import Left, Tools
from alignjax.instruct.writers import Ask, Reply, Writer


def tools(tmp_path, say, judge=None, seed=0, name="r", **about):
  """say: request → text, or a Reply. about: what else is known of the judge."""

  def ask(say, name, about):
    def answer(requests, keep):
      for i, request in enumerate(requests):
        said = say(request)
        done = said if isinstance(said, Reply) else Reply(said, False, 5, 4)
        keep({i: done})

    return Ask(Writer({"by": name, **about}, answer, 0), tmp_path / name)

  judged = ask(judge, f"{name}.judge", about) if judge else None
  return Tools(ask(say, name, {}), judged, seed)


def unasked():
  """Tools whose weights may not be read yet."""

  def read():
    raise AssertionError("weights were read before settings were checked")

  ask = Ask(read, Path("nowhere"))
  return Tools(ask, ask, 0)


def parted(made):
  rows, left = [], []
  for one in made:
    (left if isinstance(one, Left) else rows).append(one)
  return rows, left


def longer(turns, texts, rows):
  """A reward: words of an answer."""
  return [float(len(text.split())) for text in texts]
