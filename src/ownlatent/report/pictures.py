"""From tensors to pictures a page or a sheet can hold."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ownlatent.data import Canvases
from ownlatent.views import Views

Picture = NDArray[np.uint8]
# From nothing to the most: black, violet, orange, light yellow.
_COLOURS = np.array([(0, 0, 4), (87, 16, 110), (188, 55, 84), (249, 142, 9), (252, 255, 164)])


def picture(pixels: Tensor) -> Picture:
    """uint8 or uint16 ``[C, H, W]``, or float in [0, 1], to uint8 ``[H, W, C]``."""
    if pixels.is_floating_point():
        pixels = (pixels * 255).round()
    elif pixels.dtype == torch.uint16:
        pixels = pixels.to(torch.int32) // 257
    array: Picture = pixels.movedim(0, -1).to(torch.uint8).numpy()
    return array


def heat(strength: NDArray[Any]) -> NDArray[np.float64]:
    """Values in [0, 1], ``[H, W]``, as colours ``[H, W, 3]`` in [0, 255]."""
    stops = np.linspace(0, 1, len(_COLOURS))
    colours: NDArray[np.float64] = np.stack(
        [np.interp(strength, stops, channel) for channel in _COLOURS.T], axis=2
    )
    return colours


def draw_views(
    canvases: Canvases, views: Views, *, images: int, draws: int, seed: int
) -> tuple[list[Picture], list[list[Picture]]]:
    """Some images, spread evenly over the data, and ``draws`` of each view of each.

    A canvas is shown in its true proportions. Draws are those of epochs 0, 1, ... of the seed.
    """
    rows = torch.linspace(0, len(canvases) - 1, min(images, len(canvases))).long()
    pixels, sizes, ids = canvases.batch(rows, "cpu")
    originals = [_true_shape(p, s) for p, s in zip(pixels, sizes, strict=True)]
    made: list[list[Any]] = [[] for _ in rows]
    epochs = [views(pixels, ids, epoch, seed, sizes) for epoch in range(draws)]
    for kind in range(len(views.recipes)):
        for epoch in epochs:
            for row, view in zip(made, epoch[kind], strict=True):
                row.append(picture(view.clamp(0, 1)))
    return originals, made


def _true_shape(pixels: Tensor, size: Tensor) -> Picture:
    from PIL import Image

    array = picture(pixels)
    height, width = size.tolist()
    if array.shape[2] != 3 or height * array.shape[1] == width * array.shape[0]:
        return array
    longer = max(array.shape[:2])
    scale = longer / max(height, width)
    shape = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(Image.fromarray(array).resize(shape))
