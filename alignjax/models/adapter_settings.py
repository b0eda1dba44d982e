"""What an adapter_config.json of PEFT says, and what of it is supported."""

import json
from pathlib import Path

SETTINGS = "adapter_config.json"
# What PEFT calls the scalar heads of a reward model; it names both.
HEADS = ("score", "classifier")
# What we read, or what says nothing of the sum W + scale · A·B.
KNOWN = (
  "r",
  "lora_alpha",
  "use_rslora",
  "target_modules",
  "exclude_modules",
  "task_type",
  "auto_mapping",
  "peft_version",
  "base_model_name_or_path",
  "revision",
  "inference_mode",
  "fan_in_fan_out",
  "lora_dropout",
  "megatron_core",
  "qalora_group_size",
  "layers_pattern",
  "eva_config",
  "runtime_config",
)
# Settings of which one value is ours; all others must be empty or false.
ONLY = {
  "peft_type": ("LORA",),
  "bias": ("none", None),
  # The others begin with a changed base (PiSSA, OLoRA, LoftQ …).
  "init_lora_weights": (True, False, None, "gaussian", "eva", "orthogonal"),
}


def read_settings(folder: Path) -> dict:
  """The adapter_config.json of a folder, all of it supported.

  FileNotFoundError where there is none, ValueError for what is not supported.
  """
  file = folder / SETTINGS
  if not file.is_file():
    raise FileNotFoundError(f"{folder} has no {SETTINGS}: it is no adapter.")
  try:
    settings = json.loads(file.read_text("utf-8"))
  except ValueError as error:
    raise ValueError(f"{file} is not JSON: {error}") from None
  for key, value in settings.items():
    legal = ONLY.get(key)
    if key in KNOWN or (value in legal if legal else not value):
      continue
    if key == "modules_to_save" and set(value) <= set(HEADS):
      continue
    remedy = f"legal: {', '.join(map(repr, legal))}" if legal else "unset it"
    if key == "modules_to_save":
      remedy = "only 'score' is saved beside adapters"
    raise ValueError(
      f"{file}: {key} = {repr(value)[:80]} is not supported; {remedy}.\n"
      "Or merge the adapter into its base with PEFT, and load that."
    )
  lost = [k for k in ("peft_type", "r", "lora_alpha") if k not in settings]
  if lost:
    raise ValueError(f"{file} lacks {lost[0]!r}.")
  if type(settings["r"]) is not int:
    raise ValueError(f"{file}: r = {settings['r']!r} is no whole number.")
  return settings
