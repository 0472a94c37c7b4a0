"""Encoders of vectors: residual multi-layer perceptrons."""

from typing import Any

import torch
from torch import Tensor, nn


class ResidualMLP(nn.Module):
    """A linear layer, then residual blocks of two, with batch norm: ``[B, D]`` to
    ``[B, num_features]``.

    The tabular ResNet of Gorishniy et al. (2021), with the norm after the linear layers.

    Args:
        inputs: D.
        width: of the features.
        blocks: residual ones.
    """

    def __init__(self, inputs: int, width: int = 256, blocks: int = 2) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Linear(inputs, width, bias=False), nn.BatchNorm1d(width))
        self.blocks = nn.ModuleList(_block(width) for _ in range(blocks))
        self.num_features = width

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.first(x))
        for block in self.blocks:
            x = torch.relu(x + block(x))
        return x


def _block(width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(width, width, bias=False),
        nn.BatchNorm1d(width),
        nn.ReLU(inplace=True),
        nn.Linear(width, width, bias=False),
        nn.BatchNorm1d(width),
    )


MLPS: dict[str, dict[str, Any]] = {
    "mlp": {"width": 256, "blocks": 2},
    "mlp-small": {"width": 128, "blocks": 1},
    "mlp-large": {"width": 512, "blocks": 3},
}
