"""Verifiable instructions: rows, variants, languages, sentences, errors."""

import re

import pytest

from alignjax.evals import instructions
from alignjax.evals.instructions.language import LANGUAGES, languages
from alignjax.evals.instructions.sentences import count_sentences
from alignjax.evals.instructions.stopwords import STOPWORDS

# One thought in each language: water, cold, children, home, and the like.
SPOKEN = {
  "en": "The water in the river is cold, and we are going home with her.",
  "es": "El agua del río está muy fría y los niños no van a la casa con ella.",
  "pt": "A água do rio é fria e os meninos não vão para a casa com ele.",
  "fr": "L'eau de la rivière est froide et les enfants ne sont pas dans l'eau.",
  "de": "Das Wasser im Fluss ist kalt, und wir gehen nicht mit den Kindern.",
  "it": "L'acqua del fiume è fredda e i bambini non sono nella casa con lui.",
  "pl": "Woda w rzece jest zimna i dzieci nie są w domu, ale to dla niego.",
  "vi": "Nước ở sông rất lạnh và các em không được vào nhà của tôi.",
  "fi": "Vesi on kylmää, ja lapset eivät ole kotona, mutta hän on myös siellä.",
  "sw": "Maji ya mto ni baridi sana na watoto wa kijiji hawako katika nyumba.",
  "ru": "Вода в реке холодная, и дети не идут домой, но это не так для меня.",
  "uk": "Вода у річці холодна, і діти не йдуть додому, але це так для нього.",
  "bg": "Водата в реката е студена и децата не са у дома, но това е за тях.",
  "hi": "नदी का पानी बहुत ठंडा है और बच्चे घर में नहीं हैं।",
  "mr": "नदीचे पाणी थंड आहे आणि मुले घरी नाही, पण ते येत असतात.",
  "ne": "खोलाको पानी धेरै चिसो छ र केटाकेटी घर मा छैन भने हुन्छ।",
  "ar": "الماء في النهر بارد و الأطفال ليس في البيت مع هذا الرجل.",
  "fa": "آب رودخانه سرد است و بچه ها در خانه نیستند اما این برای ما خوب است.",
  "ur": "دریا کا پانی بہت ٹھنڈا ہے اور بچے گھر میں نہیں ہیں۔",
  "ja": "川の水は冷たいので、子供たちは家にいます。",
  "ko": "강물이 차갑고 아이들은 집에 없습니다.",
  "he": "המים בנהר קרים והילדים אינם בבית.",
  "th": "น้ำในแม่น้ำเย็นและเด็ก ๆ ไม่อยู่บ้าน",
  "bn": "নদীর জল ঠান্ডা এবং বাচ্চারা বাড়িতে নেই।",
  "gu": "નદીનું પાણી ઠંડું છે અને બાળકો ઘરે નથી.",
  "pa": "ਨਦੀ ਦਾ ਪਾਣੀ ਠੰਡਾ ਹੈ ਅਤੇ ਬੱਚੇ ਘਰ ਨਹੀਂ ਹਨ।",
  "kn": "ನದಿಯ ನೀರು ತಣ್ಣಗಿದೆ ಮತ್ತು ಮಕ್ಕಳು ಮನೆಯಲ್ಲಿಲ್ಲ.",
  "ml": "നദിയിലെ വെള്ളം തണുത്തതാണ്, കുട്ടികൾ വീട്ടിലില്ല.",
  "ta": "ஆற்றின் நீர் குளிராக உள்ளது, குழந்தைகள் வீட்டில் இல்லை.",
  "te": "నది నీరు చల్లగా ఉంది, పిల్లలు ఇంట్లో లేరు.",
}

ROW = {
  "key": 1,
  "prompt": "Answer in a title, without commas, in 3 or more words.",
  "instruction_id_list": [
    "detectable_format:title",
    "punctuation:no_comma",
    "length_constraints:number_words",
  ],
  # As in the copies that list all the keys.
  "kwargs": [
    {"num_words": None, "relation": None},
    {"num_words": None, "relation": None},
    {"num_words": 3.0, "relation": "at least"},
  ],
}


@pytest.mark.parametrize("code", LANGUAGES)
def test_languages_are_told_apart(code):
  assert languages(SPOKEN[code]) == {code}
  assert languages(SPOKEN[code].upper()) == {code}


