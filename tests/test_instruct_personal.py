import random

import pytest

from alignjax.instruct.personal import (
  KINDS,
  is_iban,
  luhn,
  mask,
  personal,
  strings,
)

# Text, what is found in it. All are made up; check digits are computed.
HITS = (
  ("Ask ann.lee+x@mail.vale.org.", "e-mail address", "ann.lee+x@mail.vale.org"),
  ("<Ann@Vale.co.uk>", "e-mail address", "Ann@Vale.co.uk"),
  ("mailto:ann@vale.de?x=1", "e-mail address", "ann@vale.de"),
  ("IBAN: DE12 5001 0517 0648 4898 90", "IBAN", "DE12 5001 0517 0648 4898 90"),
  ("to NO9386011117947 now", "IBAN", "NO9386011117947"),
  ("4539 1488 0343 6467", "card number", "4539 1488 0343 6467"),
  ("card 5425233430109903,", "card number", "5425233430109903"),
  ("3742-454554-00126", "card number", "3742-454554-00126"),
  ("SSN 536-90-4399.", "social security number", "536-90-4399"),
  ("host 93.184.216.34, up", "IP address", "93.184.216.34"),
  ("http://93.184.216.34:80/", "IP address", "93.184.216.34"),
  ("2606:4700:4700::1111", "IP address", "2606:4700:4700::1111"),
  ("call 212-664-7665", "telephone number", "212-664-7665"),
  ("call (212) 664-7665.", "telephone number", "(212) 664-7665"),
  ("212.664.7665", "telephone number", "212.664.7665"),
  ("me: +1 212 664 7665", "telephone number", "+1 212 664 7665"),
  ("Ruf +49 (0)30 901820 an", "telephone number", "+49 (0)30 901820"),
  ("Telefon: 030 / 90 18 20", "telephone number", "030 / 90 18 20"),
  ("my phone number is 664 7665", "telephone number", "664 7665"),
)
MISSES = (
  # Of nobody, by standards: RFC 2606, 5737, 3849, 1918; fiction.
  "ann@example.com, bob@mail.example.org, c@host.test, d@example.edu",
  "192.0.2.7 198.51.100.1 203.0.113.9 10.1.2.30 192.168.0.77 127.0.0.1",
  "2001:db8::1 fe80::1 ::1 fd00::12:1",
  "555-867-5309, (212) 555-0142, +1 212 555 0100, 867-5309",
  "+44 7700 900123, phone 020 7946 0123",
  "800-664-7665",
  "4111 1111 1111 1111 and 4242424242424242",
  "GB82 WEST 1234 5698 7654 32",
  "078-05-1120, 123-45-6789",
  "noreply@vale.org, git@github.com:ann/code",
  # A digit of the check is another.
  "DE13 5001 0517 0648 4898 90",
  "4539 1488 0343 6468",
  # No network, no area, no country, no length.
  "9539 1488 0343 6464",
  "666-12-1234, 000-12-1234, 912-34-5678, 536-00-4399, 536-90-0000",
  "123-456-7890, 112-664-7665, 212-011-4999, 911-664-7665",
  "QQ12 5001 0517 0648 4898 90",
  "DE12 5001 0517 0648 4898 9",
  # Numbers and code of other kinds.
  "version 93.184.216.34, v91.42.70.124, Chrome/91.42.70.124, 1.2.3.4",
  "8.8.8.8, 93.184.216.340, 93.184.216.34.5",
  "2023-01-02, 12:34:56, 978-3-16-148410-0, ISBN 9783161484100",
  "3.141592653589793, 1,000,000,000, 0.4539148803436467",
  "de:ad:be:ef:00:01, std::vector, a::b, face::feed",
  "7 + 4912345678 = ?, 3 * +4912345678, 2+4912345678",
  "icon@2x.png, @dataclass, a @ b, user@localhost, x@y",
  "212 664 7665 313 555 2121, 20000000000000000000",
  "tel 1234567, phone: 0000000, +99 999 999 9999",
  "the phone is 5 inches, cell 12, mobile 2023",
  "id 536-90-4399-12, 1212-664-7665, x212-664-7665",
)


@pytest.mark.parametrize(("text", "kind", "part"), HITS)
def test_hits(text, kind, part):
  (hit,) = personal(text)
  assert (hit.kind, text[hit.start : hit.end]) == (kind, part)
  assert hit.shown == mask(part) and kind in KINDS


@pytest.mark.parametrize("text", MISSES)
def test_look_alikes(text):
  assert personal(text) == []


def test_all_of_a_text_in_its_order():
  text = "212-664-7665 or ann@vale.org, 93.184.216.34; again ann@vale.org"
  kinds = [hit.kind for hit in personal(text)]
  assert kinds == [
    "telephone number",
    "e-mail address",
    "IP address",
    "e-mail address",
  ]


def test_masked():
  assert mask("ann@vale.org") == "a**@****.**g"
  assert mask("212-664-7665") == "2**-***-***5"
  draw = random.Random(0)
  for _ in range(200):
    text = "".join(draw.choices("ab12é@.- ", k=draw.randint(0, 12)))
    shown = mask(text)
    assert len(shown) == len(text)
    assert sum(c.isalnum() for c in shown) <= 2
    rest = [c for c in text if not c.isalnum()]
    assert [c for c in shown if not (c.isalnum() or c == "*")] == rest


def test_luhn_by_hand():
  """7992739871: 2·1 + 7 + (1+6) + 9 + (6) + 7 + (4) + 9 + (1+8) + 7 = 67."""
  assert luhn("79927398713")
  assert sum(luhn(f"7992739871{k}") for k in range(10)) == 1


def test_one_digit_changed_is_no_iban_and_no_card():
  """Both checks find every change of one digit."""
  draw = random.Random(1)
  for _ in range(100):
    bban = "".join(draw.choices("0123456789", k=18))
    check = 98 - int(f"{bban}131400") % 97  # DE is 13 14
    number = f"DE{check:02}{bban}"
    assert is_iban(number)
    at = draw.randrange(2, len(number))
    other = str((int(number[at]) + draw.randint(1, 9)) % 10)
    assert not is_iban(number[:at] + other + number[at + 1 :])
    digits = "".join(draw.choices("0123456789", k=15))
    digits += next(d for d in "0123456789" if luhn(digits + d))
    at = draw.randrange(16)
    other = str((int(digits[at]) + draw.randint(1, 9)) % 10)
    assert not luhn(digits[:at] + other + digits[at + 1 :])


def test_long_texts_take_no_time():
  """No pattern runs back over what it has read."""
  for piece in ("a.", "1-", "1 ", "a@", "AB12", "1:", "+1", "(1) ", "phone "):
    assert len(personal(piece * 20_000)) < 20_000


def test_every_text_of_a_row():
  row = {"a": "x", "m": [{"role": "user", "content": "y"}], "n": 1, "o": None}
  assert list(strings(row)) == [
    ("a", "x"),
    ("m[0].role", "user"),
    ("m[0].content", "y"),
  ]
