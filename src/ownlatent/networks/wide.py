"""Residual networks made wider everywhere, as the papers' ResNet-50 (2x) and (4x)."""

import re
from typing import Any

from timm.models.resnet import BasicBlock, Bottleneck, ResNet
from torch import nn

_BLOCKS: dict[int, tuple[Any, tuple[int, int, int, int]]] = {
    18: (BasicBlock, (2, 2, 2, 2)),
    34: (BasicBlock, (3, 4, 6, 3)),
    50: (Bottleneck, (3, 4, 6, 3)),
    101: (Bottleneck, (3, 4, 23, 3)),
    152: (Bottleneck, (3, 8, 36, 3)),
    200: (Bottleneck, (3, 24, 36, 3)),
}
WIDE_RESNETS = {
    f"resnet{depth}x{width}": (depth, width) for depth in _BLOCKS for width in (2, 3, 4)
}
"""Depth and width by name: ``resnet50x2``, ``resnet200x2``, ``resnet18x4`` ..."""


def wide_resnet(name: str, channels: int, drop_path: float = 0.0) -> ResNet:
    """A ResNet (He et al., 2016) all of whose layers have k times the channels, without classifier.

    These are the wide networks of BYOL (Grill et al., 2020, table 1), SimCLR and SwAV: stem, blocks
    and features alike, so ``resnet50x2`` has 4,096 features and 94 M parameters, ``resnet50x4``
    8,192 and 375 M. timm's and torchvision's ``wide_resnet50_2`` (Zagoruyko & Komodakis, 2016) is
    another network: only the inner convolution of each block is wider, and features stay 2,048.

    Args:
        name: a key of :data:`WIDE_RESNETS`.
        channels: of the images.
        drop_path: probability of leaving out the deepest residual branch.
    """
    depth, width = WIDE_RESNETS[name]
    block, layers = _BLOCKS[depth]
    net = ResNet(
        block,
        layers,
        num_classes=0,
        in_chans=channels,
        # timm's plain stem has always 64 channels; what follows a deep one fits the stem below.
        stem_type="deep",
        stem_width=32 * width,
        channels=tuple(64 * width * 2**stage for stage in range(4)),
        drop_path_rate=drop_path,
    )
    stem = nn.Conv2d(channels, 64 * width, 7, stride=2, padding=3, bias=False)
    nn.init.kaiming_normal_(stem.weight, mode="fan_out", nonlinearity="relu")
    net.conv1 = stem  # type: ignore[assignment]
    return net


def nearest_wide(name: str) -> list[str]:
    """The wide network that a name such as "resnet50-2x" or "wide_resnet50_4" may mean."""
    found = re.search(r"resnet\D?(18|34|50|101|152|200)\D*([234])\D*$", name.lower())
    return [f"resnet{found[1]}x{found[2]}"] if found else []
