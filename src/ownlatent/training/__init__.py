"""The loop and what surrounds it. Imported when used: a list of runs needs no torch."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ownlatent.training.interrupt import Stopped
    from ownlatent.training.observer import Diverged
    from ownlatent.training.pretraining import Run, RunFailed, pretrain, resume, run
    from ownlatent.training.verdict import Collapsed

__all__ = ["Collapsed", "Diverged", "Run", "RunFailed", "Stopped", "pretrain", "resume", "run"]

_HOMES = {"Collapsed": "verdict", "Diverged": "observer", "Stopped": "interrupt"}


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module(f"{__name__}.{_HOMES.get(name, 'pretraining')}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
