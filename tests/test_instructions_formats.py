"""Each of the 25 instructions on responses that follow it and that do not."""

import pytest

from alignjax.evals import instructions

FENCE = "```"

# id, kwargs, responses that follow, responses that do not.
CASES = [
  (
    "keywords:existence",
    {"keywords": ["sun", "sea"]},
    ["Sea and SUN.", "A sunny seaside."],
    ["Only the sun.", "s.u.n sea"],
  ),
  (
    "keywords:frequency",
    {"keyword": "rain", "frequency": 2, "relation": "at least"},
    ["Rain, rain.", "A rainy train"],
    ["Rain."],
  ),
  (
    "keywords:frequency",
    {"keyword": "rain", "frequency": 2, "relation": "less than"},
    ["Rain.", "Snow."],
    ["Rain, rain."],
  ),
  (
    "keywords:forbidden_words",
    {"forbidden_words": ["rock", "a.b"]},
    ["A rocky road.", "axb"],
    ["ROCK, they say.", "rock", "the a.b"],
  ),
  (
    "keywords:letter_frequency",
    {"letter": "T", "let_frequency": 3, "let_relation": "at least"},
    ["That is it"],
    ["That is"],
  ),
  (
    "keywords:letter_frequency",
    {"letter": "#", "let_frequency": 2, "let_relation": "less than"},
    ["#one"],
    ["#one #two"],
  ),
  (
    "language:response_language",
    {"language": "kn"},
    ["ನೀರು ತಣ್ಣಗಿದೆ."],
    ["The water is cold.", "నీరు చల్లగా ఉంది."],
  ),
  (
    "length_constraints:number_sentences",
    {"relation": "at least", "num_sentences": 3},
    ["One. Two! three?", "He said “no.” (So be it.) And left"],
    ["Dr. J. Smith came at 5 p.m. on Monday. He left.", "a\n\nb\n\nc"],
  ),
  (
    "length_constraints:number_paragraphs",
    {"num_paragraphs": 2},
    ["one\n***\ntwo", "***\none\n\nstill one\n***\ntwo\n***"],
    ["one\n\ntwo", "one\n***\ntwo\n***\nthree", "one\n***\n\n***\ntwo"],
  ),
  (
    "length_constraints:number_words",
    {"relation": "less than", "num_words": 4},
    ["one two-three"],
    ["It's one two", "one two three four"],
  ),
  (
    "length_constraints:nth_paragraph_first_word",
    {"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "Weekend"},
    ["Well.\n\nweekend, at last", 'Well.\n\n"Weekend" is a word.'],
    [
      "Weekend.\n\nWell",
      "Well.\n\nThe weekend",
      "Well.\nWeekend",
      "Well.\n\nWeekend.\n\nMore",
      "Well.\n\nWeekends",
      "Well.\n\n\n\nWeekend",
    ],
  ),
  (
    "detectable_content:number_placeholders",
    {"num_placeholders": 2},
    ["[name], [the address]", "[a][b] [c]"],
    ["[name]", "[name [address\n]"],
  ),
  (
    "detectable_content:postscript",
    {"postscript_marker": "P.S."},
    ["Bye.\nP.S. I am late.", "Bye. p. s. late"],
    ["Bye. PS late", "Bye. P.S"],
  ),
  (
    "detectable_content:postscript",
    {"postscript_marker": "P.P.S"},
    ["Bye.\nP.P.S I am late.", "Bye.\nP. P. S. late"],
    ["Bye.\nP.S. I am late."],
  ),
  (
    "detectable_format:number_bullet_lists",
    {"num_bullets": 2},
    ["* one\n* two", "List:\n\n  - one\n- two\n**bold** line"],
    ["* one", "* one\n* two\n- three", "one * two * three"],
  ),
  (
    "detectable_format:constrained_response",
    {},
    ["My answer is yes.", "Well. My answer is maybe."],
    ["Yes.", "My answer is yes", "my answer is no."],
  ),
  (
    "detectable_format:number_highlighted_sections",
    {"num_highlights": 2},
    ["*one* and *two*", "**one** and *two*"],
    ["*one*", "**one**", "** ** and *one*", "*a\nb* *c*"],
  ),
  (
    "detectable_format:multiple_sections",
    {"section_spliter": "SECTION", "num_sections": 2},
    ["SECTION 1\na\nSECTION 2\nb", "SECTION1 a SECTION2 b SECTION 3"],
    ["SECTION 1\na", "Section 1\na\nSection 2", "SECTION A\nSECTION B"],
  ),
  (
    "detectable_format:json_format",
    {},
    [
      '{"a": [1]}',
      f'{FENCE}json\n{{"a": 1}}\n{FENCE}',
      f"{FENCE}\n[]\n{FENCE}",
    ],
    ["{a: 1}", 'Here: {"a": 1}', "[" * 100_000],
  ),
  (
    "detectable_format:title",
    {},
    ["<<A poem>>\nRoses", "Roses << joy >>"],
    ["<A poem>", "<< >>", "<<A\npoem>>"],
  ),
  (
    "combination:two_responses",
    {},
    ["one\n******\ntwo", "******\none\n******\ntwo\n******"],
    ["one", "one\n******\n one", "a******b******c", "a************b"],
  ),
  (
    "combination:repeat_prompt",
    {"prompt_to_repeat": "Write a poem. "},
    ["Write a poem.\nRoses", " WRITE A POEM. Roses"],
    ["Sure. Write a poem.", "Write a  poem."],
  ),
  (
    "startend:end_checker",
    {"end_phrase": "Any questions? "},
    ["No. Any questions?", '"No. any questions?" '],
    ["Any questions? No.", "Any questions"],
  ),
  (
    "startend:quotation",
    {},
    ['"All of it."', ' "a" and "b"\n'],
    ['"', '"Open', "'All'", "“All”"],
  ),
  (
    "change_case:capital_word_frequency",
    {"capital_relation": "at least", "capital_frequency": 3},
    ["The U.S. and A4 and I", "IT'S ODD", "CANNOT, **NASA-ESA**"],
    ["NASA-ESA AND/OR small", "NASA Esa 5 I"],
  ),
  (
    "change_case:english_capital",
    {},
    ["THE SUN IS UP, AND IT IS 5."],
    ["THE SUN IS Up.", "DIE SONNE IST NICHT DA.", "5!"],
  ),
  (
    "change_case:english_lowercase",
    {},
    ["the sun is up, and it is 5."],
    ["The sun is up.", "le soleil est dans la mer.", "5!"],
  ),
  ("punctuation:no_comma", {}, ["One; two."], ["One, two.", "1,000"]),
]


def test_every_instruction_has_a_case():
  assert len(instructions.ids()) == 25
  assert {case[0] for case in CASES} == set(instructions.ids())


@pytest.mark.parametrize("name, kwargs, right, wrong", CASES)
def test_cases(name, kwargs, right, wrong):
  def follows(text):
    return instructions.follows(name, kwargs, "Please.", text)

  assert [text for text in right if not follows(text)] == []
  assert [text for text in wrong if follows(text)] == []
  assert not follows("") and not follows(" \n")
