"""The small network's own pooling."""

import pytest
import torch
from torch import nn

from ownlatent.networks.resnet import SmallResNet


def pooling(channels: int, grid: int) -> SmallResNet:
    net = SmallResNet(channels, (channels,), (False,), grid)
    net.stages = nn.Sequential()  # the pooling alone
    return net


def test_features_are_the_means_of_the_quadrants() -> None:
    x = torch.arange(32.0).view(1, 2, 4, 4)
    net = pooling(2, grid=2)
    # rows 0-1 and 2-3 by columns 0-1 and 2-3 of the numbers 0..15: the mean of a, a+1, a+4, a+5
    quadrants = [a + 2.5 for a in (0, 2, 8, 10)]
    expected = quadrants + [16 + mean for mean in quadrants]
    assert net(x).tolist() == [expected]
    assert net.num_features == len(expected)


def test_the_cells_of_an_odd_map_share_its_middle() -> None:
    x = torch.arange(9.0).view(1, 1, 3, 3)
    # rows 0-1 and 1-2 by columns 0-1 and 1-2: the mean of a, a+1, a+3, a+4
    assert pooling(1, grid=2)(x).tolist() == [[a + 2.0 for a in (0, 1, 3, 4)]]


def test_without_a_grid_the_whole_map_is_averaged() -> None:
    x = torch.randn(2, 3, 5, 5)
    torch.testing.assert_close(pooling(3, grid=1)(x), x.mean((2, 3)))


@pytest.mark.parametrize("grid", [1, 2])
def test_bf16_maps_are_averaged_in_float32(grid: int) -> None:
    x = torch.full((1, 1, 32, 32), 1.0, dtype=torch.bfloat16)
    x[..., 0] = 1 + 2**-7  # a mean that bf16, with its 8 bits, cannot hold
    expected = x.float().unflatten(2, (grid, -1)).unflatten(4, (grid, -1)).mean((3, 5)).flatten(1)
    features = pooling(1, grid)(x)
    assert features.dtype == torch.float32
    torch.testing.assert_close(features, expected, rtol=0, atol=0)
