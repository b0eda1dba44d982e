import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from alignjax.data.chat import prompt_ids
from alignjax.data.templates import load_template
from alignjax.data.tokenizer import byte_tokenizer
from alignjax.generate import make_generator
from alignjax.models.config import ModelConfig
from alignjax.models.lm import LM

END = 259  # <|im_end|> of the byte tokenizer
HELLO = [{"role": "user", "content": "hello"}]
BYE = [{"role": "user", "content": "good bye, and thank you"}]


@pytest.fixture(scope="module")
def tokenizer():
  return byte_tokenizer()


@pytest.fixture(scope="module")
def bytes_lm():
  config = ModelConfig(
    family="gpt2",
    vocab=264,
    width=8,
    depth=1,
    heads=2,
    kv_heads=2,
    head_size=4,
    hidden=8,
    max_length=160,
    norm="layer",
  )
  return LM(config)


@pytest.fixture(scope="module")
def coin(bytes_lm, draw):
  """A model that says A or ends, one to three, whatever came before."""
  params = draw(bytes_lm)
  params["final_norm"] = {"scale": jnp.zeros(8), "bias": jnp.eye(8)[0]}
  logits = jnp.full(264, -1e9).at[ord("A")].set(math.log(1 / 4))
  logits = logits.at[END].set(math.log(3 / 4))
  params["head"] = jnp.zeros((264, 8)).at[:, 0].set(logits)
  return params


def generator(lm, tokenizer, **settings):
  template = load_template(None, tokenizer)
  return make_generator(lm, tokenizer, template, **settings)


def test_answers_are_text_without_and_tokens_with_their_end(
  bytes_lm, coin, tokenizer
):
  generate = generator(
    bytes_lm, tokenizer, max_tokens=3, temperature=1.0, samples=40
  )
  answers = generate(coin, [HELLO, BYE])
  assert [len(a) for a in answers] == [40, 40]
  texts = set()
  for c in answers[0] + answers[1]:
    n = c.text.count("A")
    assert c.text == "A" * n
    assert c.tokens == [ord("A")] * n + [END] * c.stopped
    assert c.stopped == (n < 3)
    expected = [math.log(1 / 4)] * n + [math.log(3 / 4)] * c.stopped
    np.testing.assert_allclose(c.logps, expected, atol=1e-6)
    texts.add(c.text)
  assert {"", "A"} <= texts
  ended = sum(c.text == "" for c in answers[0] + answers[1]) / 80
  assert abs(ended - 3 / 4) < 0.2
  assert generate(coin, [HELLO, BYE]) == answers


def test_seeds_give_other_answers(bytes_lm, coin, tokenizer):
  settings = dict(max_tokens=8, temperature=2.0, samples=20)
  one, two = (
    generator(bytes_lm, tokenizer, seed=s, **settings)(coin, [HELLO])
    for s in (0, 1)
  )
  assert [c.text for c in one[0]] != [c.text for c in two[0]]


def test_greedy_answers_are_a_loop_over_the_whole_text(
  bytes_lm, draw, tokenizer
):
  params = draw(bytes_lm, seed=3)
  # Rows are padded to a multiple of three: what is added is not returned.
  generate = generator(bytes_lm, tokenizer, max_tokens=5, rows=3)
  answers = generate(params, [HELLO, BYE])
  assert len(answers) == 2
  logits = jax.jit(bytes_lm.logits)
  template = load_template(None, tokenizer)
  for messages, (answer,) in zip([HELLO, BYE], answers):
    ids = prompt_ids(messages, tokenizer, template)
    start = len(ids)
    while len(ids) < start + 5 and ids[-1:] != [END] * (len(ids) > start):
      row = np.zeros((1, 80), np.int32)
      row[0, : len(ids)] = ids
      ids.append(int(logits(params, row)[0, len(ids) - 1].argmax()))
    assert answer.tokens == ids[start:]


def test_a_prompt_too_long_for_the_model_is_refused(bytes_lm, coin, tokenizer):
  generate = generator(bytes_lm, tokenizer, max_tokens=60)
  with pytest.raises(ValueError, match=r"1\d\d tokens; the model's 160 leave"):
    generate(coin, [[{"role": "user", "content": "x" * 100}]])


def test_a_token_without_an_embedding_is_refused(lm, params):
  tokenizer = byte_tokenizer()
  template = load_template(None, tokenizer)
  small = dataclasses.replace(lm, config=lm.config.replace(vocab=259))
  generate = make_generator(small, tokenizer, template, max_tokens=2)
  with pytest.raises(ValueError, match="token 259.*vocabulary of 259"):
    generate(params, [[{"role": "user", "content": "a"}]])
