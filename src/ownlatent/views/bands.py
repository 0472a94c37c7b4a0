"""The geometry of large views on a CPU: the dense products of a view, without their zeros.

At 224 pixels most of a resampling matrix is zero: a block of output rows reads only the source
rows under it. Block after block these windows move on by the same step, so they are one strided
tensor that overlaps itself, and an axis is one batched product of windows and small matrices. One
image is made at a time, while its pixels are in cache. The numbers are those of
:mod:`ownlatent.views.geometry`; a GPU, and small views, take its dense products instead.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from ownlatent.views.colour import Colour
from ownlatent.views.geometry import blur_radius, cubic, inside

BLOCK = 16  # output rows per window: 14, 28, 32 and 56 measured 5 to 60 % slower at 224 pixels
CHUNK = 16  # images at a time: fewer pay for setting up the taps
_LINE = 16  # float32 in a cache line: products round by how their operands lie in it


class Axis(NamedTuple):
    """Where one axis of each view comes from, in pixels of the source but for sigma."""

    start: Tensor  # float [B]
    extent: Tensor  # float [B]
    flip: Tensor  # bool [B]
    sigma: Tensor  # float [B], in pixels of the view; 0 is no blur


def linear_views(
    canvases: Tensor, rows: Axis, columns: Axis, size: int, colour: Colour
) -> Iterator[Tensor]:
    """Colour, crop, resize, flip and blur each image, ``Wy (C X + c) Wxᵀ``.

    The colours are applied to the crop, which is most often smaller than the view; rows of the
    resampling matrices sum to one, so the offset comes through.

    Args:
        canvases: uint8 or uint16 ``[B, C, H, W]`` on the CPU.
        rows, columns: the crop along height and width.
        size: side S of the views.
        colour: in units of the canvases.

    Yields:
        float32 ``[C, S, S]`` for each image, overwritten by the next.
    """
    channels, full_height, full_width = canvases.shape[1:]
    vertical, horizontal = _Bands(rows, size, full_height), _Bands(columns, size, full_width)
    padded = vertical.padded
    # Windows may begin before the pixels and end after them, where their weights are zero.
    crops = _Padded(channels * full_height * full_width, horizontal.before, horizontal.after)
    lines = _Padded(
        channels * full_height * padded, vertical.before * padded, vertical.after * padded
    )
    view = torch.empty(channels, padded, padded)
    blocks = view.view(channels, -1, BLOCK, padded).unbind()
    colours = colour.unbind()
    # Every operation in this loop hands Python's lock to the other threads: the fewer the better.
    for index, canvas in enumerate(canvases.unbind()):
        (top, height), (left, width) = vertical.window[index], horizontal.window[index]
        crop = canvas[:, top : top + height, left : left + width]
        if horizontal.flip[index]:
            crop = _mirrored(crop)
        pixels = crop.to(torch.float32).view(channels * height, width)
        mean = pixels @ horizontal.mean[index].narrow(0, 0, width)
        mean = mean.view(channels, height) @ vertical.mean[index].narrow(0, 0, height)
        matrix, pivot, offset = colours[index]
        offset = (pivot * mean).sum(1, keepdim=True).add_(offset)
        area = height * width
        torch.addmm(offset, matrix, pixels.view(channels, area), out=crops.rows(channels, area))

        weights, step, origin = horizontal.windows(index)  # [blocks, BLOCK, taps]
        count, _, taps = weights.shape
        source = crops.windows((count, channels * height, taps), (step, width, 1), origin)
        target = lines.windows((count, channels * height, BLOCK), (BLOCK, padded, 1), 0)
        torch.bmm(source, weights.mT, out=target)

        weights, step, origin = vertical.windows(index)
        count, _, taps = weights.shape
        for channel in range(channels):
            source = lines.windows(
                (count, taps, padded),
                (step * padded, padded, 1),
                (channel * height + origin) * padded,
            )
            torch.bmm(weights, source, out=blocks[channel])
        yield view[:, :size, :size]


class _Padded:
    """Room for one image's float32 with zeros or old pixels around it, but never NaN."""

    def __init__(self, length: int, before: int, after: int) -> None:
        self.start = -(-before // _LINE) * _LINE
        self.storage = torch.zeros(self.start + length + after)

    def rows(self, count: int, length: int) -> Tensor:
        return self.storage.as_strided((count, length), (length, 1), self.start)

    def windows(
        self, shape: tuple[int, int, int], stride: tuple[int, int, int], offset: int
    ) -> Tensor:
        return self.storage.as_strided(shape, stride, self.start + offset)


def _mirrored(crop: Tensor) -> Tensor:
    if crop.dtype == torch.uint16:  # which torch cannot flip
        return crop.view(torch.int16).flip(-1).view(torch.uint16)
    return crop.flip(-1)


class _Bands:
    """The matrix of one axis, for each image of a chunk, kept as its few non-zero taps.

    Rows run over ``[-radius, padded + radius)``, mirrored at the view's borders, so that every
    block of rows is blurred by the same small matrix. Flipped images are mirrored beforehand.
    """

    def __init__(self, axis: Axis, size: int, length: int) -> None:
        radius = self.margin = blur_radius(size)
        count = -(-size // BLOCK)
        self.padded = count * BLOCK  # what is beyond the size is computed, and not used
        low, high = inside(axis.start, axis.extent, length)
        begin = torch.where(axis.flip, high - axis.start - axis.extent, axis.start - low)
        scale = (axis.extent / size)[:, None]
        widen = scale.clamp(min=1.0)
        rows = torch.arange(-radius, self.padded + radius).abs()
        rows = rows.minimum((2 * (size - 1) - rows).clamp(min=size - 1 - radius))
        centre = begin[:, None] + (rows + 0.5) * scale  # from the window's corner
        width = (high - low)[:, None]
        first = (centre - 2 * widen + 0.5).floor().clamp(min=0).minimum(width - 1)
        last = (centre + 2 * widen + 0.5).floor().minimum(width).maximum(first + 1)

        taps = first[..., None] + torch.arange(int((last - first).max()))
        weights = cubic((taps + (0.5 - centre)[..., None]) / widen[..., None])
        weights = weights * (taps < last[..., None])
        # A running sum: how far the other images pad the taps with zeros must not change a bit.
        weights = weights / weights.cumsum(-1)[..., -1:]
        taps = taps.minimum(last[..., None] - 1)
        self.flip: list[bool] = axis.flip.tolist()
        self.window: list[tuple[int, int]] = torch.stack([low, high - low], 1).long().tolist()

        # The weights of the mean over the view before blur.
        seen = slice(radius, radius + size)
        means = torch.zeros(len(low), -(-length // _LINE) * _LINE)
        means.scatter_add_(1, taps[:, seen].flatten(1).long(), weights[:, seen].flatten(1))
        self.mean = (means / size).unbind()

        # Block b reads the taps [origin + b step, origin + b step + reach) of the source.
        blurred = axis.sigma > 0
        self.radius: list[int] = torch.where(blurred, radius, 0).tolist()
        self.blur = _block_blur(axis.sigma, radius)[:, None].expand(-1, count, -1, -1).unbind()
        around = torch.arange(BLOCK + 2 * radius)
        inner = (around >= radius) & (around < radius + BLOCK)
        used = blurred[:, None, None] | inner
        lowest = first.unfold(1, len(around), BLOCK).where(used, length).amin(2)
        highest = last.unfold(1, len(around), BLOCK).where(used, 0).amax(2)
        steps = (BLOCK * scale).round()
        past = steps * torch.arange(count)
        origin = (lowest - past).amin(1)
        reach = (highest - past).amax(1) - origin
        self.before = max(0, -int(origin.min()))
        self.after = max(0, int((origin + past[:, -1] + reach).max()))
        self.steps: list[list[int]] = torch.stack([steps[:, 0], origin, reach], 1).long().tolist()

        # All matrices at once, as wide whatever the images, for the reason above.
        most = max(length / size, 1.0)
        wide = -(-int((len(around) + 6) * most + count) // _LINE) * _LINE
        place = taps.unfold(1, len(around), BLOCK).mT - (origin[:, None] + past)[..., None, None]
        weight = weights.unfold(1, len(around), BLOCK).mT * used[..., None]
        matrix = torch.zeros(*place.shape[:3], wide)
        matrix.scatter_add_(3, place.long().clamp(0, wide - 1), weight)
        whole, inner_rows = matrix.unbind(), matrix[:, :, radius : radius + BLOCK].unbind()
        self.blocks = [whole[i] if blur else inner_rows[i] for i, blur in enumerate(self.radius)]

    def windows(self, index: int) -> tuple[Tensor, int, int]:
        """One image's matrix by blocks ``[blocks, BLOCK, reach]``, the step from one block's
        window to the next's, and where the first begins."""
        step, origin, reach = self.steps[index]
        blocks = self.blocks[index].narrow(2, 0, reach)
        if self.radius[index]:
            blocks = torch.bmm(self.blur[index], blocks)
        return blocks, step, origin


def _block_blur(sigma: Tensor, radius: int) -> Tensor:
    """``[B, BLOCK, BLOCK + 2 radius]``: Gaussian blur of a block from its rows and those around."""
    distance = torch.arange(BLOCK + 2 * radius) - torch.arange(BLOCK)[:, None] - radius
    kernel = torch.exp(-0.5 * (distance / sigma.clamp(min=1e-3)[:, None, None]) ** 2)
    kernel = kernel * (distance.abs() <= radius)
    return kernel / kernel.sum(-1, keepdim=True)
