"""One batch, though several processes hold it: the gather that every contrast between images needs.

With it a method is written once, as if there were one process. Each process then computes the same
loss of the whole batch, and the gradients of all of them, averaged as DDP does, are those of one
process with that batch (METHODS.md §12.12 and 12.13 tell of the ways to get this wrong).
"""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def world_size() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def gather(x: Tensor) -> Tensor:
    """``[B, ...]`` of every process to ``[world * B, ...]``, in order of rank; differentiable."""
    gathered: Tensor = x if world_size() == 1 else _Gather.apply(x)
    return gathered


def own(x: Tensor) -> Tensor:
    """This process's rows of what :func:`gather` gave."""
    return x if world_size() == 1 else x.chunk(world_size())[dist.get_rank()]


class _Gather(torch.autograd.Function):
    """Backward gives each process its own rows' gradient, ``world`` times: every process computes
    the same loss, so the sum over processes that the exact gradient asks for is that product."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        x = x.contiguous()
        parts = [torch.empty_like(x) for _ in range(world_size())]
        dist.all_gather(parts, x)
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return own(gradient) * world_size()
