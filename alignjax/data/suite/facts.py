"""Capitals, chemical symbols and what kind of thing a word names.

Answers are separated by "/" in the tables, the usual one first.
"""

from collections.abc import Iterator

from alignjax.data.suite.cluster import Cluster, Instance
from alignjax.data.suite.draw import other, shuffle

# Countries whose capital is disputed, split or about to move are left out.
_CAPITALS = (
  ("Afghanistan", "Kabul"),
  ("Albania", "Tirana"),
  ("Algeria", "Algiers"),
  ("Angola", "Luanda"),
  ("Argentina", "Buenos Aires"),
  ("Armenia", "Yerevan"),
  ("Australia", "Canberra"),
  ("Austria", "Vienna"),
  ("Azerbaijan", "Baku"),
  ("the Bahamas", "Nassau"),
  ("Bangladesh", "Dhaka"),
  ("Belarus", "Minsk"),
  ("Belgium", "Brussels"),
  ("Bhutan", "Thimphu"),
  ("Botswana", "Gaborone"),
  ("Brazil", "Brasilia/Brasília"),
  ("Bulgaria", "Sofia"),
  ("Burkina Faso", "Ouagadougou"),
  ("Cambodia", "Phnom Penh"),
  ("Cameroon", "Yaounde/Yaoundé"),
  ("Canada", "Ottawa"),
  ("Chad", "N'Djamena"),
  ("Chile", "Santiago"),
  ("China", "Beijing"),
  ("Colombia", "Bogota/Bogotá"),
  ("Costa Rica", "San Jose/San José"),
  ("Croatia", "Zagreb"),
  ("Cuba", "Havana"),
  ("Cyprus", "Nicosia"),
  ("Denmark", "Copenhagen"),
  ("the Dominican Republic", "Santo Domingo"),
  ("Ecuador", "Quito"),
  ("Egypt", "Cairo"),
  ("El Salvador", "San Salvador"),
  ("Eritrea", "Asmara"),
  ("Estonia", "Tallinn"),
  ("Ethiopia", "Addis Ababa"),
  ("Fiji", "Suva"),
  ("Finland", "Helsinki"),
  ("France", "Paris"),
  ("Gabon", "Libreville"),
  ("Germany", "Berlin"),
  ("Ghana", "Accra"),
  ("Greece", "Athens"),
  ("Guyana", "Georgetown"),
  ("Haiti", "Port-au-Prince"),
  ("Honduras", "Tegucigalpa"),
  ("Hungary", "Budapest"),
  ("Iceland", "Reykjavik/Reykjavík"),
  ("India", "New Delhi"),
  ("Iran", "Tehran"),
  ("Iraq", "Baghdad"),
  ("Ireland", "Dublin"),
  ("Italy", "Rome"),
  ("Jamaica", "Kingston"),
  ("Japan", "Tokyo"),
  ("Jordan", "Amman"),
  ("Kenya", "Nairobi"),
  ("Kyrgyzstan", "Bishkek"),
  ("Laos", "Vientiane"),
  ("Latvia", "Riga"),
  ("Lebanon", "Beirut"),
  ("Liberia", "Monrovia"),
  ("Libya", "Tripoli"),
  ("Lithuania", "Vilnius"),
  ("Madagascar", "Antananarivo"),
  ("Malawi", "Lilongwe"),
  ("Mali", "Bamako"),
  ("Malta", "Valletta"),
  ("Mauritania", "Nouakchott"),
  ("Moldova", "Chisinau/Chișinău"),
  ("Mongolia", "Ulaanbaatar/Ulan Bator"),
  ("Morocco", "Rabat"),
  ("Mozambique", "Maputo"),
  ("Namibia", "Windhoek"),
  ("Nepal", "Kathmandu"),
  ("New Zealand", "Wellington"),
  ("Nicaragua", "Managua"),
  ("Niger", "Niamey"),
  ("Nigeria", "Abuja"),
  ("North Korea", "Pyongyang"),
  ("Norway", "Oslo"),
  ("Oman", "Muscat"),
  ("Pakistan", "Islamabad"),
  ("Papua New Guinea", "Port Moresby"),
  ("Paraguay", "Asuncion/Asunción"),
  ("Peru", "Lima"),
  ("the Philippines", "Manila"),
  ("Poland", "Warsaw"),
  ("Portugal", "Lisbon"),
  ("Qatar", "Doha"),
  ("Romania", "Bucharest"),
  ("Russia", "Moscow"),
  ("Rwanda", "Kigali"),
  ("Saudi Arabia", "Riyadh"),
  ("Senegal", "Dakar"),
  ("Serbia", "Belgrade"),
  ("Sierra Leone", "Freetown"),
  ("Slovakia", "Bratislava"),
  ("Slovenia", "Ljubljana"),
  ("Somalia", "Mogadishu"),
  ("South Korea", "Seoul"),
  ("Spain", "Madrid"),
  ("Sudan", "Khartoum"),
  ("Suriname", "Paramaribo"),
  ("Sweden", "Stockholm"),
  ("Switzerland", "Bern/Berne"),
  ("Syria", "Damascus"),
  ("Tajikistan", "Dushanbe"),
  ("Thailand", "Bangkok"),
  ("Togo", "Lome/Lomé"),
  ("Tunisia", "Tunis"),
  ("Turkey", "Ankara"),
  ("Turkmenistan", "Ashgabat"),
  ("Uganda", "Kampala"),
  ("Ukraine", "Kyiv/Kiev"),
  ("the United Kingdom", "London"),
  ("the United States", "Washington, D.C./Washington/Washington DC"),
  ("Uruguay", "Montevideo"),
  ("Uzbekistan", "Tashkent"),
  ("Venezuela", "Caracas"),
  ("Vietnam", "Hanoi"),
  ("Zambia", "Lusaka"),
  ("Zimbabwe", "Harare"),
)

