"""The multi-layer perceptrons that methods put on a backbone, as projectors and as predictors."""

from collections.abc import Callable
from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ownlatent.networks.sharding import shards


def mlp(
    *widths: int,
    bias: bool = False,
    norm: bool = True,
    activation: type[nn.Module] = nn.ReLU,
    last_bias: bool = False,
    last_norm: Literal["scale", "plain"] | None = None,
    init: Callable[[nn.Linear], None] | None = None,
) -> nn.Sequential:
    """Linear layers with batch norm and an activation between them, ``[B, first]`` to
    ``[B, last]``.

    Args:
        widths: of the input, of each hidden layer, of the output.
        bias, last_bias: whether the hidden layers have one, and whether the last has.
        norm: batch norm after each hidden layer.
        activation: after each hidden layer.
        last_norm: batch norm on the output, with a scale and no offset ("scale") or with neither
            ("plain"); None: nothing after the last layer.
        init: sets a linear layer's weights; None: torch's own.
    """
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths[:-1]):
        layers.append(nn.Linear(inputs, outputs, bias=bias))
        if norm:
            layers.append(nn.BatchNorm1d(outputs))
        layers.append(activation(inplace=True) if activation is nn.ReLU else activation())
    layers.append(nn.Linear(widths[-2], widths[-1], bias=last_bias))
    if last_norm is not None:
        layers.append(nn.BatchNorm1d(widths[-1], affine=last_norm != "plain"))
    head = nn.Sequential(*layers)
    if last_norm == "scale":
        head[-1].bias.requires_grad_(False)
    for layer in head:
        if init is not None and isinstance(layer, nn.Linear):
            init(layer)
    return head


def fan_in(linear: nn.Linear) -> None:
    """Normal with deviation 1/sqrt(fan-in) cut at two deviations, biases 0: Haiku's default, which
    the official BYOL code uses."""
    std = linear.in_features**-0.5
    nn.init.trunc_normal_(linear.weight, std=std, a=-2 * std, b=2 * std)
    _zero_bias(linear)


def normal(std: float) -> Callable[[nn.Linear], None]:
    """Normal with the given deviation, biases 0: SimCLR takes 0.01."""

    def init(linear: nn.Linear) -> None:
        nn.init.normal_(linear.weight, std=std)
        _zero_bias(linear)

    return init


def trunc_normal(linear: nn.Linear) -> None:
    """Normal with deviation 0.02 cut at -2 and 2, biases 0: DINO's."""
    nn.init.trunc_normal_(linear.weight, std=0.02)
    _zero_bias(linear)


def _zero_bias(linear: nn.Linear) -> None:
    if linear.bias is not None:
        nn.init.zeros_(linear.bias)


class Direction(nn.Module):
    """``[B, D]`` to the same, of length 1."""

    def forward(self, x: Tensor) -> Tensor:
        return F.normalize(x, dim=-1)


class Prototypes(nn.Linear):
    """Directions that features are compared with: ``[B, dim]`` of length 1 to cosines ``[B, K]``.

    ``normalise`` puts the rows of the weight back on the unit sphere; SwAV does so before every
    forward, outside the gradient, which is after every step.
    """

    def __init__(self, dim: int, count: int) -> None:
        super().__init__(dim, count, bias=False)
        self.normalise()

    def forward(self, x: Tensor) -> Tensor:
        # Not in half precision: the assignment divides what comes out by a small epsilon.
        with torch.autocast(x.device.type, enabled=False):
            return super().forward(x)

    @torch.no_grad()
    def normalise(self) -> None:
        for rows in shards([self.weight]):  # which processes share out whole
            rows.copy_(F.normalize(rows, dim=1))


class WeightNorm(nn.Module):
    """Linear without bias whose rows are directions times a length: ``[B, dim]`` to ``[B, K]``.

    Both parts are parameters of their own, as in DINO, so an average of networks averages them
    apart.

    Args:
        dim, count: of the input and the output.
        fixed: keep every length at 1 (DINO's ``norm_last_layer``).
    """

    def __init__(self, dim: int, count: int, fixed: bool = True) -> None:
        super().__init__()
        linear = nn.Linear(dim, count, bias=False)
        self.direction = linear.weight
        self.length = nn.Parameter(linear.weight.new_ones(count, 1), requires_grad=not fixed)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.length * F.normalize(self.direction, dim=1))
