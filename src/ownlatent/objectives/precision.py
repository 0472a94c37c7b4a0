"""Losses are computed in float32 at least, mixed precision or not."""

import torch
from torch import Tensor


def widen(x: Tensor) -> Tensor:
    """Bring bfloat16 and float16 to float32; float32 and float64 stay as they are."""
    return x.float() if x.dtype.itemsize < 4 else x


def product(a: Tensor, b: Tensor) -> Tensor:
    """Multiply two matrices in their own dtype: autocast would round them to 16 bits first."""
    with torch.autocast(a.device.type, enabled=False):
        return a @ b
