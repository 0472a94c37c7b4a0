"""A small residual network for small images on small machines."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def convolution(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """3x3 convolution, batch norm, ReLU."""
    # torch's own initialisation: smaller weights, which batch norm turns into longer steps.
    conv = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


class Residual(nn.Module):
    """Two convolutions around which the input is carried (He et al., 2016)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = convolution(width, width)
        self.second = convolution(width, width)[:2]

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.second(self.first(x)))


class SmallResNet(nn.Module):
    """A convolution per stage, each after the first halving the side, some with a residual block.

    Its cost sits where a CPU is efficient: few layers, wide ones at low resolution. The last map is
    averaged in the cells of a coarse grid: what so small a net knows of a place is worth keeping
    apart from what it knows of the others (Coates, Ng & Lee, 2011, pool in quadrants too).

    Args:
        channels: of the images.
        widths: of the stages.
        residual: which stages have a residual block.
        grid: cells along a side; ``num_features`` is the last width times ``grid**2``.
    """

    def __init__(
        self, channels: int, widths: Sequence[int], residual: Sequence[bool], grid: int = 1
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = channels
        for stage, (width, has_block) in enumerate(zip(widths, residual, strict=True)):
            layers.append(convolution(inputs, width, stride=1 if stage == 0 else 2))
            if has_block:
                layers.append(Residual(width))
            inputs = width
        self.stages = nn.Sequential(*layers)
        self.grid = grid
        self.num_features = inputs * grid**2

    def forward(self, x: Tensor) -> Tensor:
        """``[B, channels, H, W]`` to ``[B, num_features]``, averaged in float32 at least."""
        features: Tensor = self.stages(x)
        wide = features.to(torch.promote_types(features.dtype, torch.float32))
        return F.adaptive_avg_pool2d(wide, self.grid).flatten(1)


SMALL_RESNETS: dict[str, dict[str, Any]] = {
    "small-resnet": {
        "widths": (32, 64, 128, 384),
        "residual": (False, False, True, False),
        "grid": 2,
    }
}
