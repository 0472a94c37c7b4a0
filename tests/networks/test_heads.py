"""BYOL's heads (METHODS.md §1, Networks): shapes, biases, initialisation."""

import pytest
import torch
from torch import nn

from ownlatent.networks import fan_in, mlp


def test_shape_and_biases() -> None:
    head = mlp(2048, 4096, 256, bias=True, init=fan_in)
    first, norm, relu, last = head
    assert (first.in_features, first.out_features) == (2048, 4096)
    assert (last.in_features, last.out_features) == (4096, 256)
    assert first.bias is not None and last.bias is None
    assert isinstance(norm, nn.BatchNorm1d) and isinstance(relu, nn.ReLU)
    assert norm.affine and (norm.momentum, norm.eps) == (0.1, 1e-5)  # Haiku's decay 0.9
    assert head(torch.randn(4, 2048)).shape == (4, 256)
    # 2048*4096 + 4096 + 2*4096 + 4096*256, the projector of figure 2
    assert sum(p.numel() for p in head.parameters()) == 9_449_472


def test_initialisation_is_haikus() -> None:
    torch.manual_seed(0)
    head = mlp(512, 1024, 256, bias=True, init=fan_in)
    for linear in (head[0], head[3]):
        std = linear.in_features**-0.5
        assert linear.weight.abs().max() <= 2 * std
        # A normal cut at two deviations has 0.8796 of the deviation (closed form).
        assert linear.weight.std().item() == pytest.approx(0.8796 * std, rel=0.01)
    assert head[0].bias.abs().max() == 0
