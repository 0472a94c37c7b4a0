"""The loop and what surrounds it."""

from ownlatent.training.interrupt import Stopped
from ownlatent.training.observer import Diverged
from ownlatent.training.pretrain import Run, RunFailed, pretrain, resume, run
from ownlatent.training.verdict import Collapsed

__all__ = ["Collapsed", "Diverged", "Run", "RunFailed", "Stopped", "pretrain", "resume", "run"]
