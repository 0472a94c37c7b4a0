"""Methods and runs small enough to follow, for the tests beside this file."""

import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ownlatent.config import Pretrain
from ownlatent.data import Canvases, decode_canvases, open_source
from ownlatent.methods import METHODS
from ownlatent.methods.options import defaults
from ownlatent.networks import backbone
from ownlatent.training.session import prepare

sys.path.append(str(Path(__file__).parents[2] / "examples"))

from example_packages import classes

EXAMPLES = classes()
ALL = METHODS | EXAMPLES
"""Ours and the examples', by name; only ours can be asked for by it."""
_SMALL = {
    "hidden": 32, "dim": 16, "prototypes": 12, "queue": 40, "bottleneck": 8, "slices": 8,
    "clusters": 5, "adversaries": 40, "width": 16, "depth": 1, "heads": 2,
}  # fmt: skip
_BACKBONES = {"mae": "small-vit"}


def small(name: str) -> dict[str, Any]:
    """Small options of a method; SwAV goes without its queue, as by default."""
    options = {k: v for k, v in _SMALL.items() if k in defaults(ALL[name])}
    return options | ({"queue": 0} if name == "swav" else {})


def build(name: str, **options: Any) -> Any:
    """A method on a small network, the same one each time."""
    torch.manual_seed(0)
    net, _ = backbone(_BACKBONES.get(name, "small-resnet"), 3, 12)
    method: Any = ALL[name]
    return method(net, **small(name) | options)


def views(crops: int = 0, batch: int = 8, dtype: torch.dtype = torch.float32) -> list[Tensor]:
    """Two views of 12 pixels, and local crops of 8."""
    generator = torch.Generator().manual_seed(1)
    sides = [12, 12, *[8] * crops]
    return [torch.randn(batch, 3, s, s, generator=generator, dtype=dtype) for s in sides]


def images() -> Canvases:
    torch.manual_seed(0)
    return decode_canvases(open_source(torch.randint(0, 256, (64, 3, 12, 12)).byte()))


def session(name: str, options: dict[str, Any] | None = None, **run: Any) -> Any:
    """A run of 64 images in batches of 16, by SGD in float32, with a method's small options."""
    settings = small(name) | (options or {})
    asked: dict[str, Any] = {
        "data": "x", "method": name, "set": tuple(f"{k}={v}" for k, v in settings.items()),
        "batch_size": 16, "steps": 4, "optimizer": "sgd", "warmup_epochs": 0, "base_lr": 1.6,
        "backbone": _BACKBONES.get(name, "small-resnet"), "size": 12, "precision": "fp32",
        "log_every": 1,
    }  # fmt: skip
    return prepare(Pretrain(**asked | run), images())


class Silent:
    """An observer and keeper that sees everything and says nothing."""

    def see(self, *_: Any) -> None: ...
    def report(self, *_: Any) -> None: ...
    def after(self, *_: Any) -> None: ...
