"""Makes tests/fixtures/adapters: adapters of PEFT for the tiny families.

Each folder holds an adapter as PEFT saves it, with random A and B, and
`golden.npz`: ids and the logits PEFT computes for them on the base of the same
name in tests/fixtures/families (float32, eager attention). Run by hand, in an
environment of its own with torch:

  python3.11 -m venv /tmp/torchenv
  /tmp/torchenv/bin/pip install torch==2.13.0 transformers==5.23.0 \\
    peft==0.21.2 safetensors
  /tmp/torchenv/bin/python scripts/make_adapter_fixtures.py

With --check FOLDER it says what PEFT computes from the adapters there, one
folder a base, beside the golden logits of the fixtures.
"""

import argparse
from pathlib import Path

import numpy as np

FIXTURES = Path(__file__).parents[1] / "tests" / "fixtures"
ROWS, TOKENS = 2, 9

# base → settings of LoraConfig
ADAPTERS = {
  "llama3": dict(r=3, lora_alpha=6, target_modules="all-linear"),
  "qwen3": dict(
    r=4, lora_alpha=5, use_rslora=True, target_modules=["q_proj", "v_proj"]
  ),
  "gemma3": dict(r=2, lora_alpha=3, target_modules=["o_proj", "down_proj"]),
  "gpt2": dict(
    r=2, lora_alpha=4, target_modules=["mlp.c_proj", "c_fc"], fan_in_fan_out=1
  ),
  "gpt_neox": dict(r=2, lora_alpha=4, target_modules=["dense"]),
}


def base(name: str):
  import torch
  from transformers import AutoModelForCausalLM, logging

  logging.disable_progress_bar()
  return AutoModelForCausalLM.from_pretrained(
    FIXTURES / "families" / name,
    attn_implementation="eager",
    dtype=torch.float32,
  )


def make(name: str) -> None:
  import torch
  from peft import LoraConfig, get_peft_model

  torch.manual_seed(sorted(ADAPTERS).index(name))
  settings = ADAPTERS[name]
  settings = settings | {"fan_in_fan_out": "fan_in_fan_out" in settings}
  before = base(name)
  model = get_peft_model(before, LoraConfig(task_type="CAUSAL_LM", **settings))
  with torch.no_grad():
    for path, parameter in model.named_parameters():
      if "lora_" in path:
        parameter.copy_(torch.randn_like(parameter) * 0.3)
  model.eval()
  # Only noted; a path of this machine would say nothing.
  model.peft_config["default"].base_model_name_or_path = name
  ids = torch.randint(0, before.config.vocab_size, (ROWS, TOKENS))
  with torch.no_grad():
    logits = model(ids).logits
    with model.disable_adapter():
      change = (logits - model(ids).logits).abs().max()
  folder = FIXTURES / "adapters" / name
  model.save_pretrained(folder)
  (folder / "README.md").unlink(missing_ok=True)
  np.savez_compressed(
    folder / "golden.npz",
    ids=ids.numpy().astype(np.int32),
    logits=logits.numpy(),
  )
  print(f"{name}: logits within {logits.abs().max():.1f}, change {change:.1f}")


def check(folder: Path, name: str) -> None:
  import torch
  from peft import PeftModel

  model = PeftModel.from_pretrained(base(name), folder / name).eval()
  golden = np.load(FIXTURES / "adapters" / name / "golden.npz")
  with torch.no_grad():
    logits = model(torch.tensor(golden["ids"]).long()).logits.numpy()
  print(f"{name}: difference {np.abs(logits - golden['logits']).max():.1e}")


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
  parser.add_argument("--check", type=Path, metavar="FOLDER")
  args = parser.parse_args()
  for name in ADAPTERS:
    if args.check:
      check(args.check, name)
    else:
      make(name)


if __name__ == "__main__":
  main()
