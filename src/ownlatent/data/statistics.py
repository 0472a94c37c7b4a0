"""Brightness and spread of the channels of a data set."""

from typing import Any

import torch
from torch import Tensor

ROWS = 1024
"""Images looked at: the mean is then known to about 3 % of the spread between images."""
_CHUNK = 32


def spread_rows(count: int) -> Tensor:
    """At most 1,024 of ``count`` rows, evenly spread: int64 ``[K]``."""
    return torch.linspace(0, count - 1, min(count, ROWS), dtype=torch.float64).round().long()


def channel_statistics(samples: Any) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each channel, 1 being the brightest value there is.

    Over at most 1,024 canvases spread evenly over the rows, each canvas counting the same.

    Returns:
        two float32 ``[C]``. The deviation of a constant channel is 0.
    """
    rows = spread_rows(len(samples))
    shape = samples.shape
    total = square = torch.zeros(shape.channels, dtype=torch.float64)
    for start in range(0, len(rows), _CHUNK):
        values = samples.batch(rows[start : start + _CHUNK], "cpu")[0].double()
        total = total + values.sum(dim=(0, 2, 3))  # sums of integers: exact
        square = square + values.square().sum(dim=(0, 2, 3))
    count = len(rows) * shape.height * shape.width
    white = 65535 if shape.bits == 16 else 255
    mean = total / count
    deviation = (square / count - mean.square()).clamp(min=0).sqrt()
    return (mean / white).float(), (deviation / white).float()
