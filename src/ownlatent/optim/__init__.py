"""Optimizers, and which parameters they decay and scale."""

from collections.abc import Sequence
from typing import Any

import torch
from torch.optim import Optimizer

from ownlatent.optim.groups import parameter_groups, set_rates
from ownlatent.optim.lars import LARS

__all__ = ["LARS", "optimizer", "parameter_groups", "set_rates"]

_LARS: dict[str, dict[str, Any]] = {
    "lars": {},
    "lars-simclr": {"rate_inside": True},
    "larc": {"joint_norm": False},
}


def optimizer(
    name: str,
    groups: Sequence[dict[str, Any]],
    lr: float,
    momentum: float = 0.9,
    fused: bool | None = None,
) -> Optimizer:
    """LARS in one of three papers' forms, SGD with momentum, or AdamW over
    :func:`parameter_groups`; ``fused`` is of torch's two, whose step is then one kernel."""
    if name in _LARS:
        return LARS(groups, lr=lr, momentum=momentum, **_LARS[name])
    if name == "sgd":
        return torch.optim.SGD(groups, lr=lr, momentum=momentum, fused=fused)
    return torch.optim.AdamW(groups, lr=lr, fused=fused)
