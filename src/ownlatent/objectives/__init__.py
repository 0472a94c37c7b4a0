"""The losses: pure functions of tensors, each with its equation."""

from .byol import byol

__all__ = ["byol"]
