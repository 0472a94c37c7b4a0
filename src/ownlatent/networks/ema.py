"""The target network: an exponential moving average of the online one."""

import copy
from collections.abc import Sequence
from typing import Any

import torch
from timm.layers.drop import DropPath
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd

from ownlatent.networks.sharding import shards


class EMA(nn.Module):
    """A network whose parameters follow another's.

    Only parameters are averaged, in float32. Buffers are neither averaged nor copied: batch norm
    keeps the statistics of the target's own forwards, which run in train mode (METHODS.md §1).
    Dropout and drop-path act on the online network only (METHODS.md §12.16).

    Args:
        online: the network to follow.
        start: where to start from, a network of the same shape; None: a copy of ``online``.
    """

    def __init__(self, online: nn.Module, start: nn.Module | None = None) -> None:
        super().__init__()
        self.network = copy.deepcopy(online if start is None else start).requires_grad_(False)
        for module in self.network.modules():
            if isinstance(module, DropPath):
                module.drop_prob = 0.0
            elif isinstance(module, _DropoutNd):
                module.p = 0.0

    @torch.no_grad()
    def forward(self, x: Tensor) -> Any:
        """The target's output, through which no gradient flows."""
        return self.network(x)

    @torch.no_grad()
    def together(self, views: Sequence[Tensor]) -> Any:
        """The same of a :class:`.Tower`'s ``together``."""
        return self.network.together(views)  # type: ignore[operator]

    @torch.no_grad()
    def update(self, online: nn.Module, rate: float) -> None:
        """``target <- rate * target + (1 - rate) * online``, after the optimizer's step (eq. 1)."""
        own, others = shards(self.network.parameters()), shards(online.parameters())
        torch._foreach_lerp_(own, others, 1.0 - rate)
