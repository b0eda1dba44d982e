"""The shape of a response: lists, sections, marks, its start and its end."""

import json
import re

from alignjax.evals.instructions.lengths import divided

_OPTIONS = ("My answer is yes.", "My answer is no.", "My answer is maybe.")


def number_placeholders(response: str, *, num_placeholders: int) -> bool:
  """At least so many `[placeholders]`, each within one line."""
  return len(re.findall(r"\[.*?\]", response)) >= num_placeholders


def postscript(response: str, *, postscript_marker: str) -> bool:
  """The marker stands somewhere, in any case, with or without a space."""
  marker = re.escape(postscript_marker.strip()).replace(r"\.", r"\.\s?")
  return re.search(marker, response, re.IGNORECASE) is not None


def number_bullet_lists(response: str, *, num_bullets: int) -> bool:
  """Exactly so many lines that start with one `*` or with `-`."""
  bullets = re.findall(r"^\s*(?:\*[^*]|-).*$", response, re.MULTILINE)
  return len(bullets) == num_bullets


def constrained_response(response: str) -> bool:
  """One of the answers yes, no and maybe stands in its full sentence."""
  return any(option in response for option in _OPTIONS)


def number_highlighted_sections(response: str, *, num_highlights: int) -> bool:
  """At least so many `*highlights*` or `**highlights**` that are not empty."""
  single = re.findall(r"\*([^\n*]*)\*", response)
  double = re.findall(r"\*\*([^\n*]*)\*\*", response)
  return sum(bool(t.strip()) for t in single + double) >= num_highlights


def multiple_sections(
  response: str, *, section_spliter: str, num_sections: int
) -> bool:
  """At least so many times the mark of a section with its number."""
  mark = rf"{re.escape(section_spliter.strip())}\s?\d+"
  return len(re.findall(mark, response)) >= num_sections


def json_format(response: str) -> bool:
  """The whole is one JSON value, in a code fence or not."""
  fence = r"(?:```(?:json)?)?(.*?)(?:```)?"
  inner = re.fullmatch(fence, response.strip(), re.DOTALL | re.IGNORECASE)
  try:
    json.loads(inner[1])
  except (ValueError, RecursionError):
    return False
  return True


def title(response: str) -> bool:
  """A `<<title>>` that is not empty, within one line."""
  titles = re.findall(r"<<([^\n]+)>>", response)
  return any(text.lstrip("<").rstrip(">").strip() for text in titles)


def two_responses(response: str) -> bool:
  """Two answers that differ, divided by `******`."""
  answers = divided(response, "******")
  return len(answers) == 2 and answers[0] != answers[1]


def repeat_prompt(response: str, *, prompt_to_repeat: str) -> bool:
  """The response starts with the request, in any case."""
  start = prompt_to_repeat.strip().lower()
  return response.strip().lower().startswith(start)


def end_checker(response: str, *, end_phrase: str) -> bool:
  """The response ends with the phrase, in any case, in quotes or not."""
  text = response.strip().strip('"').lower()
  return text.endswith(end_phrase.strip().lower())


def quotation(response: str) -> bool:
  """The whole stands in straight double quotation marks."""
  text = response.strip()
  return len(text) > 1 and text[0] == text[-1] == '"'
