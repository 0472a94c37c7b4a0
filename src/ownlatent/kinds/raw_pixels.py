"""What a result is held against: the same probe on features that learned nothing."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

RAW_SIDE = 32
"""Larger images are shrunk to this side before their pixels are taken as features."""


class RawPixels(nn.Module):
    """An image's own pixels as its features: ``[B, C, H, W]`` to float32 ``[B, C * h * w]``.

    Each channel is centred and scaled, as it is for the encoder: without that all images point
    the same way, and their neighbours would be a baseline easy to beat.

    Args:
        mean, std: of each channel, 1 being the brightest value there is.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1))

    def forward(self, pixels: Tensor, sizes: Tensor | None = None) -> Tensor:
        x = pixels.to(torch.float32) / torch.iinfo(pixels.dtype).max
        if max(x.shape[-2:]) > RAW_SIDE:
            x = F.interpolate(x, (RAW_SIDE, RAW_SIDE), mode="bilinear", antialias=True)
        return ((x - self.mean) / self.std).flatten(1)
