"""Activation checkpointing: less memory for one more forward pass (Chen et al., 2016)."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import cache, partial
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from ownlatent.errors import UsageError
from ownlatent.networks.blocks import blocks


def recompute(net: nn.Module, name: str) -> int:
    """Let each block of a backbone keep its input alone in training, and compute the rest again in
    the backward pass.

    Loss, gradients and buffers stay what they are to the bit: random numbers are drawn again as
    they were, and running statistics see a batch once. What a pass without gradients does is not
    changed.

    Args:
        net: a backbone; changed in place, its state dict stays as it is.
        name: what to call it.

    Returns:
        how many blocks there are.

    Raises:
        UsageError: it has no sequence of blocks.
    """
    found = blocks(net)
    if not found:
        raise UsageError(
            f"{name} has no sequence of blocks to compute again; leave --recompute out, or make "
            "room with --accumulate."
        )
    for block in found:
        # A copy keeps its class, as it would keep no wrapper.
        block.__class__ = _recomputed(type(block))  # type: ignore[arg-type]
    return len(found)


@cache
def _recomputed(kind: type[Any]) -> type[Any]:
    """A kind of block that is computed again in the backward pass."""

    def forward(self: Any, *inputs: Any, **options: Any) -> Any:
        plain = partial(kind.forward, self)
        if not torch.is_grad_enabled():
            return plain(*inputs, **options)
        return checkpoint(
            plain, *inputs, use_reentrant=False, context_fn=lambda: (nullcontext(), _apart(self)),
            **options,
        )  # fmt: skip

    return type(kind.__name__, (kind,), {"forward": forward})


@contextmanager
def _apart(block: nn.Module) -> Iterator[None]:
    """Leave buffers alone: running statistics have seen this batch."""
    kept = [(module, dict(module._buffers)) for module in block.modules() if module._buffers]
    for module, buffers in kept:
        for name, buffer in buffers.items():
            module._buffers[name] = None if buffer is None else buffer.clone()
    try:
        yield
    finally:
        for module, buffers in kept:
            module._buffers.update(buffers)
