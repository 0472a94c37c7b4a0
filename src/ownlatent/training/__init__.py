"""The loop and what surrounds it."""

from ownlatent.training.observer import Diverged
from ownlatent.training.pretrain import Run, pretrain, run

__all__ = ["Diverged", "Run", "pretrain", "run"]
