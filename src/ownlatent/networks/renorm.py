"""What may stand where batch norm stands: group, layer or instance norm, or none."""

from collections.abc import Collection
from typing import Any

import torch.nn.functional as F
from timm.layers.norm_act import BatchNormAct2d, GroupNormAct
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from ownlatent.errors import UsageError
from ownlatent.networks.standardised import without_batch_statistics

NORMS = {
    "batch": "batch norm",
    "group": "group norm and standardised weights",
    "layer": "layer norm",
    "instance": "instance norm",
    "none": "no norm",
}
"""By name, in words."""


def replace_batch_norm(
    module: nn.Module, norm: str, *, keep: Collection[nn.Module] = ()
) -> nn.Module:
    """Put another norm, or none, in the place of every batch norm below ``module``, in place.

    With x of C channels, and mean and deviation as in Wu & He (2018), equation 1 and figure 2:

    - ``"batch"``: nothing changes.
    - ``"group"``: :func:`without_batch_statistics`, standardised weights included.
    - ``"layer"``: over all channels and places of an image (Ba, Kiros & Hinton, 2016).
    - ``"instance"``: over the places of each channel of an image (Ulyanov, Vedaldi & Lempitsky,
      2016). A head, which has one value a channel, takes layer norm: nothing would be left.
    - ``"none"``: x + bias, the bias that batch norm had; where the layer before has one of its own,
      x as it is.

    Scale and offset of the norms are batch norm's parameters, with their values and names; running
    statistics are gone, so no output depends on the other images of the batch.

    Args:
        module: whose batch norms change.
        norm: a key of :data:`NORMS`.
        keep: convolutions and linear layers whose weights "group" leaves as they are.

    Raises:
        UsageError: there is no such norm.
    """
    if norm not in NORMS:
        raise UsageError(f"norm is one of {', '.join(NORMS)}; got {norm!r}.")
    if norm == "group":
        return without_batch_statistics(module, keep=keep)
    if norm == "batch":
        return module
    for layer in list(module.modules()):
        before: Any = None
        for name, child in list(layer.named_children()):
            if isinstance(child, _BatchNorm):
                setattr(layer, name, _instead(child, norm, before))
            before = child
    return module


class InstanceNorm(nn.Module):
    """``[B, C, H, W]`` to the same: each channel of each image less its mean, over its deviation.

    Raises:
        UsageError: the maps are of one pixel, of which nothing would be left.
    """

    def __init__(self, layer: _BatchNorm) -> None:
        super().__init__()
        self.weight, self.bias, self.eps = layer.weight, layer.bias, layer.eps
        self.drop, self.act = _inside(layer)

    def forward(self, x: Tensor) -> Tensor:
        if x[0, 0].numel() == 1:
            raise UsageError(
                "Instance norm leaves nothing of maps of one pixel, and this network has such; "
                "take larger views or --norm layer."
            )
        x = F.instance_norm(x, weight=self.weight, bias=self.bias, eps=self.eps)
        out: Tensor = self.act(self.drop(x))
        return out


class Shift(nn.Module):
    """``[B, C, ...]`` plus a bias per channel: what is left of a batch norm that does not
    normalise. It is the bias that the convolution before has not."""

    def __init__(self, layer: _BatchNorm, bias: nn.Parameter | None) -> None:
        super().__init__()
        self.bias = bias
        self.drop, self.act = _inside(layer)

    def forward(self, x: Tensor) -> Tensor:
        if self.bias is not None:
            x = x + self.bias.view(-1, *[1] * (x.ndim - 2))
        out: Tensor = self.act(self.drop(x))
        return out


def _instead(layer: _BatchNorm, norm: str, before: Any) -> nn.Module:
    new: nn.Module
    if norm == "none":
        # A second bias would be the same one at twice the rate; one fixed at 0 is none.
        own = isinstance(before, _ConvNd | nn.Linear) and before.bias is not None
        given = layer.bias is not None and layer.bias.requires_grad and not own
        new = Shift(layer, layer.bias if given else None)
    elif norm == "instance" and not isinstance(layer, nn.BatchNorm1d):
        new = InstanceNorm(layer)
    else:
        channels = layer.num_features
        if isinstance(layer, BatchNormAct2d):
            new = GroupNormAct(channels, 1, layer.eps, layer.affine)
            new.drop, new.act = _inside(layer)
        else:
            new = nn.GroupNorm(1, channels, layer.eps, layer.affine)
        new.weight, new.bias = layer.weight, layer.bias
    return new.train(layer.training)


def _inside(layer: Any) -> tuple[nn.Module, nn.Module]:
    """Dropout and activation that timm has inside its norm, or nothing."""
    if isinstance(layer, BatchNormAct2d):
        return layer.drop, layer.act
    return nn.Identity(), nn.Identity()
