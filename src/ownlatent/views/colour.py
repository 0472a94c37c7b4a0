"""Brightness, contrast, saturation, hue and grayscale are affine; so is any sequence of them."""

import math

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


def colours(recipe: Recipe, draw: Draw, mean: Tensor) -> tuple[Tensor, Tensor]:
    """The matrix and offset of a view's colour operations.

    Brightness and contrast act on any number of channels; saturation, hue and grayscale on RGB.

    Args:
        recipe: for the style of brightness and contrast.
        draw: the drawn factors and their order.
        mean: float ``[B, C]``, each channel's mean over the crop before blur, in [0, 1].

    Returns:
        ``[B, C, C]`` and ``[B, C]``: a pixel x becomes ``matrix @ x + offset``.
    """
    batch, channels = mean.shape
    rgb = channels == 3
    eye = torch.eye(channels, device=mean.device)
    gray = torch.tensor(GRAY, device=mean.device) if rgb else torch.full_like(mean[0], 1 / channels)
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
    operations = torch.stack(matrices, dim=1)

    matrix, offset = eye.expand(batch, -1, -1), torch.zeros_like(mean)
    rows = torch.arange(batch, device=mean.device)
    for which in draw.order.unbind(1):
        operation = operations[rows, which]
        pivot = mean if additive else (mean * gray).sum(1, keepdim=True).expand_as(mean)
        shift = torch.where((which == CONTRAST)[:, None], (1 - draw.contrast)[:, None] * pivot, 0.0)
        if additive:
            shift = shift + torch.where(which == BRIGHTNESS, draw.brightness, 0.0)[:, None]
        matrix = operation @ matrix
        # The mean of an affine image is the affine image of the mean: one value serves throughout.
        offset, mean = _apply(operation, offset) + shift, _apply(operation, mean) + shift
    if rgb:
        last = torch.where(draw.grayscale[:, None, None], to_gray, eye)
        matrix, offset = last @ matrix, _apply(last, offset)
    return matrix, offset


def _apply(matrix: Tensor, vector: Tensor) -> Tensor:
    return (matrix @ vector[:, :, None])[:, :, 0]
