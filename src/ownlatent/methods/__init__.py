"""The methods, each one short file, and their papers' recipes.

Their classes are found here by name (``ownlatent.methods.SwAV``) as soon as their file and their
row in the recipe table are there.
"""

from ownlatent.methods.crops import GLOBAL, mean_over_pairs
from ownlatent.methods.method import About, Method, Outcome
from ownlatent.methods.presets import Preset
from ownlatent.methods.queue import Queue
from ownlatent.methods.registry import METHODS, find, preset, presets

__all__ = [
    "GLOBAL",
    "METHODS",
    "About",
    "Method",
    "Outcome",
    "Preset",
    "Queue",
    "find",
    "mean_over_pairs",
    "preset",
    "presets",
]
_CLASSES = {kind.__name__: kind for kind in METHODS.values()}


def __getattr__(name: str) -> type[Method]:
    if name in _CLASSES:
        return _CLASSES[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, *_CLASSES])
