"""From a batch of canvases to its views, on the device.

All of BYOL's augmentation but the clamp and solarize is linear in the pixels. A view is

    normalise(solarize(clamp(C · (Wy · X · Wxᵀ) + c)))

with two resampling matrices per image (:mod:`.geometry`: crop, resize, flip, blur) and one colour
matrix and offset (:mod:`.colour`). The clamps between operations of the usual pipelines do not
commute with this and are taken once, after the blur; :mod:`.reference` keeps them all.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ownlatent.views.bands import Axis, in_chunks, resample
from ownlatent.views.colour import colours
from ownlatent.views.draw import Draw, draw
from ownlatent.views.geometry import blurring, resampling
from ownlatent.views.recipe import Recipe
from ownlatent.views.recipe import recipes as named

LARGE = 96
"""From this side on, in pixels, a CPU skips the zeros of the resampling matrices."""


class Views(nn.Module):
    """Draws and makes the views of a batch.

    Args:
        recipes: a name ("byol", "cifar-byol"), or one :class:`Recipe` per view.
        size: side S of the views, in pixels.
        mean, std: per-channel statistics in [0, 1] units to normalise with; None keeps [0, 1].
        reference: make the views operation by operation, clamping after each, with the hue of
            HSV: slow, and what the fast path is tested against. Same drawn parameters.

    Raises:
        UsageError: the name is unknown.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        recipes: str | Sequence[Recipe],
        size: int,
        *,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        reference: bool = False,
    ) -> None:
        super().__init__()
        self.recipes = named(recipes) if isinstance(recipes, str) else tuple(recipes)
        self.size = size
        self.reference = reference
        self.register_buffer("mean", torch.tensor(mean or [0.0]).view(-1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std or [1.0]).view(-1, 1, 1), persistent=False)

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
            One float32 ``[B, C, S, S]`` per recipe.
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
        if self.reference:
            from ownlatent.views.reference import view

            return self._normalise(view(canvases, recipe, drawn, self.size))
        if canvases.device.type == "cpu" and self.size >= LARGE:
            chunked: Tensor = self._in_chunks(canvases, recipe, drawn)
            return chunked
        return self._finish(linear_view(canvases, recipe, drawn, self.size), recipe, drawn)

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def _in_chunks(self, canvases: Tensor, recipe: Recipe, drawn: Draw) -> Tensor:
        def some(part: slice) -> Tensor:
            mine = Draw(*(parameter[part] for parameter in drawn))
            return self._finish(linear_view(canvases[part], recipe, mine, self.size), recipe, mine)

        shape = (*canvases.shape[:2], self.size, self.size)
        return in_chunks(some, torch.empty(shape))

    def _finish(self, pixels: Tensor, recipe: Recipe, drawn: Draw) -> Tensor:
        """Clamp, solarize, normalise."""
        pixels = pixels.clamp_(0.0, 1.0)
        if recipe.solarize:
            inverted = drawn.solarize[:, None, None, None] & (pixels >= 0.5)
            pixels = torch.where(inverted, 1.0 - pixels, pixels)
        return self._normalise(pixels)

    def _normalise(self, pixels: Tensor) -> Tensor:
        return pixels.sub_(self.mean).div_(self.std)


def linear_view(canvases: Tensor, recipe: Recipe, drawn: Draw, size: int) -> Tensor:
    """``C · (Wy X Wxᵀ) + c`` in [0, 1] units before the clamp: float32 ``[B, C, S, S]``."""
    if canvases.device.type == "cpu" and size >= LARGE:
        resampled, mean = _banded(canvases, drawn, size)
    else:
        resampled, mean = _dense(canvases, recipe, drawn, size)
    scale = unit(canvases)
    matrix, offset = colours(recipe, drawn, mean / scale)
    view = torch.baddbmm(offset[:, :, None], matrix / scale, resampled.flatten(2))
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
    return rows[:, None] @ pixels @ columns[:, None].transpose(-1, -2), mean


def _banded(canvases: Tensor, drawn: Draw, size: int) -> tuple[Tensor, Tensor]:
    """The same for large views on a CPU, where most of a dense product would be zeros."""
    rows = Axis(drawn.top, drawn.height, torch.zeros_like(drawn.flip), drawn.sigma)
    columns = Axis(drawn.left, drawn.width, drawn.flip, drawn.sigma)
    return resample(canvases, rows, columns, size)


def unit(canvases: Tensor) -> float:
    """The integer that stands for 1.0: 255 or 65535."""
    return float(torch.iinfo(canvases.dtype).max)
