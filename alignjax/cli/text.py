"""`alignjax generate` and `alignjax chat`."""

import argparse
import sys

from alignjax.cli.arguments import model_options, quiet

MODEL = "folder, .gguf file or hub name"


def sampling_options(
  parser: argparse.ArgumentParser,
  *,
  max_tokens: int = 128,
  temperature: float = 0.0,
) -> None:
  """How a model is read and sampled: all but which one."""
  model_options(parser)
  add = parser.add_argument
  add("--max-tokens", type=int, default=max_tokens)
  add("--temperature", type=float, default=temperature, help="0 = greedy")
  add("--top-k", type=int, default=0, help="0 = all")
  add("--top-p", type=float, default=1.0)
  add("--min-p", type=float, default=0.0)
  add("--seed", type=int, default=0)


def generator(a, path: str, samples: int, *, seed: int, rows: int = 1):
  """(messages lists, row_ids=None → completions) of a model on this machine,
  its tokenizer and its template; a: what `sampling_options` gives."""
  quiet()
  from alignjax.data.templates import load_template
  from alignjax.generate import make_generator
  from alignjax.pretrained import load

  lm, params, tokenizer = load(
    path, revision=a.revision, dtype=a.dtype, adapter=a.adapter
  )
  if tokenizer is None:
    raise ValueError(f"{path} has no tokenizer.json; copy it there.")
  template = load_template(a.template, tokenizer)
  generate = make_generator(
    lm,
    tokenizer,
    template,
    max_tokens=a.max_tokens,
    temperature=a.temperature,
    top_k=a.top_k,
    top_p=a.top_p,
    min_p=a.min_p,
    samples=samples,
    seed=seed,
    rows=rows,
  )

  def answer(conversations, row_ids=None):
    return generate(params, conversations, row_ids)

  return answer, tokenizer, template


def generate(argv: list[str]) -> None:
  """`alignjax generate`."""
  parser = argparse.ArgumentParser("alignjax generate")
  parser.add_argument("--model", required=True, help=MODEL)
  sampling_options(parser)
  parser.add_argument("--prompt", action="append", required=True)
  parser.add_argument("--n", type=int, default=1, help="samples a prompt")
  parser.add_argument(
    "--best-by",
    metavar="FOLDER",
    help="a reward model: of the n samples the one it scores highest is shown",
  )
  a = parser.parse_args(argv)
  if a.best_by and (a.n < 2 or a.temperature <= 0):
    raise ValueError(
      f"--best-by chooses among samples that differ; --n is {a.n}, "
      f"--temperature {a.temperature:g}.\nGive --n 2 or more and a "
      "--temperature above 0."
    )
  answer, tokenizer, template = generator(a, a.model, a.n, seed=a.seed)
  asked = [[{"role": "user", "content": text}] for text in a.prompt]
  answers = answer(asked)
  if a.best_by:
    from alignjax.scoring.best import best

    for text, (c, score) in zip(
      a.prompt, best(a.best_by, tokenizer, template, asked, answers)
    ):
      print(f"> {text}\n{c.text}\n  (best of {a.n}: scored {score:.3f})")
    return
  for text, completions in zip(a.prompt, answers):
    for c in completions:
      mean = sum(c.logps) / max(len(c.logps), 1)
      end = "" if c.stopped else "  [cut at --max-tokens]"
      print(f"> {text}\n{c.text}{end}\n  ({mean:.3f} nats a token)")


def chat(argv: list[str]) -> None:
  """`alignjax chat`."""
  parser = argparse.ArgumentParser("alignjax chat")
  parser.add_argument("--model", required=True, help=MODEL)
  sampling_options(parser)
  parser.add_argument("--system", default="", help="system message")
  a = parser.parse_args(argv)
  answer, _, _ = generator(a, a.model, 1, seed=a.seed)
  turns = [{"role": "system", "content": a.system}] if a.system else []
  print("An empty line or Ctrl-D ends the conversation.", file=sys.stderr)
  while True:
    try:
      text = input("> ").strip()
    except EOFError:
      return
    if not text:
      return
    turns.append({"role": "user", "content": text})
    reply = answer([turns])[0][0].text
    print(reply)
    turns.append({"role": "assistant", "content": reply})
