"""The loop and what surrounds it."""

from ownlatent.training.interrupt import Stopped
from ownlatent.training.observer import Diverged
from ownlatent.training.pretrain import Run, RunFailed, pretrain, resume, run

__all__ = ["Diverged", "Run", "RunFailed", "Stopped", "pretrain", "resume", "run"]