def test_undecided_languages():
  assert languages("1, 2! 🙂") == set(LANGUAGES)
  assert {"en", "de"} < languages("Zzz")
  assert "ru" not in languages("Zzz")
  assert languages("我们没有水") == set()
  assert languages("ὕδωρ") == set()


def test_the_lists_of_small_words_are_of_a_length():
  for words in STOPWORDS.values():
    assert 36 <= len(set(words.split())) == len(words.split()) <= 46


@pytest.mark.parametrize(
  "text, count",
  [
    ("", 0),
    ("No end", 1),
    ("One. two", 2),
    ("Wait?! Really... No.", 3),
    ("well... then... Stop", 2),
    ("Mr. A. Poe of the U.S. Navy saw 3.50 vs. 4. He left.", 2),
    ("1. Do this.\n2. Do that.", 4),
    ("Title\n\nText without end\n\n**Bold.** More", 2),
  ],
)
def test_sentences_are_counted(text, count):
  assert count_sentences(text) == count


def test_eight_variants_of_a_response():
  assert instructions.variants("Sure:\n\n**a** b\n\nBye") == [
    "Sure:\n\n**a** b\n\nBye",
    "**a** b\n\nBye",
    "Sure:\n\n**a** b",
    "**a** b",
    "Sure:\n\na b\n\nBye",
    "a b\n\nBye",
    "Sure:\n\na b",
    "a b",
  ]


def test_a_row_is_judged_strictly_and_loosely():
  text = "Sure, here:\n<<a title>> b"
  assert instructions.strict(ROW, text) == [True, False, True]
  assert instructions.loose(ROW, text) == [True, True, True]
  assert instructions.strict(ROW, "") == [False] * 3
  # Without its only line nothing is left, which follows nothing.
  assert instructions.loose(ROW, "a, b") == [False] * 3


@pytest.mark.parametrize(
  "text",
  ["", "*", "\n\n", "a\nb, c\n<<*d*>>", "<<a>>, b c", "one\n\n*two*\n\nthree"],
)
def test_the_loose_score_is_no_lower(text):
  variants = instructions.variants(text)
  assert len(variants) == 8 and variants[0] == text
  pairs = zip(instructions.strict(ROW, text), instructions.loose(ROW, text))
  assert all(loose or not strict for strict, loose in pairs)


@pytest.mark.parametrize(
  "name, kwargs, message",
  [
    ("keywords:exist", {}, "'keywords:exist'; it must be one of\nkeywords:exi"),
    ("keywords:existence", {"keywords": None}, "{}; they must be keywords"),
    ("keywords:existence", {"keywords": "sun"}, "'sun'; it must be of type li"),
    ("punctuation:no_comma", {"letter": "a"}, "must be empty"),
    (
      "length_constraints:number_words",
      {"num_words": 3.5, "relation": "at least"},
      "number_words: num_words is 3.5; it must be of type int",
    ),
    (
      "length_constraints:number_words",
      {"num_words": 3, "relation": "at most"},
      "'at most'; it must be one of at least, less than",
    ),
    (
      "keywords:letter_frequency",
      {"letter": "ab", "let_frequency": 1, "let_relation": "at least"},
      "letter is 'ab'; it must be one character",
    ),
    ("language:response_language", {"language": "xx"}, "'xx'.*ar, bg, bn"),
    (
      "length_constraints:nth_paragraph_first_word",
      {"num_paragraphs": 2, "nth_paragraph": 3, "first_word": "a"},
      "nth_paragraph is 3; it must be between 1 and num_paragraphs = 2",
    ),
  ],
)
def test_what_is_asked_must_make_sense(name, kwargs, message):
  with pytest.raises(ValueError, match=message):
    instructions.follows(name, kwargs, "Please.", "A response.")


def test_rows_of_another_layout():
  with pytest.raises(ValueError, match="has no instruction_id_list, kwargs"):
    instructions.strict({"prompt": "Please."}, "Yes.")
  with pytest.raises(ValueError, match="3 instructions and 2 kwargs"):
    instructions.loose({**ROW, "kwargs": ROW["kwargs"][:2]}, "Yes.")


def test_names_are_those_of_the_published_rows():
  for name in instructions.ids():
    assert re.fullmatch(r"[a-z_]+:[a-z_]+", name)
