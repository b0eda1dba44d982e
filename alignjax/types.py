"""The dimension key and the records that cross rooms.

Dimension key: `B` rows, `L` tokens, `T` predicted positions, `S` completions in
a row, `P` pairs, `G` samples per prompt, `D` width, `H` query heads, `K`
key/value heads, `N` head size, `F` hidden, `V` vocabulary.

Rows are right-padded with explicit positions. Every token carries a document
id (0 = padding); every predicted token carries a completion id (0 = not
trained). Nothing is ever inferred from a token's value.
"""

from typing import NamedTuple

from jaxtyping import Array, Float, Int


class Example(NamedTuple):
  """One conversation, or one plain text, before tokenisation (host).

  messages: `{"role": "system" | "user" | "assistant", "content": str}`, empty
    for plain text.
  text: plain text to continue, "" for a conversation.
  origin: where it came from, `file:line` or `file[index]`.
  fields: what else the source knew (cluster, metric, weight ...).
  """

  messages: tuple[dict, ...]
  text: str
  origin: str
  fields: dict


class Row(NamedTuple):
  """One tokenised document, or several packed into a row (host, numpy).

  tokens: int32 [n].
  completions: int32 [n], id of the completion a token belongs to, 0 = not
    trained.
  origin: as in `Example`.
  documents: int32 [n], 1, 2, … in order; None for one document.
  weights: float32 [n], what a trained token counts in the loss; None: 1 each.
  parents: int32 [n], the document that a token's own one continues, 0 for none.
  fields: float32 [completions], what is known of each completion, by name.
  """

  tokens: Int[Array, "n"]
  completions: Int[Array, "n"]
  origin: str
  documents: Int[Array, "n"] | None = None
  weights: Float[Array, "n"] | None = None
  parents: Int[Array, "n"] | None = None
  fields: dict[str, Array] = {}


class Batch(NamedTuple):
  """A batch of rows of fixed shape.

  The position `where[b, t]` of row b predicts `targets[b, t]`, the token that
  follows it. Only trained tokens are listed, so the readout never touches the
  rest; `completions` is 0 on the unused tail. Tokens of a prompt may be listed
  too, in completion 0; the field "prompt" is 1 there. `weights` is what a
  trained token counts in the loss, 0 on the tail.

  parents: the document that a token's own one continues and sees, 0 for none;
    None where no document of the batch has one.
  ends: where the last token of completion s + 1 stands, 0 where there is none.
  fields: what else is known, by name: of each trained token [B, T]
    ("reference/logp") or of each completion [B, S] ("label").
  """

  tokens: Int[Array, "B L"]
  positions: Int[Array, "B L"]
  documents: Int[Array, "B L"]
  where: Int[Array, "B T"]
  targets: Int[Array, "B T"]
  completions: Int[Array, "B T"]
  weights: Float[Array, "B T"]
  parents: Int[Array, "B L"] | None = None
  ends: Int[Array, "B S"] | None = None
  fields: dict[str, Array] = {}


class Term(NamedTuple):
  """A masked sum and what it is over: tokens, pairs or sequences (float32).

  A weighted sum is over its weights.
  """

  sum: Float[Array, ""]
  weight: Float[Array, ""]


class Terms(NamedTuple):
  """What a loss returns: terms to minimise, and metrics only reported.

  The step divides each sum by the weight of the whole batch.
  """

  loss: dict[str, Term]
  metrics: dict[str, Term]
