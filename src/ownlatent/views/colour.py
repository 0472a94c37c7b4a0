"""Brightness, contrast, saturation, hue and grayscale are affine; so is any sequence of them."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from ownlatent.views.draw import BRIGHTNESS, CONTRAST, HUE, SATURATION, Draw
from ownlatent.views.recipe import Recipe

GRAY = (0.2989, 0.587, 0.114)  # ITU-R BT.601 luma, as torchvision and the BYOL code round it


def rotation(turns: Tensor) -> Tensor:
    """Hue as a rotation about the grey axis: ``[B]`` turns to ``[B, 3, 3]`` on RGB.

    It is linear and keeps the sum of the channels, which the hue of HSV is not and does not. Both
    send red through yellow to green and agree on thirds of a turn; of the linear hues compared in
    benchmarks/fidelity.py this one is nearest to HSV's.
    """
    cos, sin = torch.cos(turns * math.tau), torch.sin(turns * math.tau) / math.sqrt(3)
    keep, up, down = (1 + 2 * cos) / 3, (1 - cos) / 3 + sin, (1 - cos) / 3 - sin
    matrix = [keep, down, up, up, keep, down, down, up, keep]
    return torch.stack(matrix, dim=1).view(-1, 3, 3)


class Colour(NamedTuple):
    """The colour operations of each view: a pixel x becomes ``matrix x + pivot m + offset``, m
    being the mean of the crop before blur."""

    matrix: Tensor  # float [B, C, C]
    pivot: Tensor  # float [B, C, C]
    offset: Tensor  # float [B, C]

    def of(self, mean: Tensor) -> tuple[Tensor, Tensor]:
        """The matrix and offset for crops of these means ``[B, C]``."""
        # A sum, not a product: those of a vector round by its place in memory, so in the batch.
        return self.matrix, self.offset + (self.pivot * mean[:, None]).sum(2)

    def to_units(self, white: float, mean: Tensor, std: Tensor) -> "Colour":
        """From pixels of which ``white`` is the brightest, to values normalised by ``[C]`` or
        ``[1]`` statistics."""
        scale = std[:, None] * white
        return Colour(self.matrix / scale, self.pivot / scale, (self.offset - mean) / std)


def colours(recipe: Recipe, draw: Draw, channels: int) -> Colour:
    """A view's colour operations, from and to [0, 1].

    Brightness and contrast act on any number of channels; saturation, hue and grayscale on RGB.

    Args:
        recipe: for the style of brightness and contrast.
        draw: the drawn factors and their order.
        channels: C.
    """
    device = draw.contrast.device
    batch, rgb = len(draw.contrast), channels == 3
    eye = torch.eye(channels, device=device)
    weights = GRAY if rgb else [1 / channels] * channels
    gray = torch.stack([torch.full((), weight, device=device) for weight in weights])
    to_gray = gray.expand(channels, channels)  # every row is the luma

    additive = recipe.style == "deepmind"
    matrices = [eye.expand(batch, -1, -1)] * 4
    matrices[CONTRAST] = draw.contrast[:, None, None] * eye
    if not additive:
        matrices[BRIGHTNESS] = draw.brightness[:, None, None] * eye
    if rgb:
        saturation = draw.saturation[:, None, None]
        matrices[SATURATION] = saturation * eye + (1 - saturation) * to_gray
        matrices[HUE] = rotation(draw.hue)
    rows = torch.arange(batch, device=device)[:, None]
    operations = torch.stack(matrices, dim=1)[rows, draw.order]
    # The mean of an affine image is the affine image of the mean. Contrast adds a part of it back:
    # a pixel is multiplied by ``operations``, the mean by these.
    added = torch.where(draw.order == CONTRAST, 1 - draw.contrast[:, None], 0.0)
    of_means = operations + added[:, :, None, None] * (eye if additive else to_gray)
    shifts = torch.where(draw.order == BRIGHTNESS, draw.brightness[:, None], 0.0)

    matrix = eye.expand(batch, -1, -1)
    mean = torch.nn.functional.pad(matrix, (0, 1))  # [B, C, C + 1]: how the mean moves
    for number in range(4):
        matrix = operations[:, number] @ matrix
        mean = of_means[:, number] @ mean
        if additive:
            mean[:, :, -1] += shifts[:, number, None]
    if rgb:
        last = torch.where(draw.grayscale[:, None, None], to_gray, eye)
        matrix, mean = last @ matrix, last @ mean
    return Colour(matrix, mean[:, :, :-1] - matrix, mean[:, :, -1])
