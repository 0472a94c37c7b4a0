"""ownlatent: bootstrap your own latent, from your own images.

The names below are the public face; heavy libraries are imported when one is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ownlatent import diagnostics, methods, objectives, optim, schedules, sklearn, views
    from ownlatent.embeddings.search import search
    from ownlatent.embeddings.store import open_store
    from ownlatent.encoder import Encoder, load_encoder
    from ownlatent.errors import UsageError
    from ownlatent.evaluation import evaluate
    from ownlatent.exporting import export
    from ownlatent.training import Collapsed, Diverged, Run, RunFailed, Stopped, pretrain, resume

__version__ = "0.1.0"

_HOMES = {
    "Collapsed": "training",
    "Diverged": "training",
    "Encoder": "encoder",
    "Run": "training",
    "RunFailed": "training",
    "Stopped": "training",
    "UsageError": "errors",
    "evaluate": "evaluation",
    "export": "exporting",
    "load_encoder": "encoder",
    "open_store": "embeddings",
    "pretrain": "training",
    "resume": "training",
    "search": "embeddings",
}
_ROOMS = ("diagnostics", "methods", "objectives", "optim", "schedules", "sklearn", "views")

__all__ = [
    "Collapsed",
    "Diverged",
    "Encoder",
    "Run",
    "RunFailed",
    "Stopped",
    "UsageError",
    "diagnostics",
    "evaluate",
    "export",
    "load_encoder",
    "methods",
    "objectives",
    "open_store",
    "optim",
    "pretrain",
    "resume",
    "schedules",
    "search",
    "sklearn",
    "views",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"ownlatent.{_HOMES[name]}"), name)
    if name in _ROOMS:
        return import_module(f"ownlatent.{name}")
    raise AttributeError(f"module 'ownlatent' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
