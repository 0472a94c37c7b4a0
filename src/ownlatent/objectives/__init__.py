"""The losses: pure functions of tensors, each with its equation."""

from ownlatent.objectives.byol import byol

__all__ = ["byol"]
