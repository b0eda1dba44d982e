"""Which language a response is in, of the thirty that IFEval asks for.

The published scores come from langdetect: character n-grams of 55 languages,
drawn at random where it is unsure. Here the script decides, and where languages
share one, the count of their commonest words. On a paragraph the two agree; on
a single sentence they may not, and most of what is undecided then counts as
followed. A language outside the thirty (Dutch, Turkish) is taken for its
nearest neighbour of the same script.
"""

import unicodedata
from collections import Counter

from alignjax.evals.instructions.stopwords import STOPWORDS

# First word of a letter's Unicode name → languages written with it.
_SCRIPTS = {
  "LATIN": ("en", "es", "pt", "fr", "de", "it", "pl", "vi", "fi", "sw"),
  "CYRILLIC": ("ru", "uk", "bg"),
  "DEVANAGARI": ("hi", "mr", "ne"),
  "ARABIC": ("ar", "fa", "ur"),
  "HIRAGANA": ("ja",),
  "HANGUL": ("ko",),
  "HEBREW": ("he",),
  "THAI": ("th",),
  "BENGALI": ("bn",),
  "GUJARATI": ("gu",),
  "GURMUKHI": ("pa",),
  "KANNADA": ("kn",),
  "MALAYALAM": ("ml",),
  "TAMIL": ("ta",),
  "TELUGU": ("te",),
}
LANGUAGES = tuple(sorted(sum(_SCRIPTS.values(), ())))

_WORDS = {code: frozenset(words.split()) for code, words in STOPWORDS.items()}


def languages(text: str) -> frozenset[str]:
  """ISO 639-1 codes of the languages a text may be in: the most of `hits`.

  Ties leave several, and a text without letters leaves all.
  """
  found = hits(text)
  best = max(found.values(), default=0)
  return frozenset(code for code, n in found.items() if n == best)


def hits(text: str) -> dict[str, int]:
  """Of each language a text may be in, how many words are its commonest ones.

  The script of most of its letters decides which may be (kanji are Japanese
  beside kana, and of no language here without); the only one that is written
  with a script counts every word. A text without letters has 0 of all.
  """
  text = unicodedata.normalize("NFC", text.casefold())
  # Vowel signs of Indic scripts are marks (M), and parts of words.
  parts = {c for c in set(text) if unicodedata.category(c)[0] in "LM"}
  scripts: Counter[str] = Counter()
  for c, n in Counter(text).items():
    if c in parts:
      scripts[_script(c)] += n
  if not scripts:
    return dict.fromkeys(LANGUAGES, 0)
  if scripts["HIRAGANA"]:
    scripts["HIRAGANA"] += scripts.pop("CJK", 0)
  codes = _SCRIPTS.get(scripts.most_common(1)[0][0], ())
  words = "".join(c if c in parts else " " for c in text).split()
  if len(codes) == 1:
    return {codes[0]: len(words)}
  return {code: sum(word in _WORDS[code] for word in words) for code in codes}


def _script(letter: str) -> str:
  name = unicodedata.name(letter, "").partition(" ")[0]
  return "HIRAGANA" if name.startswith(("KATAKANA", "HIRAGANA")) else name


def response_language(response: str, *, language: str) -> bool:
  """The response may be in the language: it is among its `languages`.

  Raises:
    ValueError: a language that is not told apart here.
  """
  if language not in LANGUAGES:
    raise ValueError(
      f"language is {language!r}; it must be one of the codes that are told "
      f"apart here: {', '.join(LANGUAGES)}."
    )
  return language in languages(response)


def english_capital(response: str) -> bool:
  """Letters, no small ones, and in English as far as `languages` can tell."""
  return response.isupper() and "en" in languages(response)


def english_lowercase(response: str) -> bool:
  """Letters, no capitals, and in English as far as `languages` can tell."""
  return response.islower() and "en" in languages(response)
