"""A small pre-activation residual network for small images on small machines."""

import torch
from torch import Tensor, nn


class Block(nn.Module):
    """Two 3x3 convolutions and a shortcut, normalised before each (He et al., 2016, pre-act)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        same = stride == 1 and inputs == outputs
        self.shortcut = None if same else nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.norm1(x))
        shortcut = x if self.shortcut is None else self.shortcut(y)
        y = self.conv1(y)
        return shortcut + self.conv2(torch.relu(self.norm2(y)))


class SmallResNet(nn.Module):
    def __init__(
        self, channels=3, widths=(64, 128, 256), blocks=(1, 1, 1), stem=(3, 1), strides=(1, 2, 2)
    ) -> None:
        super().__init__()
        k, s = stem
        self.stem = nn.Conv2d(channels, widths[0], k, s, (k - 1) // 2, bias=False)
        layers = []
        w = widths[0]
        for width, n, st in zip(widths, blocks, strides):
            for i in range(n):
                layers.append(Block(w, width, st if i == 0 else 1))
                w = width
        self.blocks = nn.Sequential(*layers)
        self.norm = nn.BatchNorm2d(w)
        self.num_features = w

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.norm(self.blocks(self.stem(x)))).mean(dim=(2, 3))


SMALL_RESNETS = {"small-resnet": {"widths": (32, 128, 256), "strides": (2, 2, 2)}}
