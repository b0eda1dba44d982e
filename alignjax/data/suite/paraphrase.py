"""Do two sentences mean the same?"""

from collections.abc import Iterator

from alignjax.data.suite.cluster import Cluster, Instance
from alignjax.data.suite.draw import digest, other

_NAMES = ("Alice", "Bruno", "Chen", "Diana", "Erik", "Fatima")

# A sentence, the same in other words, and one about the same that differs.
_MEANINGS = (
  (
    "{n} bought a car.",
    "{n} purchased a car.",
    "{n} sold a car.",
  ),
  (
    "{n} is very tired.",
    "{n} is exhausted.",
    "{n} is very hungry.",
  ),
  (
    "The film {n} saw started at eight.",
    "The film {n} saw began at eight.",
    "The film {n} saw ended at eight.",
  ),
  (
    "{n} gave the book to Sam.",
    "Sam was given the book by {n}.",
    "Sam gave the book to {n}.",
  ),
  (
    "{n} is older than Sam.",
    "Sam is younger than {n}.",
    "Sam is older than {n}.",
  ),
  (
    "{n} broke the window.",
    "The window was broken by {n}.",
    "{n} cleaned the window.",
  ),
  (
    "{n} forgot the meeting.",
    "{n} did not remember the meeting.",
    "{n} did not forget the meeting.",
  ),
  (
    "{n} lives near the school.",
    "{n} lives close to the school.",
    "{n} lives far from the school.",
  ),
  (
    "{n} answered the question correctly.",
    "{n} gave the right answer to the question.",
    "{n} gave the wrong answer to the question.",
  ),
  (
    "{n} called the doctor.",
    "{n} phoned the doctor.",
    "The doctor phoned {n}.",
  ),
  (
    "{n} enjoys cooking.",
    "{n} likes to cook.",
    "{n} cannot stand cooking.",
  ),
  (
    "{n} left before lunch.",
    "{n} went away before lunch.",
    "{n} left after lunch.",
  ),
  (
    "{n} repaired the bicycle.",
    "{n} fixed the bicycle.",
    "{n} lost the bicycle.",
  ),
  (
    "The test was easy for {n}.",
    "{n} found the test simple.",
    "{n} found the test hard.",
  ),
  (
    "{n} arrived late.",
    "{n} was not on time.",
    "{n} was on time.",
  ),
  (
    "{n} is the owner of this house.",
    "This house belongs to {n}.",
    "{n} wants to rent this house.",
  ),
  (
    "{n} cannot swim.",
    "{n} is unable to swim.",
    "{n} swims well.",
  ),
  (
    "{n} teaches Sam.",
    "{n} is the teacher of Sam.",
    "{n} is the pupil of Sam.",
  ),
  (
    "{n} ate all of the cake.",
    "No cake was left after {n} had eaten.",
    "{n} ate half of the cake.",
  ),
  (
    "{n} needs help at once.",
    "{n} needs help immediately.",
    "{n} needs no help.",
  ),
  (
    "{n} is always cheerful.",
    "{n} is happy all the time.",
    "{n} is rarely cheerful.",
  ),
  (
    "{n} was frightened by the noise.",
    "The noise scared {n}.",
    "{n} did not hear the noise.",
  ),
  (
    "{n} finished the work yesterday.",
    "{n} completed the work yesterday.",
    "{n} will finish the work tomorrow.",
  ),
  (
    "{n} has the same age as Sam.",
    "{n} and Sam are equally old.",
    "{n} and Sam have the same job.",
  ),
)


def paraphrase() -> Iterator[Instance]:
  """Do two sentences mean the same? A meaning stays in one split."""
  for first, same, different in _MEANINGS:
    for name in _NAMES:
      for gold, second in (("yes", same), ("no", different)):
        pair = [first.format(n=name), second.format(n=name)]
        if digest(second, name) % 2:
          pair.reverse()
        slots = {"first": pair[0], "second": pair[1]}
        wrong = other(("yes", "no"), (gold,))
        yield Instance(first, slots, (gold,), wrong)


CLUSTERS = (
  Cluster(
    "paraphrase",
    "label",
    (
      'Do these two sentences mean the same? "{first}" "{second}" Answer yes '
      "or no.",
      "Sentence 1: {first}\nSentence 2: {second}\nSame meaning, yes or no?",
      "Compare these two. {first} {second} Are they paraphrases, yes or no?",
    ),
    paraphrase,
  ),
)
