"""Is a remark positive or negative?"""

from collections.abc import Iterator

from alignjax.data.suite.cluster import Cluster, Instance
from alignjax.data.suite.draw import other

_THINGS = (
  "film",
  "book",
  "hotel",
  "meal",
  "concert",
  "museum",
  "course",
  "tour",
  "play",
  "restaurant",
)

_POSITIVE = (
  "I loved the {x}.",
  "The {x} was wonderful from start to finish.",
  "What a delightful {x}!",
  "The {x} was even better than I had hoped.",
  "I would happily recommend the {x} to anyone.",
  "The {x} made my whole week.",
  "I cannot praise the {x} enough.",
  "The {x} was worth every penny.",
  "Thinking of the {x} still makes me smile.",
  "Everyone in my family adored the {x}.",
  "I had low hopes for the {x}, but it turned out to be superb.",
  "It is hard to find a fault with the {x}.",
  "The {x} was charming, and I want more.",
  "A truly excellent {x}, the best in years.",
  "The {x} was a pleasant surprise.",
  "Five stars for the {x}; it was brilliant.",
  "I was never bored with the {x}, which was a joy.",
  "The {x} was lovely and full of nice touches.",
)

_NEGATIVE = (
  "I hated the {x}.",
  "The {x} was a complete waste of money.",
  "What a dreadful {x}!",
  "The {x} was much worse than I had feared.",
  "I would not recommend the {x} to anyone.",
  "The {x} ruined my whole week.",
  "I cannot think of one good thing to say about the {x}.",
  "The {x} was overpriced and disappointing.",
  "Thinking of the {x} still makes me angry.",
  "Everyone in my family disliked the {x}.",
  "I had high hopes for the {x}, but it turned out to be awful.",
  "It is hard to find anything to like about the {x}.",
  "The {x} was boring, and I want my money back.",
  "A truly terrible {x}, the worst in years.",
  "The {x} was an unpleasant surprise.",
  "One star for the {x}; it was a mess.",
  "I regret that I paid for the {x}, which was dull.",
  "The {x} was poor and full of mistakes.",
)


def sentiment() -> Iterator[Instance]:
  """A remark about a thing; the remark's wording stays in one split."""
  both = (("positive", _POSITIVE), ("negative", _NEGATIVE))
  for gold, remarks in both:
    wrong = other(("positive", "negative"), (gold,))
    for remark in remarks:
      for thing in _THINGS:
        slots = {"text": remark.format(x=thing)}
        yield Instance(remark, slots, (gold,), wrong)


CLUSTERS = (
  Cluster(
    "sentiment",
    "label",
    (
      'Is this review positive or negative? "{text}"',
      "{text}\nDoes the writer feel positive or negative about it?",
      "Label the text as positive or negative.\nText: {text}",
      "Read the comment and answer with one word, positive or negative: {text}",
    ),
    sentiment,
  ),
)
