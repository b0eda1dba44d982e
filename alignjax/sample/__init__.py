"""Sampling inside jit: prefill, then a token a step with a KV cache.

Rows are decoded in slots. There is one for every row, or fewer: then the rows
wait in a queue, and short answers do not pay for long ones.
"""

from alignjax.sample.rows import Prompts, Samples, prompts_of
from alignjax.sample.sampler import make_sampler

__all__ = ["Prompts", "Samples", "make_sampler", "prompts_of"]