# Atomic numbers 1 to 103, in order.
_ELEMENTS = tuple(
  pair.split("=")
  for pair in (
    "hydrogen=H helium=He lithium=Li beryllium=Be boron=B carbon=C nitrogen=N "
    "oxygen=O fluorine=F neon=Ne sodium=Na magnesium=Mg aluminium=Al "
    "silicon=Si phosphorus=P sulfur=S chlorine=Cl argon=Ar potassium=K "
    "calcium=Ca scandium=Sc titanium=Ti vanadium=V chromium=Cr manganese=Mn "
    "iron=Fe cobalt=Co nickel=Ni copper=Cu zinc=Zn gallium=Ga germanium=Ge "
    "arsenic=As selenium=Se bromine=Br krypton=Kr rubidium=Rb strontium=Sr "
    "yttrium=Y zirconium=Zr niobium=Nb molybdenum=Mo technetium=Tc "
    "ruthenium=Ru rhodium=Rh palladium=Pd silver=Ag cadmium=Cd indium=In "
    "tin=Sn antimony=Sb tellurium=Te iodine=I xenon=Xe caesium=Cs barium=Ba "
    "lanthanum=La cerium=Ce praseodymium=Pr neodymium=Nd promethium=Pm "
    "samarium=Sm europium=Eu gadolinium=Gd terbium=Tb dysprosium=Dy "
    "holmium=Ho erbium=Er thulium=Tm ytterbium=Yb lutetium=Lu hafnium=Hf "
    "tantalum=Ta tungsten=W rhenium=Re osmium=Os iridium=Ir platinum=Pt "
    "gold=Au mercury=Hg thallium=Tl lead=Pb bismuth=Bi polonium=Po "
    "astatine=At radon=Rn francium=Fr radium=Ra actinium=Ac thorium=Th "
    "protactinium=Pa uranium=U neptunium=Np plutonium=Pu americium=Am "
    "curium=Cm berkelium=Bk californium=Cf einsteinium=Es fermium=Fm "
    "mendelevium=Md nobelium=No lawrencium=Lr"
  ).split()
)

_KINDS = {
  "animal": "dog cat horse cow lion tiger rabbit sheep goat wolf bear monkey",
  "fruit": "apple banana pear grape mango melon pineapple raspberry blueberry",
  "tool": "hammer saw drill screwdriver wrench pliers chisel spanner shovel",
  "vehicle": "car bus train bicycle lorry tram van motorcycle truck scooter",
  "instrument": "piano violin guitar flute trumpet drum cello clarinet oboe",
  "clothing": "shirt trousers skirt coat jacket sock scarf jumper dress glove",
  "furniture": "chair table sofa bed desk wardrobe bookcase armchair stool",
  "sport": "football tennis hockey rugby skiing golf baseball basketball judo",
  "colour": "red blue green yellow black white purple brown grey pink",
  "drink": "water milk tea coffee juice lemonade wine beer cocoa cola",
}


def capitals() -> Iterator[Instance]:
  """Country to capital."""
  cities = [city.split("/")[0] for _, city in _CAPITALS]
  for country, city in _CAPITALS:
    golds = tuple(city.split("/"))
    wrong = other(cities, golds, country)
    yield Instance(country, {"country": country}, golds, wrong)


def elements() -> Iterator[Instance]:
  """Element to chemical symbol."""
  symbols = [symbol for _, symbol in _ELEMENTS]
  for name, symbol in _ELEMENTS:
    wrong = other(symbols, (symbol,), name)
    yield Instance(f"symbol of {name}", {"name": name}, (symbol,), wrong)


def categories() -> Iterator[Instance]:
  """Word to kind, out of three kinds."""
  for kind, members in _KINDS.items():
    for word in members.split():
      rest = [name for name in _KINDS if name != kind]
      wrong, spare = shuffle(rest, word)[:2]
      options = ", ".join(shuffle((kind, wrong, spare), word, "options"))
      slots = {"word": word, "options": options}
      yield Instance(f"kind of {word}", slots, (kind,), wrong)


CLUSTERS = (
  Cluster(
    "capitals",
    "contains",
    (
      "What is the capital of {country}?",
      "Name the capital city of {country}.",
      "Which city is the capital of {country}?",
      "I forgot the capital of {country}. Can you tell me?",
    ),
    capitals,
  ),
  Cluster(
    "elements",
    "exact_match",
    (
      "What is the chemical symbol for {name}? Give only the symbol.",
      "Write the symbol of the element {name} and nothing else.",
      "In the periodic table, which symbol stands for {name}? Reply with the "
      "symbol alone.",
    ),
    elements,
  ),
  Cluster(
    "categories",
    "exact_match",
    (
      'Which group does "{word}" belong to? Choose one: {options}.',
      "Word: {word}\nGroups: {options}\nAnswer with the right group.",
      'Pick the one label that fits "{word}" from this list: {options}.',
    ),
    categories,
  ),
)
