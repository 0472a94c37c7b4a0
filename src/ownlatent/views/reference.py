"""The same views made one operation at a time, as torchvision would.

Clamps after every operation and rotates the hue in HSV. Image by image, slow, and independent of
the fast path but for the drawn parameters: it is what the fast path is measured against, and what
``views="reference"`` runs.
"""

from typing import Any

import torch
import torchvision.transforms.v2.functional
from torch import Tensor

from ownlatent.views.draw import BRIGHTNESS, CONTRAST, HUE, SATURATION, Draw
from ownlatent.views.geometry import blur_radius
from ownlatent.views.recipe import Recipe

_BICUBIC = torchvision.transforms.InterpolationMode.BICUBIC
F: Any = torchvision.transforms.v2.functional


def view(canvases: Tensor, recipe: Recipe, drawn: Draw, size: int) -> Tensor:
    """One view, before normalisation: float32 ``[B, C, S, S]`` in [0, 1]."""
    scale = torch.iinfo(canvases.dtype).max
    views = []
    for index, canvas in enumerate(canvases):
        one = Draw(*(parameter[index] for parameter in drawn))
        views.append(_view(canvas.to(torch.float32) / scale, recipe, one, size))
    return torch.stack(views)


def _view(image: Tensor, recipe: Recipe, drawn: Draw, size: int) -> Tensor:
    top, left = round(drawn.top.item()), round(drawn.left.item())
    height, width = max(1, round(drawn.height.item())), max(1, round(drawn.width.item()))
    image = F.resized_crop(
        image, top, left, height, width, [size, size], _BICUBIC, antialias=True
    ).clamp(0, 1)
    if drawn.flip:
        image = F.horizontal_flip(image)
    for operation in drawn.order.tolist():
        image = _jitter(image, operation, recipe, drawn).clamp(0, 1)
    if drawn.grayscale and len(image) == 3:
        image = F.rgb_to_grayscale(image, num_output_channels=3)
    if drawn.sigma > 0:
        taps = 2 * blur_radius(size) + 1
        image = F.gaussian_blur(image, [taps, taps], [drawn.sigma.item()] * 2)
    if drawn.solarize:
        image = F.solarize(image, threshold=0.5)
    return image.clamp(0, 1)


def _jitter(image: Tensor, operation: int, recipe: Recipe, drawn: Draw) -> Tensor:
    rgb = len(image) == 3
    if operation == BRIGHTNESS:
        if recipe.style == "deepmind":
            return image + drawn.brightness
        return image * drawn.brightness
    if operation == CONTRAST:
        if recipe.style == "deepmind" or not rgb:
            dims = (1, 2) if recipe.style == "deepmind" else (0, 1, 2)
            mean = image.mean(dim=dims, keepdim=True)
        else:
            mean = F.rgb_to_grayscale(image).mean()
        return drawn.contrast * image + (1 - drawn.contrast) * mean
    if operation == SATURATION and rgb:
        image = F.adjust_saturation(image, drawn.saturation.item())
    if operation == HUE and rgb:
        image = F.adjust_hue(image, drawn.hue.item())
    return image
