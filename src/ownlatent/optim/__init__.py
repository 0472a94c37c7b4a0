"""Optimizers, and which parameters they decay and scale."""

from collections.abc import Sequence
from typing import Any

import torch
from torch.optim import Optimizer

from ownlatent.optim.groups import parameter_groups
from ownlatent.optim.lars import LARS

__all__ = ["LARS", "OPTIMIZERS", "optimizer", "parameter_groups"]

OPTIMIZERS = ("lars", "sgd", "adamw")


def optimizer(
    name: str, groups: Sequence[dict[str, Any]], lr: float, momentum: float = 0.9
) -> Optimizer:
    """LARS, SGD with momentum, or AdamW over :func:`parameter_groups`."""
    if name == "lars":
        return LARS(groups, lr=lr, momentum=momentum)
    plain = [{k: v for k, v in group.items() if k != "adapt"} for group in groups]
    if name == "sgd":
        return torch.optim.SGD(plain, lr=lr, momentum=momentum)
    return torch.optim.AdamW(plain, lr=lr)
