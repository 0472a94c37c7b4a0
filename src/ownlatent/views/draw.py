"""Drawing the parameters of a view: a pure function of (seed, epoch, sample id, view)."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from ownlatent.philox import uniform
from ownlatent.views.recipe import Recipe

BRIGHTNESS, CONTRAST, SATURATION, HUE = range(4)


class Draw(NamedTuple):
    """The parameters of one view of each of B images. Boxes are in canvas pixels."""

    top: Tensor  # float [B]
    left: Tensor
    height: Tensor
    width: Tensor
    flip: Tensor  # bool [B]
    brightness: Tensor  # float [B]; an offset (deepmind) or a factor (torchvision)
    contrast: Tensor  # factor
    saturation: Tensor  # factor
    hue: Tensor  # turns
    order: Tensor  # int64 [B, 4], the four operations in the order they are applied
    grayscale: Tensor  # bool
    sigma: Tensor  # float, 0 where there is no blur
    solarize: Tensor  # bool


def draw(
    recipe: Recipe,
    view: int,
    ids: Tensor,
    sizes: Tensor,
    canvas: tuple[int, int],
    *,
    epoch: Tensor,
    seed: Tensor | int,
) -> Draw:
    """Draw one view's parameters.

    Args:
        recipe: the distribution.
        view: the view's number; each has its own stream.
        ids: int64 ``[B]`` sample identities.
        sizes: ``[B, 2]`` true height and width; the box is drawn in that geometry, in whole
            pixels, and mapped to the canvas, which may be squeezed.
        canvas: height and width of the canvas.
        epoch: int64 scalar.
        seed: an integer, or an int64 scalar.
    """
    tries = recipe.attempts
    drawn = uniform(ids, seed=seed, epoch=epoch, stream=view, count=2 * tries + 12)
    areas, ratios = drawn[:, :tries], drawn[:, tries : 2 * tries]
    u = drawn[:, 2 * tries :].unbind(1)
    sizes = sizes.to(torch.float32)
    top, left, height, width = _box(recipe, areas, ratios, u[0], u[1], sizes)
    scale_y, scale_x = canvas[0] / sizes[:, 0], canvas[1] / sizes[:, 1]

    jitter = u[3] < recipe.jitter

    def factor(draw: Tensor, strength: float) -> Tensor:
        low = max(0.0, 1.0 - strength)
        return torch.where(jitter, low + draw * (1.0 + strength - low), 1.0)

    def offset(draw: Tensor, strength: float) -> Tensor:
        return torch.where(jitter, (2.0 * draw - 1.0) * strength, 0.0)

    brightness = offset if recipe.style == "deepmind" else factor
    low, high = recipe.sigma
    return Draw(
        top=top * scale_y,
        left=left * scale_x,
        height=height * scale_y,
        width=width * scale_x,
        flip=u[2] < recipe.flip,
        brightness=brightness(u[4], recipe.brightness),
        contrast=factor(u[5], recipe.contrast),
        saturation=factor(u[6], recipe.saturation),
        hue=offset(u[7], recipe.hue),
        order=ordered((u[8] * 24).to(torch.int64)),
        grayscale=u[9] < recipe.grayscale,
        # One uniform serves both questions: below the probability it blurs, and u/p is uniform.
        sigma=torch.where(
            u[10] < recipe.blur, low + (high - low) * u[10] / max(recipe.blur, 1e-9), 0.0
        ),
        solarize=u[11] < recipe.solarize,
    )


def ordered(number: Tensor) -> Tensor:
    """The orders of four operations, counted as ``itertools.permutations`` does.

    Worked out and not looked up: a table would have to be copied to the device in every call.

    Args:
        number: int64 ``[B]`` in ``0 .. 23``.

    Returns:
        int64 ``[B, 4]``.
    """
    first, second, swap = number // 6, number // 2 % 3, number % 2
    second = second + (second >= first)  # of the three that are left
    one_is_zero = (first * second == 0).to(number.dtype)
    low = one_is_zero * (1 + (first + second == 1).to(number.dtype))
    high = 6 - first - second - low
    third = low + swap * (high - low)
    return torch.stack([first, second, third, low + high - third], dim=1)


def _box(
    recipe: Recipe, areas: Tensor, ratios: Tensor, u_top: Tensor, u_left: Tensor, sizes: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Top, left, height, width in whole pixels of the true image."""
    full_height, full_width = sizes[:, :1], sizes[:, 1:]
    area = recipe.area[0] + (recipe.area[1] - recipe.area[0]) * areas
    log_low, log_high = math.log(recipe.ratio[0]), math.log(recipe.ratio[1])
    ratio = torch.exp(log_low + (log_high - log_low) * ratios)
    area = area * full_height * full_width
    widths, heights = torch.sqrt(area * ratio).round(), torch.sqrt(area / ratio).round()
    fits = (widths <= full_width) & (heights <= full_height)
    first = fits.to(torch.uint8).argmax(dim=1, keepdim=True)  # 0 when none fits
    width = torch.minimum(widths.gather(1, first), full_width).clamp(min=1.0)
    height = torch.minimum(heights.gather(1, first), full_height).clamp(min=1.0)
    top = (u_top[:, None] * (full_height - height + 1)).floor()
    left = (u_left[:, None] * (full_width - width + 1)).floor()
    return top[:, 0], left[:, 0], height[:, 0], width[:, 0]
