from collections import Counter

from jax import monitoring


class Compilations:
  """How often each step was compiled, as jax itself tells it."""

  def __enter__(self):
    self.names = []
    monitoring.register_event_duration_secs_listener(self.hear)
    return self

  def __exit__(self, *_):
    monitoring.unregister_event_duration_listener(self.hear)

  def hear(self, event, seconds, fun_name="", **_):
    del seconds
    if event == "/jax/core/compile/backend_compile_duration":
      self.names.append(fun_name)

  def counts(self) -> dict:
    found = Counter(name.removeprefix("jit(")[:-1] for name in self.names)
    return {name: found[name] for name in ("train_step", "eval_step")}
