"""Blocks that configs share. Every default lives here or in a config."""

from ml_collections import ConfigDict

# Regex on the parameter path → mesh axes of its last dimensions.
PARAMS = (
  ("((teacher|critic|reward)/)?(embed|head)", ("tensor", "fsdp")),
  (".*/attention/query/kernel", ("fsdp", "tensor", None)),
  (".*/attention/(key|value)/kernel", ("fsdp", "tensor", None)),
  (".*/attention/out/kernel", ("tensor", None, "fsdp")),
  (".*/mlp/(gate|up)/kernel", ("fsdp", "tensor")),
  (".*/mlp/down/kernel", ("tensor", "fsdp")),
  (
    ".*(scale|bias)|((teacher|critic|reward)/)?positions|(reward/)?score_head",
    (),
  ),
)

ROWS = ("data", "fsdp")
ACTIVATIONS = {
  "ids": ("data", None),
  "looked_up": ("data", None, "fsdp"),
  "hidden": (ROWS, None, None),
  "query": (ROWS, None, "tensor", None),
  "key": (ROWS, None, "tensor", None),
  "value": (ROWS, None, "tensor", None),
  "mlp": (ROWS, None, "tensor"),
  # The head is split over the vocabulary, and chunks of tokens come to it.
  "table": (("fsdp", "tensor"), None),
  "head": (("fsdp", "tensor"), None),
  "read": ("data", None, None),
  "logits": ("data", None, ("fsdp", "tensor")),
}
# The same of a vocabulary that does not divide over fsdp · tensor.
UNDIVIDED = {
  "table": ("tensor", None),
  "head": ("tensor", None),
  "read": (ROWS, None, None),
  "logits": (ROWS, None, "tensor"),
}
# Of a token a row: weights stay where they lie, and states come to them (Pope
# et al. 2022, section 3.2.2).
DECODING = {
  "hidden": ("data", None, "fsdp"),
  "mlp": ("data", None, "tensor"),
}
# Of those that every device makes a part of, so that the sum is split at once.
GRADIENTS = {
  "table": ("tensor", "fsdp"),  # as embed and head lie
  "read": (ROWS, None, None),
}


def words(arg: str, legal: tuple[str, ...]) -> set[str]:
  """The comma-separated words after `config.py:`, checked."""
  given = {w for w in arg.split(",") if w}
  unknown = sorted(given - set(legal))
  if unknown:
    raise ValueError(
      f"Config argument {unknown[0]!r} is unknown; "
      f"after the colon may stand {', '.join(legal)} (comma-separated)."
    )
  return given


def subject() -> ConfigDict:
  """A model on a mesh."""
  c = ConfigDict()
  c.seed = 0
  c.mesh = (-1, 1, 1)  # data, fsdp, tensor; -1 = all devices that are left
  c.model = ConfigDict(
    dict(
      path="",  # folder, GGUF file or hub name; "" = random weights of preset
      preset="",
      revision="",  # of a hub name
      adapter="",  # folder of PEFT's, merged into the model
      scores=0,  # scalar heads of a reward model; 0 = as the model has
      dtype="float32",  # of activations and of weights as they are used
      # What weights are kept in between steps. bfloat16: half the memory, and
      # updates below 1/256 of a weight are lost, which most at lr = 1e-5 are.
      param_dtype="float32",
      # The same of what is not trained (an adapter's base, a reference, a
      # teacher); with dtype="bfloat16" it changes no number.
      frozen_dtype="float32",
      remat="dots",  # none | dots | full: what is kept for the backward pass
      chunk=0,  # tokens of a row whose logits exist at one time; 0 = by devices
      attention="auto",  # auto | xla | splash; auto = by the devices
    )
  )
  # Who says what completions are worth; {} = nobody. `critic` below sets it.
  c.critic = ConfigDict()
  # Adapters; rank 0 = none. `lora` below sets them and what goes with them.
  c.lora = ConfigDict(dict(rank=0, alpha=32.0, targets=(), root=False))
  c.sharding = ConfigDict(
    dict(
      params=PARAMS,
      activations=ACTIVATIONS,
      undivided=UNDIVIDED,
      decoding=DECODING,
      gradients=GRADIENTS,
    )
  )
  return c


