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
  package_data={
    "alignjax.instruct": ["datasets/*.yaml", "principles.md"],
    "alignjax.feedback.web": ["templates/*.html", "static/*"],
  },
  # All that the package imports. No torch: transformers is here for
  # tokenizers, chat templates and configs.
  install_requires=[
    "absl-py",
    "datasketch",  # MinHash
    "etils",
    "flax",
    "gguf",
    "grain",
    "huggingface-hub",
    "importlib-resources",  # tensorflow-datasets needs it and does not say so
    "jax",
    "jaxtyping",
    "jinja2",
    "markupsafe",
    "matplotlib",
    "ml-collections",
    "ml-dtypes",
    "numpy",
    "optax",
    "orbax-checkpoint",
    "pyarrow",
    "pyyaml",
    "rich",
    "sacrebleu",
    "safetensors>=0.8",
    "tensorboardX",
    "tensorflow-datasets",
    "tokenizers",
    "transformers>=5",
  ],
  extras_require={
    "tpu": ["jax[tpu]"],
    # The TPU's compiler, for a machine without one.
    "plan": [
      "jax[tpu]; sys_platform == 'linux' and platform_machine == 'x86_64'"
    ],
    "gcs": ["gcsfs"],  # folders of gs://
    "cuda12": ["jax[cuda12]"],
    "cuda13": ["jax[cuda13]"],
    "evals": ["lm_eval"],
    # krippendorff is GPL-3.0; nothing else of ours needs it.
    "feedback": ["itsdangerous", "krippendorff", "starlette", "uvicorn"],
    "wandb": ["wandb"],
    "test": ["beartype", "pre-commit", "pytest", "pytest-xdist", "ruff"],
  },
  entry_points={"console_scripts": ["alignjax=alignjax.cli:main"]},
  classifiers=[
    "Development Status :: 3 - Alpha",
    "Intended Audience :: Science/Research",
    "Programming Language :: Python :: 3.11",
    "Programming Language :: Python :: 3.12",
    "Programming Language :: Python :: 3.13",
    "Topic :: Scientific/Engineering :: Artificial Intelligence",
  ],
)
