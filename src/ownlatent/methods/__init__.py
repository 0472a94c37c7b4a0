"""The methods, each one short file, and their papers' recipes."""

from ownlatent.methods.byol import BYOL
from ownlatent.methods.method import Method, Outcome

METHODS: dict[str, type[BYOL]] = {"byol": BYOL}

__all__ = ["BYOL", "METHODS", "Method", "Outcome"]
