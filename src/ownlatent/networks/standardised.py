"""Networks that see one image at a time: group norm and standardised weights for batch norm."""

from collections.abc import Collection
from functools import cache
from typing import Any

import torch
from timm.layers.norm_act import BatchNormAct2d, GroupNormAct
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd


def standardised(weight: Tensor, epsilon: float = 1e-6) -> Tensor:
    """Each output unit's weights, less their mean, over their deviation across the fan-in.

    ``[outputs, ...]`` to the same: ``(w - mean) / sqrt(var + epsilon)`` (Qiao et al., 2019).
    """
    over = tuple(range(1, weight.ndim))
    var, mean = torch.var_mean(weight, over, correction=0, keepdim=True)
    return (weight - mean) * torch.rsqrt(var + epsilon)


class Standardised(nn.Module):
    """A layer whose ``weight`` reads as standardised; the parameter beneath is the one that is
    trained, averaged and saved, under the same name."""

    @property
    def weight(self) -> Tensor:
        return standardised(self._parameters["weight"])  # type: ignore[arg-type]


def without_batch_statistics(
    module: nn.Module, groups: int = 16, *, keep: Collection[nn.Module] = ()
) -> nn.Module:
    """Group norm for every batch norm below ``module``, and standardised weights, in place.

    The recipe of "BYOL works even without batch statistics" (Richemond et al., 2020;
    METHODS.md §1b): no output depends on the other images of the batch. Parameters are kept, with
    their values and names; running statistics are gone.

    Args:
        module: whose batch norms, convolutions and linear layers change.
        groups: of channels; where they do not divide a layer's channels, the largest number below
            that does. A head's layer, with one value a channel, has at least 8 channels a group:
            of one nothing would be left, of two only which is larger.
        keep: convolutions and linear layers whose weights stay as they are: those with no norm
            after them, like a head's last.
    """
    for layer in module.modules():
        for name, child in layer.named_children():
            if isinstance(child, _BatchNorm):
                setattr(layer, name, _group_norm(child, groups))
    kept = {id(layer) for layer in keep}
    for layer in module.modules():
        if id(layer) in kept or not isinstance(layer, _ConvNd | nn.Linear):
            continue
        # A fan-in of 1 has no deviation.
        if layer.weight[0].numel() > 1 and not isinstance(layer, Standardised):
            # The object stays, and with it its hooks, its place and all that refers to it.
            kind: Any = type(layer)
            layer.__class__ = _standardised(kind)
    return module


def _group_norm(layer: _BatchNorm, most: int) -> nn.GroupNorm:
    channels = layer.num_features
    if isinstance(layer, nn.BatchNorm1d):
        most = min(most, max(1, channels // 8))
    groups = next(n for n in range(min(most, channels), 0, -1) if channels % n == 0)
    norm: nn.GroupNorm
    if isinstance(layer, BatchNormAct2d):  # timm's, with the activation inside
        norm = GroupNormAct(channels, groups, layer.eps, layer.affine)
        norm.drop, norm.act = layer.drop, layer.act
    else:
        norm = nn.GroupNorm(groups, channels, layer.eps, layer.affine)
    norm.weight, norm.bias = layer.weight, layer.bias
    return norm.train(layer.training)


@cache
def _standardised(kind: Any) -> Any:
    """The same layer with ``weight`` read through :class:`Standardised`, whatever its forward."""
    return type(f"Standardised{kind.__name__}", (Standardised, kind), {})