def evaluation(**tasks: dict) -> ConfigDict:
  """A model that is asked tasks, each named by its file in `evals/tasks`."""
  c = subject()
  c.template = ""  # "" = the tokenizer's own
  c.batch = 4096  # tokens of a forward pass on a device, about
  c.rows = 16  # answers at a time, over all devices
  c.tasks = ConfigDict(tasks)
  return c


def writer() -> dict:
  """Who answers: the config's model, or `model` at an endpoint."""
  return dict(
    url="",  # http(s)://HOST/v1 of an OpenAI-compatible endpoint; "" = ours
    model="",  # its name there
    api_key_env="",  # the variable that holds its key; "" = none is needed
    max_tokens=256,
    temperature=0.7,
    top_p=0.95,
    workers=8,  # requests at once
    per_minute=0,  # requests that begin in a minute; 0 = no limit
    timeout=120.0,  # seconds of one
    retries=4,  # of one that failed for a while
    # Money for a million tokens that are read, and that are written.
    price=(0.0, 0.0),
  )


def writing(method: dict) -> ConfigDict:
  """A model that writes rows, by a file of `instruct/methods`."""
  c = evaluation()
  del c.tasks
  c.writer = ConfigDict(writer())
  c.judge = ConfigDict()  # who compares answers; {} = nobody
  c.method = ConfigDict(method)
  return c


def written(c: ConfigDict, given: set[str]) -> ConfigDict:
  """The same by a server on this machine, or by a small random model."""
  if "endpoint" in given:
    c.writer.url, c.writer.model = "http://127.0.0.1:8000/v1", "default"
  if "tiny" in given:
    c.model.preset = "tiny"
    c.writer.max_tokens = 8
    if "rounds" in c.method:
      c.method.rounds = c.method.prompts = 1
  return c


def base() -> ConfigDict:
  """What every experiment has."""
  c = subject()
  c.data = ConfigDict(
    dict(
      train=source("suite", "train"),
      eval=source("suite", "heldout", limit=64),
      template="",  # "" = the tokenizer's own
      rows="examples",  # examples | pairs | judged | judged+kl
      layout="apart",  # apart | shared: a prompt once for both its answers
      ranked="all",  # all | adjacent | best-worst: pairs of a ranked list
      train_on="assistant",  # assistant | last | completion | all
      max_length=512,  # tokens
      packing=0,  # tokens of a row that holds several documents; 0 = one a row
      too_long="drop",  # drop | split | truncate | error
      on_bad_row="error",  # error | skip | quarantine (into bad_rows.jsonl)
      bad_rows_limit=0.01,  # part of the rows; above it the run stops
      cache="",  # folder of tokenised rows, to share; "" = data/ of the run
      workers=0,  # processes that tokenise; 0 = one a core where it pays
    )
  )
  # What losses compare with: "" = the weights the run starts from.
  c.reference = ConfigDict(
    dict(
      path="",
      revision="",
      every=0,  # steps after which it moves (TR-DPO); 0 = never
      alpha=0.6,  # what the weights of that step count in it
    )
  )
  # Whom distillation imitates; as of `model`.
  c.teacher = ConfigDict(
    dict(
      path="",
      preset="",
      revision="",
      beta=0.5,  # 0 = KL(teacher ‖ student) … 1 = KL(student ‖ teacher)
    )
  )
  # What completions are sampled with and scored by; {} = none are. `rollout`
  # below sets it.
  c.rollout, c.reward = ConfigDict(), ConfigDict()
  c.optim = ConfigDict(
    dict(
      name="adamw",
      lr=1e-5,
      schedule="cosine",
      warmup=10,  # steps
      end=0.1,  # final learning rate as a part of lr
      clip=1.0,  # global gradient norm; 0 = never
      weight_decay=0.0,
      no_decay=(".*(scale|bias)",),  # path regexes
      lr_factors=(),  # (path regex, factor)
      moment_dtype="float32",  # bfloat16: half the memory, for b2 <= 0.99
      frozen=(),  # path regexes
      # Options of each optimizer; those of optim.name are read.
      adamw=dict(b1=0.9, b2=0.95, eps=1e-8),
      adafactor=dict(decay=0.8, min_size=128),
      lion=dict(b1=0.9, b2=0.99),
      muon=dict(b1=0.9, b2=0.95, eps=1e-8, beta=0.95),
      sgd=dict(momentum=0.9),
    )
  )
  c.train = ConfigDict(
    dict(
      steps=100,
      batch=8,  # rows of a step, over all devices and microbatches
      accumulate=1,  # microbatches a step
      eval_every=20,  # steps; 0 = only before and after
      neftune=0.0,  # noise on embeddings (Jain et al. 2024); 0 = none
      nonfinite="stop",  # stop | skip: a loss or gradient that is NaN or ∞
      spike="off",  # off | skip | stop: loss above mean + 6σ of 128 steps
    )
  )
  c.checkpoint = ConfigDict(
    dict(
      every=50,  # steps; 0 = only at the end
      keep=2,  # the last ones
      keep_every=0,  # steps whose checkpoints are kept for good; 0 = none
      folder="",  # "" = checkpoints/ of the run; may be gs://…
      on_error="stop",  # stop | continue, where a checkpoint cannot be written
    )
  )
  c.sample = ConfigDict(
    dict(
      prompts=(),  # () = the first prompts of data.eval
      every=50,  # steps; 0 = only before and after
      count=3,  # prompts
      max_tokens=48,
      temperature=0.0,
    )
  )
  c.log = ConfigDict(dict(tensorboard=True, wandb=""))  # W&B project
  return c


