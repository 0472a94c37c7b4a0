"""A backbone's last feature map, before it is pooled."""

from typing import Any

import torch
from torch import Tensor, nn

from ownlatent.errors import UsageError
from ownlatent.networks.middle import Middle
from ownlatent.networks.resnet import SmallResNet


class FeatureMap(nn.Module):
    """Images ``[B, C, H, W]`` to the map that a backbone pools, ``[B, D, h, w]``.

    Of a convolutional network it is the last stage's output; of a vision transformer its patch
    tokens, laid out as the patches are. The backbone's own layers are used, not copied.

    Args:
        backbone: of images; a :class:`Middle` gives that of its backbone.
        dilate: leave out the last stage's stride and dilate its 3x3 convolutions instead, as
            segmentation does (BYOL, appendix D.4). A network without such a stage stays as it is.
        channels, size: of an image to try it on.

    Attributes:
        channels: D.
        stride: pixels of the image per place of the map.

    Raises:
        UsageError: the backbone has no map.
    """

    def __init__(
        self, backbone: nn.Module, *, dilate: bool = False, channels: int = 3, size: int = 224
    ) -> None:
        super().__init__()
        self.backbone: Any = backbone.backbone if isinstance(backbone, Middle) else backbone
        if dilate:
            dilate_last_stage(self.backbone)
        mode = self.backbone.training
        with torch.no_grad():
            found = self.eval()(torch.zeros(1, channels, size, size))
        self.backbone.train(mode)
        self.channels: int = found.shape[1]
        self.stride: int = round(size / found.shape[-1])

    def forward(self, x: Tensor) -> Tensor:
        if isinstance(self.backbone, SmallResNet):
            stages: Tensor = self.backbone.stages(x)
            return stages
        features = getattr(self.backbone, "forward_features", lambda _: None)(x)
        if isinstance(features, Tensor) and features.ndim == 4:
            last = getattr(self.backbone, "output_fmt", "NCHW") == "NHWC"
            return features.movedim(-1, 1) if last else features
        patches = getattr(self.backbone, "patch_embed", None)
        if not isinstance(features, Tensor) or features.ndim != 3 or patches is None:
            raise UsageError(
                f"A {type(self.backbone).__name__} has no feature map; take a convolutional "
                "network or a vision transformer."
            )
        tokens = features[:, getattr(self.backbone, "num_prefix_tokens", 0) :]
        grid = [side // p for side, p in zip(x.shape[2:], patches.patch_size, strict=True)]
        return tokens.mT.reshape(len(x), -1, *grid)


def dilate_last_stage(net: Any) -> None:
    """Dilation 2 for stride 2 in a ResNet's last stage, in place; other networks stay as they are.

    Its weights, and what they see, stay as they were: places apart become places between.
    """
    stage = getattr(net, "layer4", None)
    if stage is None:
        return
    for layer in stage.modules():
        if not isinstance(layer, nn.Conv2d):
            continue
        if layer.kernel_size == (3, 3):
            strided = layer.stride == (2, 2)
            # The convolution that had the stride sees its neighbours as before; those after it,
            # for which neighbours have moved apart, see every second place.
            layer.dilation = layer.padding = (1, 1) if strided else (2, 2)
        layer.stride = (1, 1)
    for layer in stage.modules():
        if isinstance(layer, nn.AvgPool2d) and layer.stride == 2:  # of ResNet-D's shortcut
            layer.kernel_size = layer.stride = 1
