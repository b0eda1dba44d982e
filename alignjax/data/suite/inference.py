"""Does a second sentence follow from the first?"""

from collections.abc import Iterator

from alignjax.data.suite.cluster import Cluster, Instance
from alignjax.data.suite.draw import other

_NAMES = ("Alice", "Bruno", "Chen", "Diana", "Erik", "Fatima")

# Premise, then what follows, what it rules out, what it leaves open.
_SCENES = (
  (
    "{n} is asleep in bed.",
    "{n} is lying down.",
    "{n} is running a race.",
    "{n} is dreaming about a holiday.",
  ),
  (
    "{n} bought three red apples.",
    "{n} bought some fruit.",
    "{n} bought nothing.",
    "{n} bought the apples for a friend.",
  ),
  (
    "{n} plays the piano in a band.",
    "{n} makes music.",
    "{n} has never touched an instrument.",
    "{n} also plays the drums.",
  ),
  (
    "{n} lives alone in Paris.",
    "{n} lives in France.",
    "{n} shares a flat with two friends.",
    "{n} works as a nurse.",
  ),
  (
    "{n} has two sisters and no brothers.",
    "{n} has siblings.",
    "{n} is an only child.",
    "The sisters of {n} are older.",
  ),
  (
    "{n} is eating soup with a spoon.",
    "{n} is having some food.",
    "{n} is swimming in a lake.",
    "The soup has carrots in it.",
  ),
  (
    "{n} drove to work this morning.",
    "{n} went to work today.",
    "{n} stayed at home all day.",
    "{n} drove a blue car.",
  ),
  (
    "{n} is taller than every classmate.",
    "{n} is the tallest in the class.",
    "{n} is the shortest in the class.",
    "{n} is good at basketball.",
  ),
  (
    "{n} won the chess match.",
    "{n} played chess.",
    "{n} lost the chess match.",
    "{n} plays chess every day.",
  ),
  (
    "{n} is reading a novel on the train.",
    "{n} is on a train.",
    "{n} is at home on the sofa.",
    "The novel is about a detective.",
  ),
  (
    "{n} forgot to bring an umbrella.",
    "{n} did not bring an umbrella.",
    "{n} remembered the umbrella.",
    "{n} got wet in the rain.",
  ),
  (
    "{n} speaks only Spanish.",
    "{n} speaks one language.",
    "{n} speaks fluent Japanese.",
    "{n} was born in Mexico.",
  ),
  (
    "All the windows in the house of {n} are closed.",
    "No window in the house of {n} is open.",
    "The kitchen window in the house of {n} is open.",
    "The house of {n} has ten windows.",
  ),
  (
    "{n} sold the old bicycle yesterday.",
    "{n} had a bicycle.",
    "{n} has never had a bicycle.",
    "{n} sold the bicycle to a neighbour.",
  ),
  (
    "{n} is painting the fence green.",
    "{n} is painting something.",
    "{n} is painting the fence red.",
    "{n} painted the door last week.",
  ),
  (
    "{n} has a dog called Rex and no other pets.",
    "{n} has a pet.",
    "{n} has three cats.",
    "Rex is a brown dog.",
  ),
  (
    "{n} finished the exam before everyone else.",
    "{n} took an exam.",
    "{n} was the last to finish the exam.",
    "{n} got the best mark in the exam.",
  ),
  (
    "{n} works at the bakery from Monday to Friday.",
    "{n} has a job.",
    "{n} does not work on Tuesdays.",
    "{n} enjoys working at the bakery.",
  ),
  (
    "{n} arrived at the party at nine and left at ten.",
    "{n} went to the party.",
    "{n} missed the party.",
    "{n} danced at the party.",
  ),
  (
    "{n} is a parent of twins.",
    "{n} has children.",
    "{n} has no children.",
    "The twins are girls.",
  ),
  (
    "{n} drank a glass of cold milk.",
    "{n} drank something.",
    "The milk was hot.",
    "{n} drank the milk in the kitchen.",
  ),
  (
    "{n} is waiting outside the closed bank.",
    "{n} is not inside the bank.",
    "{n} is inside the bank.",
    "{n} wants to open an account.",
  ),
  (
    "{n} wrote a long letter by hand.",
    "{n} wrote a letter.",
    "The letter was typed on a computer.",
    "The letter was for an old friend.",
  ),
  (
    "{n} is sitting on a bench in the park.",
    "{n} is in the park.",
    "{n} is standing in a lift.",
    "{n} is feeding the birds.",
  ),
)


def inference() -> Iterator[Instance]:
  """Does the second sentence follow? A scene stays in one split."""
  labels = ("yes", "no", "maybe")
  for premise, *hypotheses in _SCENES:
    for name in _NAMES:
      for gold, hypothesis in zip(labels, hypotheses, strict=True):
        slots = {
          "premise": premise.format(n=name),
          "hypothesis": hypothesis.format(n=name),
        }
        wrong = other(labels, (gold,), hypothesis, name)
        yield Instance(premise, slots, (gold,), wrong)


CLUSTERS = (
  Cluster(
    "inference",
    "label",
    (
      "{premise} Does it follow that this is true? {hypothesis} Answer yes, no "
      "or maybe.",
      "Premise: {premise}\nHypothesis: {hypothesis}\nIs the hypothesis true? "
      "Answer yes, no or maybe.",
      "Suppose this is true: {premise} Is this then true as well? "
      "{hypothesis} Say yes, no or maybe.",
    ),
    inference,
  ),
)
