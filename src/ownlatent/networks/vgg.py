"""VGG for small images: its convolutions, then the mean of what they leave."""

from typing import Any

from timm.models.vgg import VGG
from torch import Tensor, nn


def shrink_vgg(net: Any) -> bool:
    """Give a VGG, in place, the form that CIFAR runs use; False if ``net`` is none.

    The two 4,096-wide layers before the classifier, made for maps of 7x7, go: features are the
    512 channels of the last convolution, averaged over their map. Pools round up, so a side that
    is odd keeps its rim and maps never vanish; at 32 pixels nothing is odd, and the last map is one
    pixel as in the published form.
    """
    if not isinstance(net, VGG):
        return False
    net.pre_logits = nn.Identity()  # type: ignore[assignment]  # ClassifierHead averages
    for layer in net.features:
        if isinstance(layer, nn.MaxPool2d):
            layer.ceil_mode = True
    return True


def timm_names(net: Any, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """torchvision's names and shapes of VGG weights as timm has them.

    The linear layers ``classifier.0`` ``[4096, 512 * 49]`` and ``classifier.3`` are convolutions
    there, 7x7 and 1x1.
    """
    if not isinstance(net, VGG):
        return state
    renamed = {}
    for key, value in state.items():
        for old, new, side in (("classifier.0.", "fc1.", 7), ("classifier.3.", "fc2.", 1)):
            if key.startswith(old):
                key = f"pre_logits.{new}{key.removeprefix(old)}"
                if value.ndim == 2:
                    value = value.view(len(value), -1, side, side)
        renamed[key] = value
    return renamed
