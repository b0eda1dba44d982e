"""Makes tests/fixtures/families: tiny random models of every family.

Each folder holds a model as transformers saves it and `golden.npz`, ids and
the logits transformers computes for them (float32, eager attention). Settings
are awkward on purpose and weights large, so that a mistake shows. Run by hand,
in an environment of its own with torch:

  python3.11 -m venv /tmp/torchenv
  /tmp/torchenv/bin/pip install torch==2.13.0 transformers==5.23.0 safetensors
  /tmp/torchenv/bin/python scripts/make_family_fixtures.py

What alignjax exports is checked in two steps, the first in its environment:

  python scripts/make_family_fixtures.py --export /tmp/exported
  /tmp/torchenv/bin/python scripts/make_family_fixtures.py \\
    --check-export /tmp/exported
"""

import argparse
import json
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parents[1] / "tests" / "fixtures" / "families"
ROWS, TOKENS, VOCAB = 2, 13, 53

SHARED = {
  "vocab_size": VOCAB,
  "hidden_size": 20,
  "num_hidden_layers": 3,
  "num_attention_heads": 5,
  "num_key_value_heads": 1,
  "intermediate_size": 28,
  "max_position_embeddings": 64,
  "bos_token_id": 1,
  "eos_token_id": 2,
  "pad_token_id": None,
}
GEMMA = SHARED | {
  "hidden_size": 18,
  "num_attention_heads": 6,
  "num_key_value_heads": 2,
  "head_dim": 8,
  "query_pre_attn_scalar": 11,
  "sliding_window": 4,
}

# name → (model_type, settings)
MODELS = {
  "llama3": (
    "llama",
    SHARED
    | {
      "head_dim": 6,
      "attention_bias": True,
      "mlp_bias": True,
      "eos_token_id": [2, 5],
      "rope_parameters": {
        "rope_type": "llama3",
        "rope_theta": 100.0,
        "factor": 4.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 32,
      },
    },
  ),
  "llama_linear": (
    "llama",
    SHARED
    | {
      "hidden_size": 18,
      "num_attention_heads": 3,
      "tie_word_embeddings": True,
      "rms_norm_eps": 1e-2,
      "rope_parameters": {
        "rope_type": "linear",
        "rope_theta": 50.0,
        "factor": 2.5,
      },
    },
  ),
  "llama_dynamic": (
    "llama",
    SHARED
    | {
      "max_position_embeddings": 8,
      "rope_parameters": {
        "rope_type": "dynamic",
        "rope_theta": 100.0,
        "factor": 3.0,
      },
    },
  ),
  "mistral": (
    "mistral",
    SHARED
    | {"num_attention_heads": 10, "num_key_value_heads": 2}
    | {"head_dim": 6, "sliding_window": 4},
  ),
  "qwen2": (
    "qwen2",
    SHARED
    | {
      "hidden_size": 18,
      "num_attention_heads": 3,
      "tie_word_embeddings": True,
      "use_sliding_window": True,
      "sliding_window": 4,
      "max_window_layers": 1,
    },
  ),
  "qwen3": ("qwen3", SHARED | {"head_dim": 6, "attention_bias": True}),
  "qwen3_window": (
    "qwen3",
    SHARED
    | {
      "num_hidden_layers": 4,
      "head_dim": 10,
      "num_attention_heads": 2,
      "tie_word_embeddings": True,
      "use_sliding_window": True,
      "sliding_window": 3,
      "layer_types": ["sliding_attention", "full_attention"] * 2,
    },
  ),
  "gemma2": (
    "gemma2",
    GEMMA | {"attn_logit_softcapping": 1.5, "final_logit_softcapping": 2.0},
  ),
  "gemma3": (
    "gemma3_text",
    GEMMA
    | {
      "num_hidden_layers": 8,
      "intermediate_size": 14,
      "rope_parameters": {
        "full_attention": {
          "rope_type": "linear",
          "rope_theta": 1000.0,
          "factor": 8.0,
        },
        "sliding_attention": {"rope_type": "default", "rope_theta": 30.0},
      },
    },
  ),
  "gemma3_untied": (
    "gemma3_text",
    GEMMA
    | {
      "num_hidden_layers": 4,
      "num_key_value_heads": 3,
      "tie_word_embeddings": False,
      "attention_bias": True,
      "final_logit_softcapping": 3.0,
      "layer_types": ["sliding_attention", "sliding_attention"]
      + ["full_attention", "sliding_attention"],
    },
  ),
  "olmo2": ("olmo2", SHARED | {"attention_bias": True}),
  "gpt2": (
    "gpt2",
    {"vocab_size": VOCAB, "n_embd": 18, "n_layer": 3, "n_head": 3}
    | {"n_positions": 16, "n_inner": 26, "eos_token_id": 2, "bos_token_id": 2},
  ),
  "gpt2_untied": (
    "gpt2",
    {"vocab_size": VOCAB, "n_embd": 10, "n_layer": 2, "n_head": 5}
    | {"n_positions": 13, "tie_word_embeddings": False}
    | {"activation_function": "relu", "layer_norm_epsilon": 1e-2}
    | {"eos_token_id": 2, "bos_token_id": 2},
  ),
  "gpt_neox": (
    "gpt_neox",
    SHARED
    | {
      "hidden_size": 24,
      "num_attention_heads": 3,
      "rope_parameters": {
        "rope_type": "default",
        "rope_theta": 100.0,
        "partial_rotary_factor": 0.5,
      },
    },
  ),
  "gpt_neox_serial": (
    "gpt_neox",
    SHARED
    | {
      "hidden_size": 40,
      "num_hidden_layers": 2,
      "attention_bias": False,
      "use_parallel_residual": False,
      "tie_word_embeddings": True,
      "hidden_act": "gelu_new",
      "rope_parameters": {
        "rope_type": "linear",
        "rope_theta": 100.0,
        "factor": 2.0,
        "partial_rotary_factor": 0.75,
      },
    },
  ),
}


