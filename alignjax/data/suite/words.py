"""Opposites, plurals, past tenses and rhymes."""

from collections.abc import Iterator

from alignjax.data.suite.cluster import Cluster, Instance
from alignjax.data.suite.draw import other, pick, shuffle

# Pairs that are each other's first opposite; asked in both directions.
_OPPOSITES = tuple(
  pair.split("=")
  for pair in (
    "hot=cold up=down day=night black=white open=closed full=empty wet=dry "
    "happy=sad fast=slow rich=poor strong=weak early=late clean=dirty "
    "inside=outside above=below near=far high=low deep=shallow thick=thin "
    "wide=narrow heavy=light hard=soft loud=quiet sweet=bitter rough=smooth "
    "sharp=blunt bright=dim tight=loose win=lose buy=sell push=pull "
    "remember=forget arrive=depart accept=reject love=hate laugh=cry "
    "increase=decrease begin=end before=after always=never more=less "
    "first=last left=right north=south east=west summer=winter friend=enemy "
    "question=answer victory=defeat success=failure profit=loss buyer=seller "
    "true=false alive=dead asleep=awake guilty=innocent cheap=expensive "
    "ancient=modern brave=cowardly generous=stingy polite=rude "
    "simple=complicated safe=dangerous visible=invisible possible=impossible "
    "maximum=minimum entrance=exit positive=negative odd=even export=import "
    "superior=inferior optimist=pessimist majority=minority internal=external "
    "temporary=permanent public=private war=peace"
  ).split()
)

# Second meanings and synonyms that are right as well.
_ALSO = {
  "accept": ("refuse", "decline"),
  "alive": ("deceased",),
  "ancient": ("new", "recent"),
  "arrive": ("leave",),
  "begin": ("finish", "stop"),
  "bright": ("dark", "dull"),
  "buyer": ("vendor",),
  "cheap": ("dear", "costly"),
  "cold": ("warm",),
  "dangerous": ("harmless",),
  "deep": ("superficial",),
  "end": ("start", "beginning"),
  "enemy": ("ally",),
  "expensive": ("inexpensive",),
  "far": ("close",),
  "fast": ("sluggish",),
  "generous": ("mean", "selfish", "greedy"),
  "hard": ("easy",),
  "heavy": ("lightweight",),
  "increase": ("reduce", "reduction"),
  "light": ("dark",),
  "loss": ("gain", "win", "victory"),
  "love": ("hatred",),
  "more": ("fewer",),
  "open": ("close", "shut"),
  "polite": ("impolite",),
  "question": ("reply",),
  "quiet": ("noisy",),
  "right": ("wrong",),
  "rough": ("gentle",),
  "rude": ("kind",),
  "sad": ("glad", "joyful"),
  "safe": ("unsafe",),
  "sharp": ("dull",),
  "simple": ("complex", "difficult"),
  "soft": ("rough", "loud"),
  "sweet": ("sour",),
  "thick": ("slim",),
  "true": ("wrong",),
  "victory": ("loss",),
  "weak": ("powerful",),
}

_PLURALS = tuple(
  pair.split("=")
  for pair in (
    "child=children man=men woman=women mouse=mice goose=geese tooth=teeth "
    "foot=feet ox=oxen person=people/persons leaf=leaves knife=knives "
    "wife=wives life=lives wolf=wolves shelf=shelves half=halves calf=calves "
    "loaf=loaves thief=thieves sheep=sheep deer=deer series=series "
    "species=species crisis=crises analysis=analyses basis=bases "
    "thesis=theses bacterium=bacteria  city=cities baby=babies lady=ladies "
    "story=stories party=parties  country=countries family=families "
    "puppy=puppies cherry=cherries  berry=berries fly=flies "
    "butterfly=butterflies library=libraries  army=armies enemy=enemies "
    "monkey=monkeys donkey=donkeys key=keys  valley=valleys toy=toys boy=boys "
    "box=boxes fox=foxes bus=buses/busses  class=classes glass=glasses "
    "dress=dresses church=churches watch=watches  match=matches bench=benches "
    "branch=branches brush=brushes dish=dishes  wish=wishes bush=bushes "
    "potato=potatoes tomato=tomatoes hero=heroes  piano=pianos photo=photos "
    "radio=radios zoo=zoos roof=roofs  chef=chefs cliff=cliffs cat=cats "
    "dog=dogs house=houses horse=horses  tree=trees book=books river=rivers "
    "apple=apples bridge=bridges  orange=oranges prize=prizes garden=gardens "
    "teacher=teachers  window=windows policeman=policemen postman=postmen "
    "grandchild=grandchildren tax=taxes lunch=lunches beach=beaches "
    "witness=witnesses boss=bosses"
  ).split()
)