def source(
  path: str,
  split: str,
  limit: int = 0,
  format: str = "",
  reader: str = "",
  weight: float = 0.0,
  cap: int = 0,
) -> ConfigDict:
  """Rows of a file, folder, `tfds:name`, `hf:owner/name` or the `suite`.

  weight and cap are for parts of a `mixture`.
  """
  return ConfigDict(
    dict(
      path=path,
      split=split,
      limit=limit,  # rows; 0 = all
      format=format,  # "" = by each row's keys
      reader=reader,  # import path of a function of your own
      weight=weight,  # share of the rows drawn; 0 = by min(rows, cap)
      cap=cap,  # rows; 0 = none
      parts=ConfigDict(),
    )
  )


def mixture(**parts: ConfigDict) -> ConfigDict:
  """Sources drawn from in turn, by their shares of the rows."""
  found = source("", "")
  found.parts = ConfigDict(parts)
  return found


def tiny(c: ConfigDict) -> ConfigDict:
  """A run of under a minute on a CPU: small random model, built-in data."""
  c.model.path, c.model.preset = "", "tiny"
  c.data.train = source("suite", "train", limit=256)
  c.data.eval = source("suite", "heldout", limit=32)
  c.data.max_length = 256
  c.optim.lr, c.optim.warmup = 1e-3, 5
  c.train.steps, c.train.batch = 40, 8
  c.checkpoint.every = 20
  c.sample.every, c.sample.max_tokens = 20, 16
  return c


def _adapter(module: str, a: tuple, b: tuple) -> tuple:
  return ((f"lora/.*/{module}/a", a), (f"lora/.*/{module}/b", b))


# Module → rules of its adapters: A lies as the kernel's inputs, B as its
# outputs.
LORA = {
  m: _adapter(m, ("fsdp", None), (None, "tensor", None))
  for m in ("query", "key", "value")
}
LORA |= {
  m: _adapter(m, ("fsdp", None), (None, "tensor")) for m in ("gate", "up")
}
LORA["out"] = _adapter("out", ("tensor", None, None), (None, "fsdp"))
LORA["down"] = _adapter("down", ("tensor", None), (None, "fsdp"))


