"""Images: canvases, views that crop and colour, convolutional networks and transformers."""

from typing import Any, ClassVar

import torch
from torch import nn

from ownlatent.checks import require_options, with_tuples
from ownlatent.config import BOUNDS, Plan, Pretrain
from ownlatent.data import (
    Canvases,
    Source,
    Streamed,
    Unreadable,
    as_canvases,
    canvases_or_stream,
    open_source,
)
from ownlatent.data.decoding import Progress
from ownlatent.errors import UsageError
from ownlatent.kinds.kind import Kind, Looks
from ownlatent.kinds.raw_pixels import RawPixels
from ownlatent.networks import backbone
from ownlatent.preprocessing import Preprocessing, ToPixels
from ownlatent.views import SMALL, Views, default_size, default_views

_BOUNDS = {"channels": (1, 16), "size": (1, 4096), "crop": (0.01, 1)}


def view_size(asked: int | None, largest: int) -> int:
    """Side of the views: as asked, or the images' own if they are small, or 224.

    Raises:
        UsageError: it is too small.
    """
    size = asked or default_size(largest)
    if size < BOUNDS["size"][0]:
        raise UsageError(f"Views of {size} pixels are too small; take --size 8 or more.")
    return size


class Images(Kind):
    name = "images"
    noun = "images"
    unit = "pixels"
    backbone: ClassVar = "resnet18"

    def open(
        self, data: Any, *, size: int, labelled: bool, label: str | None, like: Any = None
    ) -> Canvases:
        return as_canvases(data, view_size=size, labelled=labelled)

    def samples(
        self, config: Pretrain, data: Any, *, device: torch.device, progress: Progress | None
    ) -> Canvases | Streamed:
        if isinstance(data, Canvases | Streamed):
            return data
        source = open_source(data, labelled=config.labelled)
        return canvases_or_stream(
            source,
            side=config.canvas,
            view_size=view_size(config.size, _largest(source)),
            workers=config.workers,
            place=config.place,
            device=device,
            progress=progress,
        )

    def looks(self, config: Pretrain, samples: Canvases | Streamed, family: str) -> Looks:
        if config.label is not None:
            raise UsageError("Images have no columns: leave --label out, and see --labelled.")
        size = view_size(config.size, samples.largest)
        mean, std = samples.channel_statistics()
        return Looks(
            size,
            config.views or default_views(size, family),
            tuple(mean.tolist()),
            tuple(s or 1.0 for s in std.tolist()),
        )

    def views(self, config: Pretrain, plan: Plan, samples: Canvases | Streamed) -> nn.Module:
        return Views(
            plan.views,
            plan.size,
            mean=plan.mean,
            std=plan.std,
            reference=config.reference,
            crops=plan.crops,
        )

    def preprocessing(self, plan: Plan, samples: Canvases | Streamed) -> Preprocessing:
        channels, height, width = samples.shape.channels, samples.shape.height, samples.shape.width
        small = max(height, width) <= SMALL
        return Preprocessing(
            channels=channels,
            # Small images are encoded at their own size: random crops enlarge what they show, so
            # objects then appear as large as in training.
            size=max(height, width) if small else plan.size,
            crop=1.0 if small else 224 / 256,
            mean=plan.mean,
            std=plan.std,
        )

    def restored(self, stored: dict[str, Any]) -> Preprocessing:
        preprocessing = Preprocessing(**with_tuples(stored))
        require_options(preprocessing, _BOUNDS)
        if {len(preprocessing.mean), len(preprocessing.std)} != {preprocessing.channels}:
            raise TypeError("mean and std must have a number for each channel")
        return preprocessing

    def preprocess(self, preprocessing: Preprocessing) -> ToPixels:
        return ToPixels(preprocessing)

    def network(
        self, name: str, preprocessing: Preprocessing, size: int, **options: Any
    ) -> tuple[nn.Module, str]:
        return backbone(name, preprocessing.channels, size, **options)

    def raw(self, preprocessing: Preprocessing) -> tuple[str, nn.Module]:
        return "raw pixels", RawPixels(preprocessing.mean, preprocessing.std)


def _largest(source: Source) -> int:
    """The largest side among a few images: enough to tell thumbnails from photographs."""
    largest = 1
    for index in range(0, len(source), max(1, len(source) // 16)):
        try:
            header = source.header(index)
        except Unreadable:
            continue
        largest = max(largest, header.height, header.width)
    return largest
