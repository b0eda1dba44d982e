"""Personal data in texts, by patterns that check what can be checked.

Found: e-mail addresses, IBANs (country, length, ISO 7064 mod 97-10), card
numbers (network, length, Luhn), US social security numbers, public IP
addresses, telephone numbers. A pattern is no proof, and silence is none either:
names, dates of birth and street addresses have nothing that could be checked
and are not looked for.

Not told, for they are nobody's: what standards keep for examples (`reserved`
addresses, RFC 2606, 5737 and 3849; telephone numbers of fiction), test numbers
of card networks, private and special IP addresses, numbers that count up or
repeat a digit, toll-free numbers and senders that nobody reads.
"""

import ipaddress
import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from alignjax.instruct.iban import LENGTHS


class Hit(NamedTuple):
  """What was found, where: text[start:end]; shown masked."""

  kind: str
  start: int
  end: int
  shown: str


def personal(text: str) -> list[Hit]:
  """What a text may tell of somebody, in the order it stands there.

  Where kinds overlap, the first of `PATTERNS` has it.
  """
  found: list[Hit] = []
  for kind, pattern, real in PATTERNS:
    for match in pattern.finditer(text):
      start, end = match.span(1)
      if any(start < h.end and h.start < end for h in found):
        continue
      before = text[max(0, start - 16) : start]
      if real(match[1], before):
        found.append(Hit(kind, start, end, mask(match[1])))
  return sorted(found, key=lambda hit: hit.start)


def mask(text: str) -> str:
  """Letters and digits but the first and the last as `*`."""
  at = [i for i, c in enumerate(text) if c.isalnum()]
  hidden = set(at[1:-1])
  return "".join("*" if i in hidden else c for i, c in enumerate(text))


def _digits(text: str) -> str:
  return re.sub(r"[^0-9]", "", text)


def _made_up(digits: str) -> bool:
  """Whether digits count up, seven or more, or are one or two over and over."""
  run = any(digits[k : k + 7] in "01234567890" for k in range(len(digits) - 6))
  return run or len(set(digits)) < 3


# Top-level domains of RFC 2606 and RFC 6762, and endings of files.
_NO_DOMAINS = frozenset(
  """example test invalid localhost local
  png jpg jpeg gif svg webp css js""".split()
)
_NO_SENDERS = frozenset("git noreply no-reply donotreply do-not-reply".split())


def _is_address(found: str, before: str) -> bool:
  name, _, domain = found.lower().rpartition("@")
  *_, second, top = domain.split(".")
  reserved = top in _NO_DOMAINS
  reserved |= second == "example" and top in ("com", "net", "org", "edu")
  return not reserved and name not in _NO_SENDERS


# Of manuals: no account has them.
_NO_IBANS = ("GB82WEST12345698765432", "DE89370400440532013000")


def _is_iban(found: str, before: str) -> bool:
  return is_iban(found) and found.replace(" ", "") not in _NO_IBANS


def is_iban(found: str) -> bool:
  """Country and length of the registry, and the check of ISO 7064 mod 97-10."""
  plain = found.replace(" ", "")
  if len(plain) != LENGTHS.get(plain[:2]):
    return False
  number = "".join(str(int(c, 36)) for c in plain[4:] + plain[:4])
  return int(number) % 97 == 1


# Numbers that card networks and payment services publish for tests.
_NO_CARDS = frozenset(
  """4111111111111111 4242424242424242 4012888888881881 4000056655665556
  5555555555554444 5105105105105100 2223003122003222 378282246310005
  371449635398431 6011111111111117 6011000990139424 30569309025904
  38520000023237 3530111333300000 3566002020360505""".split()
)
_NETWORKS = re.compile(
  r"4(\d{15}|\d{18})|5[1-5]\d{14}|2(22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d"
  r"|720)\d{12}|3[47]\d{13}|(6011|64[4-9]\d|65\d\d)\d{12}"
  r"|35(2[89]|[3-8]\d)\d{12}|3(0[0-5]|[68]\d)\d{11}"
)


def _is_card(found: str, before: str) -> bool:
  digits = _digits(found)
  known = _NETWORKS.fullmatch(digits) and digits not in _NO_CARDS
  return bool(known) and luhn(digits) and len(set(digits)) > 2


def luhn(digits: str) -> bool:
  """The check of ISO/IEC 7812-1: every second digit from the right doubled."""
  total = 0
  for k, digit in enumerate(reversed(digits)):
    n = int(digit) * (1 + k % 2)
    total += n - 9 if n > 9 else n
  return total % 10 == 0


# Numbers that were printed in advertisements, and a favourite of forms.
_NO_SSNS = ("078-05-1120", "219-09-9999", "123-45-6789")


def _is_ssn(found: str, before: str) -> bool:
  area, group, serial = found.split("-")
  issued = area not in ("000", "666") and area < "900"
  issued &= group != "00" and serial != "0000"
  return issued and found not in _NO_SSNS and len(set(_digits(found))) > 1


