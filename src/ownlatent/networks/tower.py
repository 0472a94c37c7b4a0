"""A backbone and the projector on top of it: what BYOL calls f and g."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn


class Tower(nn.Module):
    """``[B, C, H, W]`` to features ``[B, F]`` and their projection ``[B, D]``."""

    projector: Any

    def __init__(self, backbone: Any, projector: Any) -> None:
        super().__init__()
        self.backbone = backbone
        self.projector = projector

    def forward(self, view: Tensor) -> tuple[Tensor, Tensor]:
        features: Tensor = self.backbone(view)
        return features, self.projector(features)

    def together(self, views: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Features and projections of each view, with one batch-norm batch per resolution in the
        backbone and one for all views in the projector, as SwAV and DINO have it."""
        features: list[Tensor] = []
        start = 0
        for end in range(1, len(views) + 1):  # itertools.groupby would break a compiled graph
            if end == len(views) or views[end].shape[-2:] != views[start].shape[-2:]:
                features += as_one(self.backbone, list(views[start:end]))
                start = end
        return features, as_one(self.projector, features)


def as_one(network: Callable[[Tensor], Tensor], parts: Sequence[Tensor]) -> list[Tensor]:
    """Pass several ``[B, ...]`` through a network as one batch, and take them apart again.

    Parts of one image lie side by side, so that batch norm over groups of the batch
    (:class:`.GroupBatchNorm`) puts all views of an image into one group.
    """
    # Channels go last and back, which is how convolutions want them in memory.
    batch = torch.stack([part.movedim(1, -1) for part in parts], 1)
    out = network(batch.flatten(0, 1).movedim(-1, 1))
    return list(out.view(*batch.shape[:2], *out.shape[1:]).unbind(1))
