"""How many rows of each data set a mixture has, and which; written to a file.

Examples-proportional mixing: data set i, of n_i rows, has the rate

  r_i = w_i / Σ_j w_j,  w_i = min(n_i, K)^(1/T)

with an artificial limit K on sizes and a temperature T (Raffel et al. 2020,
section 3.5.2). FLAN takes at most 30,000 rows of a data set, K = 3,000 and
T = 1 (Wei et al. 2022, section 2.1). `alignjax.data.mixture` is another thing:
it lets files take turns while a model trains, as often as that needs.
"""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import NamedTuple

from alignjax.data.suite.draw import digest


class Part(NamedTuple):
  """What is taken of a data set: rows there are, its rate, rows taken."""

  rows: int
  rate: float
  taken: int


def rates(
  sizes: Mapping[str, int], *, cap: int, temperature: float
) -> dict[str, Fraction]:
  """The rate of each data set; they sum to 1 exactly.

  cap: K, 0 for none. temperature: T; 1 is by size, ∞ the same for all.
  """
  if not temperature > 0 or cap < 0:
    raise ValueError(
      f"temperature = {temperature}, rate cap = {cap}; legal: a temperature "
      "above 0, and a cap of 0 (none) or more"
    )
  if empty := [name for name, n in sizes.items() if n < 1]:
    raise ValueError(f"{empty[0]} has no rows to mix; leave it out")
  sizes = {name: min(n, cap or n) for name, n in sizes.items()}
  if temperature != 1:  # whole numbers stay exact
    sizes = {name: n ** (1 / temperature) for name, n in sizes.items()}
  exact = {name: Fraction(w) for name, w in sizes.items()}
  whole = sum(exact.values())
  return {name: w / whole for name, w in exact.items()}


def most(sizes: Mapping[str, int], rates: Mapping[str, Fraction]) -> int:
  """The most rows that keep the rates and take none twice."""
  return int(min(n / rates[name] for name, n in sizes.items()))


def counts(rates: Mapping[str, Fraction], total: int) -> dict[str, int]:
  """Rows of each data set; they sum to the total, by largest remainders.

  Of equal remainders the first one in order is served.
  """
  made = {name: int(total * rate) for name, rate in rates.items()}
  rests = sorted(rates, key=lambda name: made[name] - total * rates[name])
  for name in rests[: total - sum(made.values())]:
    made[name] += 1
  return made


def place(seed: int, row: Mapping) -> tuple[int, str]:
  """Where chance puts a row among those of its data set."""
  return digest("take", seed, row["id"]), row["id"]


def mix(
  rows: Mapping[str, Sequence[Mapping]],
  *,
  rate_cap: int,
  temperature: float,
  total: int,
  repeat: bool,
  seed: int,
) -> tuple[list[dict], dict[str, Part]]:
  """The rows of a mixture, shuffled, and what was taken of each data set.

  rows: of each data set, with ids. total: rows in all, 0 for `most`. repeat: a
    data set that runs out begins again, with ids that end in `/again-1`.

  Which rows are taken of a data set depends on the seed, its ids and how many
  alone: fewer are among more. Raises ValueError where rows would have to be
  repeated, and are not to be.
  """
  sizes = {name: len(found) for name, found in rows.items()}
  wanted = rates(sizes, cap=rate_cap, temperature=temperature)
  limit = most(sizes, wanted)
  taken = counts(wanted, total or limit)
  if short := [k for k, n in taken.items() if n > sizes[k] and not repeat]:
    name = short[0]
    raise ValueError(
      f"{total:,} rows need {taken[name]:,} of {name}, which has "
      f"{sizes[name]:,}\n"
      f"at most {limit:,} rows keep the rates with none taken twice\n"
      "ask for fewer, allow repeats, or give other rates (cap, temperature)"
    )
  mixed = []
  for name, found in rows.items():
    order = sorted(found, key=lambda row: place(seed, row))
    for k in range(taken[name]):
      again, at = divmod(k, len(order))
      row = dict(order[at])
      if again:
        row["id"] = f"{row['id']}/again-{again}"
      mixed.append(row)
  mixed.sort(key=lambda row: digest("mix", seed, row["id"]))
  parts = {
    name: Part(sizes[name], float(wanted[name]), taken[name]) for name in sizes
  }
  return mixed, parts