def lora(
  c: ConfigDict,
  rank: int = 16,
  alpha: float = 32.0,
  modules: tuple[str, ...] = tuple(LORA),
) -> ConfigDict:
  """Adapters on the kernels of some modules; nothing else is trained."""
  targets = tuple(f".*/{m}/kernel" for m in modules)
  c.lora = ConfigDict(dict(rank=rank, alpha=alpha, targets=targets, root=False))
  c.sharding.params += tuple(rule for m in modules for rule in LORA[m])
  c.optim.frozen, c.optim.no_decay = ("(?!lora/|score_head).*",), ()
  return c


def scores(c: ConfigDict, heads: int = 1) -> ConfigDict:
  """A reward model of the base: scalar heads, small on every device."""
  c.model.scores = heads
  return c


def rollout(c: ConfigDict, advantage: dict, **changes) -> ConfigDict:
  """Batches are completions that the policy samples as it is.

  advantage: {} where pairs are made.
  """
  c.rollout = ConfigDict(
    dict(
      samples=1,  # completions of a prompt
      minibatches=1,  # updates of an epoch; each has train.batch completions
      epochs=1,  # passes over the completions of a rollout
      max_tokens=48,
      temperature=1.0,
      slots=0,  # completions decoded at once, the rest waits; 0 = all
      kl=0.05,  # coefficient of the KL to the reference in the reward
      kl_target=0.0,  # nats a completion it is steered to; 0 = it stays
      kl_horizon=10_000.0,  # completions over which it is
      missing_stop=0.0,  # what a completion without an end loses
      clip=0.0,  # scores are held within; 0 = they are not
      kl_stop=0.0,  # nats a token (policy/approxkl_avg) after which the rest of
      # a rollout's updates is passed over; 0 = never
      kl_limit=0.0,  # nats a completion above which is warned; 0 = none
      pairs=False,  # a prompt's best and worst completion become a pair
      # Rows of other data beside the completions of an update, and how many,
      # for losses of `rows="mixed"`; 0 = none.
      mix=ConfigDict(dict(batch=0, data=source("", ""))),
      advantage=advantage,
    )
  )
  c.rollout.update(changes)
  return c


def tiny_rollout(c: ConfigDict) -> ConfigDict:
  """A task of a minute: to answer short prompts with five to twelve words.

  A model without any knowledge can learn it.
  """
  tiny(c)
  c.data.train.limit, c.data.max_length = 1024, 64
  c.data.eval.limit = 128
  c.reward = dict(words=dict(name="length", weight=1.0, low=5, high=12))
  c.rollout.max_tokens, c.rollout.kl = 24, 0.001
  c.train.batch, c.train.steps = 32, 60
  c.optim.lr, c.optim.schedule, c.optim.end = 2e-3, "linear", 0.0
  return c


def reward_model(path: str = "", weight: float = 1.0) -> dict:
  """An entry of `config.reward`: what a reward model says of completions."""
  return dict(
    name="model",
    weight=weight,
    path=path,  # a folder that export writes; several are an ensemble
    revision="",
    ensemble=dict(name="mean"),  # of heads and models; as of alignjax score
  )


def critic(c: ConfigDict, trunk: bool = False) -> ConfigDict:
  """A model that says what score is to be expected."""
  c.critic = ConfigDict(
    dict(
      path="",  # a reward model; "" = the policy as it starts, and a head of 0
      revision="",
      trunk=trunk,  # a head on the policy itself instead
      warmup=0,  # rollouts that train nothing else
    )
  )
  head = "value_head" if trunk else "critic/score_head"
  c.sharding.params += ((head, ()),)
  return c


def replicated_kv(c: ConfigDict) -> ConfigDict:
  """Key/value heads on every device, where they do not divide."""
  c.sharding.params = tuple(
    (regex, ("fsdp", None, None) if "(key|value)/kernel" in regex else axes)
    for regex, axes in c.sharding.params
  )
  for name in ("key", "value"):
    c.sharding.activations[name] = (ROWS, None, None, None)
  return c
