"""Runs of rollouts that take seconds."""


def small(module, *words, **changes):
  config = module.get_config(",".join(("tiny", *words)))
  config.mesh, config.data.train.limit = (1, 1, 1), 16
  config.data.eval.limit, config.sample.count = 3, 0
  config.data.max_length, config.rollout.kl = 256, 0.05
  config.sample.every, config.log.tensorboard = 0, False
  config.train.batch, config.rollout.max_tokens = 8, 6
  config.train.steps = config.train.eval_every = 4
  config.checkpoint.every, config.optim.lr = 4, 1e-3
  config.optim.warmup = 0
  for key, value in changes.items():
    block, _, name = key.partition("__")
    config[block][name] = value
  return config
