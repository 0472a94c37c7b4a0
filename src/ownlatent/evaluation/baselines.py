"""What a result is held against: the same probe on features that learned nothing."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

RAW_SIDE = 32
"""Larger images are shrunk to this side before their pixels are taken as features."""


class RawPixels(nn.Module):
    """An image's own pixels as its features: ``[B, C, H, W]`` to float32 ``[B, C * h * w]``."""

    def forward(self, pixels: Tensor, sizes: Tensor | None = None) -> Tensor:
        x = pixels.to(torch.float32) / torch.iinfo(pixels.dtype).max
        if max(x.shape[-2:]) > RAW_SIDE:
            x = F.interpolate(x, (RAW_SIDE, RAW_SIDE), mode="bilinear", antialias=True)
        return x.flatten(1)
