"""Which parameters decay and adapt, and which do not."""

from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _NormBase

NORMALISATIONS = (_NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Two groups: weights, and the biases and normalisation parameters that skip decay and scaling.

    The paper excludes both from weight decay and from LARS adaptation (BYOL, section 3.3). They are
    told by what they are, not by their number of dimensions. Frozen parameters are left out.
    """
    plain: list[nn.Parameter] = []
    excluded: list[nn.Parameter] = []
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if not parameter.requires_grad:
                continue
            exclude = name == "bias" or isinstance(module, NORMALISATIONS) or parameter.ndim <= 1
            (excluded if exclude else plain).append(parameter)
    return [
        {"params": plain, "weight_decay": weight_decay, "adapt": True},
        {"params": excluded, "weight_decay": 0.0, "adapt": False},
    ]
