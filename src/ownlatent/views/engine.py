"""From a batch of canvases to its views, on the device.

All of BYOL's augmentation but the clamp and solarize is linear in the pixels. A view is

    normalise(solarize(clamp(C · (Wy · X · Wxᵀ) + c)))

with two resampling matrices per image (:mod:`.geometry`: crop, resize, flip, blur) and one colour
matrix and offset (:mod:`.colour`). Normalising is affine too and is folded into that matrix; the
clamp and solarize then work between where it puts black and white. The clamps between operations of
the usual pipelines do not commute with this and are taken once, after the blur; :mod:`.reference`
keeps them all.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ownlatent.memory import keep_freed
from ownlatent.views.colour import Colour, colours
from ownlatent.views.draw import Draw, draw
from ownlatent.views.geometry import blurring, resampling
from ownlatent.views.recipe import Recipe
from ownlatent.views.recipe import recipes as named

LARGE = 96
"""From this side on, in pixels, a compiled model leaves a CPU's views to :mod:`.bands` too."""


class Views(nn.Module):
    """Draws and makes the views of a batch.

    Args:
        recipes: a name ("byol", "cifar-byol" ...), or one :class:`Recipe` per view.
        size: side S of the global views, in pixels.
        mean, std: per-channel statistics in [0, 1] units to normalise with; None keeps [0, 1].
        reference: make the views operation by operation, clamping after each, with the hue of
            HSV: slow, and what the fast path is tested against. Same drawn parameters.
        crops: local crops beside the two views of a name.

    Raises:
        UsageError: the name is unknown.
    """

    mean: Tensor
    std: Tensor
    black: Tensor  # where 0 and 1 lie after normalising
    white: Tensor

    def __init__(
        self,
        recipes: str | Sequence[Recipe],
        size: int,
        *,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        reference: bool = False,
        crops: int = 0,
    ) -> None:
        super().__init__()
        keep_freed()
        self.recipes = named(recipes, crops) if isinstance(recipes, str) else tuple(recipes)
        self.size = size
        self.reference = reference
        m, s = torch.tensor(mean or [0.0]).view(-1, 1, 1), torch.tensor(std or [1.0]).view(-1, 1, 1)
        black, white = -m / s, (1 - m) / s
        for name, values in (("mean", m), ("std", s), ("black", black), ("white", white)):
            self.register_buffer(name, values, persistent=False)

    def forward(
        self,
        canvases: Tensor,
        ids: Tensor,
        epoch: Tensor | int,
        seed: Tensor | int,
        sizes: Tensor | None = None,
    ) -> list[Tensor]:
        """The views of a batch: a pure function of its arguments, image by image.

        Args:
            canvases: uint8 or uint16 ``[B, C, H, W]``.
            ids: int64 ``[B]``.
            epoch, seed: integers, or int64 scalars on the device (which a compiled call prefers).
            sizes: ``[B, 2]`` true height and width where canvases are squeezed; None: as they are.

        Returns:
            One float32 ``[B, C, S, S]`` per recipe, a local crop's S being smaller.
        """
        epoch = torch.as_tensor(epoch, device=ids.device)
        height, width = canvases.shape[-2:]
        if sizes is None:
            sizes = torch.tensor([height, width], device=ids.device).expand(len(ids), 2)
        views = []
        for number, recipe in enumerate(self.recipes):
            drawn = draw(recipe, number, ids, sizes, (height, width), epoch=epoch, seed=seed)
            views.append(self.view(canvases, recipe, drawn))
        return views

    def view(self, canvases: Tensor, recipe: Recipe, drawn: Draw) -> Tensor:
        """One view with its parameters given: float32 ``[B, C, S, S]``."""
        size = max(1, round(self.size * recipe.side))
        if self.reference:
            from ownlatent.views.reference import view

            return (view(canvases, recipe, drawn, size) - self.mean) / self.std
        colour = colours(recipe, drawn, canvases.shape[1])
        colour = colour.to_units(unit(canvases), self.mean.flatten(), self.std.flatten())
        compiling = torch.compiler.is_compiling()
        if canvases.device.type == "cpu" and (size >= LARGE or not compiling):
            banded: Tensor = _banded(canvases, drawn, colour, size, self.black, self.white)
            return banded
        pixels = dense_view(canvases, recipe, drawn, size, colour)
        pixels = pixels.clamp(self.black, self.white)
        if recipe.solarize:
            # 1 - x where an image is solarized, else infinity: the smaller of it and x is x below
            # one half and 1 - x above, or x.
            solarized = drawn.solarize[:, None, None, None]
            ends = torch.where(solarized, self.black + self.white, math.inf)
            pixels = torch.minimum(pixels, ends - pixels)
        return pixels


@torch.compiler.disable  # type: ignore[untyped-decorator]
def _banded(
    canvases: Tensor, drawn: Draw, colour: Colour, size: int, black: Tensor, white: Tensor
) -> Tensor:
    from ownlatent.views.bands import banded_views  # numba takes a while to import

    return banded_views(canvases, drawn, colour, size, black, white)


def dense_view(canvases: Tensor, recipe: Recipe, drawn: Draw, size: int, colour: Colour) -> Tensor:
    """``C · (Wy X Wxᵀ) + c`` before the clamp: float32 ``[B, C, S, S]``."""
    resampled, mean = _dense(canvases, recipe, drawn, size)
    matrix, offset = colour.of(mean)
    view = torch.baddbmm(offset[:, :, None], matrix, resampled.flatten(2))
    return view.view_as(resampled)


def _dense(canvases: Tensor, recipe: Recipe, drawn: Draw, size: int) -> tuple[Tensor, Tensor]:
    """``Wy X Wxᵀ`` in the canvases' units, and the mean of each channel before blur."""
    height, width = canvases.shape[-2:]
    rows = resampling(drawn.top, drawn.height, None, size, height)
    columns = resampling(drawn.left, drawn.width, drawn.flip, size, width)
    pixels = canvases.to(torch.float32)
    # Contrast pivots on the mean of the crop before blur: 1ᵀWy · X · Wxᵀ1 / S².
    # (Sums, not products: those of a vector round by its place in memory, so in the batch.)
    lines = (pixels * rows.mean(1)[:, None, :, None]).sum(2)
    mean = (lines * columns.mean(1)[:, None]).sum(2)
    if recipe.blur:
        blur = blurring(drawn.sigma, size)
        rows, columns = blur @ rows, blur @ columns
    # All channels of an image at once along its lines; down its columns one by one.
    lines = torch.bmm(pixels.flatten(1, 2), columns.mT).view(*pixels.shape[:3], size)
    return rows[:, None] @ lines, mean


def unit(canvases: Tensor) -> float:
    """The integer that stands for 1.0: 255 or 65535."""
    return float(torch.iinfo(canvases.dtype).max)
