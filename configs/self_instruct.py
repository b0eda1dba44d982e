"""Self-instruct: new tasks with answers, by a model that is shown some.

Wang et al. 2023, https://arxiv.org/abs/2212.10560.

  alignjax instruct generate --config configs/self_instruct.py \
    --workdir runs/self_instruct --config.model.path=FOLDER_OR_GGUF \
    --config.method.seeds=seed_tasks.jsonl

Expected: `rows.jsonl` with `method.rows` rows, and `rejected.jsonl` with about
ten times as many from a model of 135 M parameters (docs/results.md). The same
command goes on where it stopped. `endpoint` asks a server instead, `tiny` a
small random model, which writes nothing that passes.
"""

from configs import common


def get_config(arg=""):
  given = common.words(arg, ("endpoint", "tiny"))
  c = common.writing(
    dict(
      name="self_instruct",
      seeds="",  # tasks that people wrote
      rows=64,  # at most
      rounds=16,  # at most
      prompts=16,  # requests of a round
      shown=8,  # tasks shown in each
      machine=2,  # of those, earlier ones of the model's
      more=8,  # new ones asked for
      examples=2,  # seeds shown where an instance is asked for
      likeness=0.7,  # ROUGE-L from which an instruction is not new
    )
  )
  return common.written(c, given)