def make(folder: Path, name: str) -> None:
  import torch
  from transformers import AutoConfig, AutoModelForCausalLM, logging

  logging.disable_progress_bar()
  model_type, settings = MODELS[name]
  torch.manual_seed(sorted(MODELS).index(name))
  settings = dict(settings)
  if model_type == "gpt_neox":
    settings.pop("num_key_value_heads")
  config = AutoConfig.for_model(model_type, **settings)
  model = AutoModelForCausalLM.from_config(
    config, attn_implementation="eager", dtype=torch.float32
  )
  with torch.no_grad():
    for path, parameter in model.named_parameters():
      noise = torch.randn_like(parameter)
      if "norm" in path or ".ln_" in path or parameter.ndim == 1:
        scale = path.endswith("weight") and not model_type.startswith("gemma")
        parameter.copy_(0.4 * noise + (1.0 if scale else 0.0))
      elif "embed" in path or "wte" in path or "wpe" in path:
        # A tied head is large enough: its logits bring the size back.
        parameter.copy_(noise * (0.4 if config.tie_word_embeddings else 1.0))
      else:
        parameter.copy_(noise * 1.5 / min(parameter.shape) ** 0.5)
  model.eval()
  ids = torch.randint(0, VOCAB, (ROWS, TOKENS))
  with torch.no_grad():
    logits = model(ids).logits
  model.save_pretrained(folder)
  np.savez_compressed(
    folder / "golden.npz",
    ids=ids.numpy().astype(np.int32),
    logits=logits.numpy(),
  )
  print(f"{name}: logits within {logits.abs().max():.1f}")


def export_all(folder: Path) -> None:
  """Loads each fixture with alignjax and exports it again."""
  from alignjax import pretrained

  for name in MODELS:
    lm, params, tokenizer = pretrained.load(FOLDER / name)
    pretrained.export(folder / name, lm, params, tokenizer)
    print(name)


def check(folder: Path) -> None:
  """What transformers computes from alignjax's exports is what it was."""
  import torch
  from transformers import AutoModelForCausalLM, logging

  logging.disable_progress_bar()
  for name in MODELS:
    model, info = AutoModelForCausalLM.from_pretrained(
      folder / name,
      attn_implementation="eager",
      dtype=torch.float32,
      output_loading_info=True,
    )
    golden = np.load(FOLDER / name / "golden.npz")
    with torch.no_grad():
      logits = model(torch.tensor(golden["ids"]).long()).logits.numpy()
    config = json.loads((FOLDER / name / "config.json").read_text())
    print(
      f"{name}: {type(model).__name__} ({config['model_type']}), "
      f"max difference {np.abs(logits - golden['logits']).max():.1e}, "
      + ", ".join(f"{k} {len(v)}" for k, v in info.items() if v),
    )


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
  parser.add_argument("--export", type=Path, metavar="FOLDER")
  parser.add_argument("--check-export", type=Path, metavar="FOLDER")
  parser.add_argument("names", nargs="*", default=list(MODELS))
  args = parser.parse_args()
  if args.export:
    export_all(args.export)
  elif args.check_export:
    check(args.check_export)
  else:
    for name in args.names:
      make(FOLDER / name, name)


if __name__ == "__main__":
  main()
