"""Which parameters decay and adapt, and which do not."""

from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _NormBase

NORMALISATIONS = (_NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)


def parameter_groups(
    model: nn.Module,
    weight_decay: float,
    *,
    decay_all: bool = False,
    bias_lr: float = 1.0,
    predictor_lr: float = 1.0,
    predictor_fixed: bool = False,
) -> list[dict[str, Any]]:
    """Weights, and the biases and normalisation parameters that skip decay and scaling.

    The paper excludes both from weight decay and from LARS adaptation (BYOL, section 3.3). They are
    told by what they are, not by their number of dimensions. Frozen parameters are left out.

    Args:
        model: a method; its ``predictor``, if it has one, may go at a rate of its own.
        weight_decay: of the weights.
        decay_all: exclude nothing, as MoCo, SimSiam and SwAV.
        bias_lr: learning rate of the excluded ones, over that of weights.
        predictor_lr: learning rate of the predictor, over that of the rest.
        predictor_fixed: the predictor's rate stays at its peak (SimSiam, section 4.2).

    Returns:
        groups with ``weight_decay``, ``adapt``, ``lr_scale`` and ``fixed_lr``.
    """
    apart: set[int] = set()
    predictor = getattr(model, "predictor", None)
    if isinstance(predictor, nn.Module) and (predictor_lr != 1.0 or predictor_fixed):
        apart = {id(p) for p in predictor.parameters()}
    sorted_out: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if not parameter.requires_grad:
                continue
            exclude = name == "bias" or isinstance(module, NORMALISATIONS) or parameter.ndim <= 1
            key = (id(parameter) in apart, exclude and not decay_all)
            sorted_out.setdefault(key, []).append(parameter)
    return [
        {
            "params": parameters,
            "weight_decay": 0.0 if excluded else weight_decay,
            "adapt": not excluded,
            "lr_scale": (bias_lr if excluded else 1.0) * (predictor_lr if separate else 1.0),
            "fixed_lr": separate and predictor_fixed,
        }
        for (separate, excluded), parameters in sorted(sorted_out.items())
    ]


def set_rates(groups: list[dict[str, Any]], lr: float, peak: float, weight_decay: float) -> None:
    """Give every group its learning rate and decay for this step."""
    for group in groups:
        group["lr"] = (peak if group["fixed_lr"] else lr) * group["lr_scale"]
        if group["adapt"]:
            group["weight_decay"] = weight_decay
