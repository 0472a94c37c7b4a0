"""The target network: an exponential moving average of the online one."""

import copy

import torch
from torch import Tensor, nn


class EMA(nn.Module):
    """A copy of a network whose parameters follow the original's.

    Only parameters are averaged, in float32. Buffers are neither averaged nor copied: batch norm
    keeps the statistics of the target's own forwards, which run in train mode (METHODS.md §1).

    Args:
        online: the network to follow; the copy starts equal to it.
    """

    def __init__(self, online: nn.Module) -> None:
        super().__init__()
        self.network = copy.deepcopy(online).requires_grad_(False)

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        """The target's output, through which no gradient flows."""
        output: Tensor = self.network(x)
        return output

    @torch.no_grad()
    def update(self, online: nn.Module, rate: float) -> None:
        """``target <- rate * target + (1 - rate) * online``, after the optimizer's step (eq. 1)."""
        torch._foreach_lerp_(list(self.network.parameters()), list(online.parameters()), 1.0 - rate)