# Verbs with one common past tense in British and American English.
_PASTS = tuple(
  pair.split("=")
  for pair in (
    "go=went see=saw eat=ate drink=drank give=gave take=took come=came "
    "run=ran sing=sang swim=swam begin=began ring=rang write=wrote ride=rode "
    "drive=drove rise=rose break=broke speak=spoke steal=stole choose=chose "
    "freeze=froze wear=wore bear=bore tear=tore know=knew grow=grew "
    "throw=threw blow=blew fly=flew draw=drew buy=bought bring=brought "
    "think=thought catch=caught teach=taught fight=fought seek=sought "
    "feel=felt keep=kept sleep=slept sweep=swept weep=wept leave=left "
    "lose=lost meet=met feed=fed lead=led bleed=bled hold=held sell=sold "
    "tell=told stand=stood understand=understood find=found bind=bound "
    "hear=heard make=made say=said pay=paid send=sent spend=spent lend=lent "
    "bend=bent build=built win=won sit=sat have=had do=did forget=forgot "
    "get=got shoot=shot become=became hide=hid bite=bit fall=fell shake=shook "
    "mistake=mistook swear=swore stick=stuck dig=dug  strike=struck "
    "swing=swung cut=cut put=put hit=hit hurt=hurt shut=shut  let=let set=set "
    "walk=walked play=played stop=stopped  carry=carried study=studied "
    "try=tried plan=planned open=opened  like=liked dance=danced cry=cried "
    "jump=jumped hope=hoped answer=answered  travel=travelled/traveled "
    "visit=visited"
  ).split()
)

# The words of a line rhyme with each other and with no other line.
_RHYMES = tuple(
  line.split()
  for line in """
cat hat mat bat rat
dog log fog frog
sun run fun gun bun
tree bee sea knee tea
night light kite bite white
day play way clay stay
house mouse blouse
moon spoon soon noon tune
star car far jar
ring king sing wing string
cake lake snake bake
boat coat goat note vote
bell shell well smell
nose rose hose
rain train plane chain brain
ball tall wall small
bed red head bread
fish dish wish
duck luck truck
hill mill pill till
book cook look hook
pot hot dot knot
shoe two glue zoo
bear chair hair pear
sock rock clock lock
ship lip chip trip
shop top drop hop
gold old cold hold
face race place space
ice mice rice price
""".strip().splitlines()
)


def opposites() -> Iterator[Instance]:
  """Word to opposite, both ways; a pair stays in one split."""
  vocabulary = [word for pair in _OPPOSITES for word in pair]
  for pair in _OPPOSITES:
    key = "opposites " + " ".join(pair)
    for word, opposite in (pair, pair[::-1]):
      golds = (opposite, *_ALSO.get(word, ()))
      wrong = other(vocabulary, (word, *golds), word)
      yield Instance(key, {"word": word}, golds, wrong)


def plurals() -> Iterator[Instance]:
  """Noun to plural; wrong is the other regular ending."""
  for noun, plural in _PLURALS:
    golds = tuple(plural.split("/"))
    wrong = other((noun + "s", noun + "es"), golds, noun)
    yield Instance(f"plural of {noun}", {"word": noun}, golds, wrong)


def pasts() -> Iterator[Instance]:
  """Verb to past tense; wrong is the naive ending or no change."""
  for verb, past in _PASTS:
    golds = tuple(past.split("/"))
    regular = verb + ("d" if verb.endswith("e") else "ed")
    wrong = other((regular, verb), golds, verb)
    yield Instance(f"past of {verb}", {"word": verb}, golds, wrong)


def rhymes() -> Iterator[Instance]:
  """The one of three words that rhymes with another."""
  for index, family in enumerate(_RHYMES):
    strangers = [w for line in _RHYMES if line is not family for w in line]
    for word in family:
      gold = pick([w for w in family if w != word], word, "gold")
      wrong = pick(strangers, word, "wrong")
      spare = other(strangers, (wrong,), word, "spare")
      options = ", ".join(shuffle((gold, wrong, spare), word, "options"))
      slots = {"word": word, "options": options}
      yield Instance(f"rhymes {index}", slots, (gold,), wrong)


CLUSTERS = (
  Cluster(
    "opposites",
    "exact_match",
    (
      'What is the opposite of "{word}"? Answer with one word.',
      "Give one word that means the opposite of {word}.",
      "Word: {word}\nOpposite:",
      "In a single word, name the antonym of {word}.",
    ),
    opposites,
  ),
  Cluster(
    "plurals",
    "exact_match",
    (
      'What is the plural of "{word}"? Answer with one word.',
      "Give only the plural form of the noun {word}.",
      "One {word}, two what? Reply with the plural only.",
    ),
    plurals,
  ),
  Cluster(
    "past_tense",
    "exact_match",
    (
      'What is the past tense of "{word}"? Answer with one word.',
      'Give the simple past of the verb "{word}" and nothing else.',
      "Verb: {word}\nSimple past:",
      'Put the verb "{word}" into the simple past. Write one word.',
    ),
    pasts,
  ),
  Cluster(
    "rhymes",
    "exact_match",
    (
      'Which of these words rhymes with "{word}": {options}? Answer with one '
      "word.",
      "Find the rhyme for {word}. Options: {options}. Write only the rhyme.",
      "I need a word that sounds like {word} at the end. Pick one of {options} "
      "and write nothing else.",
    ),
    rhymes,
  ),
)
