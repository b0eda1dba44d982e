"""Instruction data: by hand, converted, from guidelines, generated."""
