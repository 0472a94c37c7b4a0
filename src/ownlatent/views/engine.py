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
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import torch
from torch import Tensor, nn

from ownlatent.memory import keep_freed, room
from ownlatent.views.bands import CHUNK, Axis, linear_views
from ownlatent.views.colour import Colour, colours
from ownlatent.views.draw import Draw, draw
from ownlatent.views.geometry import blurring, resampling
from ownlatent.views.recipe import Recipe
from ownlatent.views.recipe import recipes as named

LARGE = 96
"""From this side on, in pixels, a CPU skips the zeros of the resampling matrices."""


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
        self.bounds: list[tuple[float, float]] = torch.stack([black, white]).flatten(1).T.tolist()
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
            parallel: Tensor = self._in_parallel(canvases, recipe, drawn, colour, size)
            return parallel
        pixels = dense_view(canvases, recipe, drawn, size, colour)
        pixels = pixels.clamp(self.black, self.white)
        if recipe.solarize:
            pixels = torch.minimum(pixels, self._inverse(pixels, drawn.solarize))
        return pixels

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def _in_parallel(
        self, canvases: Tensor, recipe: Recipe, drawn: Draw, colour: Colour, size: int
    ) -> Tensor:
        """The same on a CPU: some images at a time, which stay in cache, on every thread."""
        out = room((*canvases.shape[:2], size, size), torch.float32)
        inference = torch.is_inference_mode_enabled()

        def small(part: slice, drawn: Draw, colour: Colour) -> None:
            pixels = dense_view(canvases[part], recipe, drawn, size, colour)
            self._finish(pixels, drawn.solarize if recipe.solarize else None, out[part])

        def large(part: slice, drawn: Draw, colour: Colour) -> None:
            views = banded_views(canvases[part], drawn, size, colour)
            inverted, all_inverted = drawn.solarize.tolist(), drawn.solarize.unbind()
            for number, (pixels, view) in enumerate(zip(views, out[part].unbind(), strict=True)):
                self._finish(pixels, all_inverted[number] if inverted[number] else None, view)

        def some(part: slice) -> None:
            mine = Draw(*(each[part] for each in drawn)), Colour(*(each[part] for each in colour))
            with torch.inference_mode(inference):  # a thread does not inherit it
                (small if size < LARGE else large)(part, *mine)

        chunk = 4 * CHUNK if size < LARGE else CHUNK
        parts = [slice(start, start + chunk) for start in range(0, len(out), chunk)]
        list(_pool(torch.get_num_threads()).map(some, parts))
        return out

    def _finish(self, pixels: Tensor, solarize: Tensor | None, out: Tensor) -> None:
        """Clamp and solarize ``[..., C, S, S]`` into ``out``; solarize is bool ``[...]``."""
        # By numbers: bounds that are tensors take an eager CPU ten times as long.
        planes = zip(self._planes(pixels), self._planes(out), self.bounds, strict=True)
        for plane, target, (low, high) in planes:
            torch.clamp(plane, low, high, out=target)
        if solarize is not None:
            torch.minimum(out, self._inverse(out, solarize), out=out)

    def _inverse(self, pixels: Tensor, solarize: Tensor) -> Tensor:
        """1 - x where an image is solarized, else infinity: the smaller of it and x is x below one
        half and 1 - x above, or x."""
        ends = torch.where(solarize[..., None, None, None], self.black + self.white, math.inf)
        return ends - pixels

    def _planes(self, pixels: Tensor) -> list[Tensor]:
        """Channels by the bounds they share: a bound for each, or one for all."""
        return [pixels] if len(self.bounds) == 1 else list(pixels.unbind(-3))


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    # Threads of their own inside each product would only get in each other's way.
    return ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,))


# A forked process has the pools but not their threads.
os.register_at_fork(after_in_child=_pool.cache_clear)


def dense_view(canvases: Tensor, recipe: Recipe, drawn: Draw, size: int, colour: Colour) -> Tensor:
    """``C · (Wy X Wxᵀ) + c`` before the clamp: float32 ``[B, C, S, S]``."""
    resampled, mean = _dense(canvases, recipe, drawn, size)
    matrix, offset = colour.of(mean)
    view = torch.baddbmm(offset[:, :, None], matrix, resampled.flatten(2))
    return view.view_as(resampled)


def banded_views(canvases: Tensor, drawn: Draw, size: int, colour: Colour) -> Iterator[Tensor]:
    """The same, image by image, for large views on a CPU: see `linear_views`."""
    rows = Axis(drawn.top, drawn.height, torch.zeros_like(drawn.flip), drawn.sigma)
    columns = Axis(drawn.left, drawn.width, drawn.flip, drawn.sigma)
    return linear_views(canvases, rows, columns, size, colour)


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
