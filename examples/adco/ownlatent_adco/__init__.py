"""AdCo as a method of ownlatent."""

from ownlatent_adco.method import AdCo

__all__ = ["AdCo"]
