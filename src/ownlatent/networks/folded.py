"""A network for inference alone: batch norms folded into the convolutions before them."""

import copy
from typing import Any

import torch
from torch import nn
from torch.fx.experimental.optimization import fuse


def folded(net: nn.Module) -> nn.Module:
    """A copy in eval mode and channels-last memory, whose values differ by rounding alone.

    A batch norm in eval mode is one scale and shift of each channel, which the weights and the
    bias of the convolution before it can hold (Jacob et al., 2018, section 3.2). What cannot be
    traced, or has no such pairs, is only copied.
    """
    made: Any = copy.deepcopy(net).eval()
    if any(isinstance(module, nn.BatchNorm2d) for module in made.modules()):
        try:
            made = fuse(made)
        except Exception:  # tracing meets what it cannot follow with many types
            made = copy.deepcopy(net).eval()
    kept: nn.Module = made.requires_grad_(False).to(memory_format=torch.channels_last)
    return kept