# What makes four numbers a version, or a section.
_VERSION = re.compile(
  r"(?i)(\bv|\bver|version|release|build|section|chapter|§|[a-z]/)[ .:]*\Z"
)


def _is_ip(found: str, before: str) -> bool:
  try:
    address = ipaddress.ip_address(found)
  except ValueError:
    return False
  if not address.is_global or address.is_multicast:
    return False
  if address.version == 6:
    # Unicast addresses all begin with 001; other colons are code.
    return address in ipaddress.ip_network("2000::/3")
  # Of four small numbers most are versions; so are the public resolvers'.
  small = all(int(part) <= 20 for part in found.split("."))
  return not small and not _VERSION.search(before)


_FREE = ("800", "833", "844", "855", "866", "877", "888")
# British numbers for drama, after the country's code or 0.
_DRAMA = re.compile(r"(44|0)(7700900|2079460|1632960)\d{3}")


def _is_american(digits: str) -> bool:
  """Area and exchange as the North American plan has them, and not 555."""
  area, exchange = digits[:3], digits[3:6]
  issued = all(c[0] > "1" and c[1:] != "11" for c in (area, exchange))
  return issued and "555" not in (area, exchange) and area not in _FREE


def _is_phone(found: str, before: str) -> bool:
  digits = _digits(found)
  if _made_up(digits) or _DRAMA.fullmatch(digits):
    return False
  if found.startswith("+"):
    # A sum: a number stands before it.
    if re.search(r"[\d=*/^]\s*\Z", before):
      return False
    if digits[0] == "1":
      return len(digits) == 11 and _is_american(digits[1:])
    return 9 <= len(digits) <= 15
  if len(digits) == 11 and digits[0] == "1":
    digits = digits[1:]
  if _PLAN.fullmatch(found):
    return _is_american(digits)
  return 7 <= len(digits) <= 15


_AMERICAN = (
  r"(?:1[-. ])?(?:\(\d{3}\) ?\d{3}[-. ]|\d{3}-\d{3}-|\d{3}\.\d{3}\.)\d{4}"
)
_PLAN = re.compile(_AMERICAN)
_CUE = (
  r"(?i:\b(?:tel|phone|telephone|fax|mobile|cell|whatsapp|telefon|t[ée]l[ée]"
  r"phone|tel[ée]fono|telefono|handy)\b)[.:]?"
  r"(?i:\s?(?:no\b\.?|number|nummer|is|:)){0,2}\s?"
)

Check = Callable[[str, str], bool]
# Kind, a pattern whose first group it is, what else must hold of the text found
# and the one before.
PATTERNS: tuple[tuple[str, re.Pattern, Check], ...] = (
  (
    "e-mail address",
    re.compile(
      r"(?<![\w.%+@-])([A-Za-z0-9_%+-][\w.%+-]{0,63}"
      r"@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24})(?![\w@])"
    ),
    _is_address,
  ),
  (
    "IBAN",
    re.compile(
      r"(?<!\w)([A-Z]{2}\d{2}(?:[A-Z0-9]{11,30}"
      r"|(?: [A-Z0-9]{4}){2,7}(?: [A-Z0-9]{1,3})?))(?!\w)"
    ),
    _is_iban,
  ),
  (
    "card number",
    re.compile(
      r"(?<![\w.,-])(\d{14,19}|\d{4}([ -])\d{4}\2\d{4}\2\d{4}"
      r"|\d{4}([ -])\d{6}\3\d{4,5})(?![\w-]|[.,]\d)"
    ),
    _is_card,
  ),
  (
    "social security number",
    re.compile(r"(?<![\w-])(\d{3}-\d{2}-\d{4})(?![\w-])"),
    _is_ssn,
  ),
  (
    "IP address",
    re.compile(
      r"(?<![\w.:])((?:\d{1,3}\.){3}\d{1,3}(?!\w|\.\d)"
      r"|[23][0-9A-Fa-f]{3}:[0-9A-Fa-f:]{2,34}(?![\w:]))"
    ),
    _is_ip,
  ),
  (
    "telephone number",
    re.compile(r"(?<![\w+.])(\+[1-9](?:[ .()-]{0,2}\d){7,14})(?![\w-]|\.\d)"),
    _is_phone,
  ),
  (
    "telephone number",
    re.compile(rf"(?<![\w+.(-])({_AMERICAN})(?![\w-]|\.\d)"),
    _is_phone,
  ),
  (
    "telephone number",
    re.compile(_CUE + r"(\(?\d(?:[ .()/-]{0,3}\d){6,14})(?![\w-]|\.\d)"),
    _is_phone,
  ),
)
KINDS = tuple(dict.fromkeys(kind for kind, _, _ in PATTERNS))


def strings(value: object, path: str = "") -> Iterator[tuple[str, str]]:
  """(path, text) of every text of a row: `messages[0].content`, say."""
  if isinstance(value, str):
    yield path, value
  elif isinstance(value, dict):
    for key, one in value.items():
      yield from strings(one, f"{path}.{key}" if path else str(key))
  elif isinstance(value, list | tuple):
    for k, one in enumerate(value):
      yield from strings(one, f"{path}[{k}]")
