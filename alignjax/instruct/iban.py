"""Characters of an IBAN by country, as the registry of ISO 13616 has them."""

_BY_LENGTH = {
  15: "NO",
  16: "BE",
  18: "DK FI FO GL NL",
  19: "MK SI",
  20: "AT BA EE KZ LT LU XK",
  21: "CH CR HR LI LV",
  22: "BG BH DE GB GE IE ME RS",
  23: "AE GI IL IQ",
  24: "AD CZ ES MD PK RO SA SE SK TN VG",
  25: "PT",
  26: "IS TR",
  27: "FR GR IT MC SM",
  28: "AL AZ BY CY DO GT HU LB PL SV",
  29: "BR EG PS QA UA",
  30: "JO KW MU",
  31: "MT SC",
}
LENGTHS = {
  country: n for n, known in _BY_LENGTH.items() for country in known.split()
}
