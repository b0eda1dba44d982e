"""Packaging of alignjax. Versions are pinned in constraints.txt."""

from pathlib import Path

from setuptools import find_packages, setup

setup(
  name="alignjax",
  version="0.1.0",
  description="Post-training of language models in JAX",
  long_description=Path(__file__).with_name("README.md").read_text("utf-8"),
  long_description_content_type="text/markdown",
  license="Apache-2.0",
  python_requires=">=3.11",
  packages=find_packages(include=["alignjax", "alignjax.*"]),
  install_requires=[
    "jax",
    "flax",
    "optax",
    "orbax-checkpoint",
    "grain",
    "tensorflow-datasets",
    "transformers>=5",
    "ml-collections",
    "absl-py",
    "jaxtyping",
    "safetensors",
    "gguf",
    "jinja2",
    "numpy",
    "rich",
    "tensorboardX",
    "matplotlib",
  ],
  extras_require={
    "tpu": ["jax[tpu]"],
    "cuda12": ["jax[cuda12]"],
    "cuda13": ["jax[cuda13]"],
    "wandb": ["wandb"],
    "test": ["pytest", "beartype", "ruff", "pre-commit"],
  },
  entry_points={"console_scripts": ["alignjax=alignjax.cli:main"]},
)
