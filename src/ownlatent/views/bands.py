"""The geometry of large views on a CPU: the dense products of a view, without their zeros.

At 224 pixels most of a resampling matrix is zero: a block of output rows reads only the source
rows under it. So each axis is a few small products, ``X[first:last]ᵀ @ W[first:last, block]``, one
image at a time while its pixels are in cache, images shared among threads. The numbers are those
of :mod:`ownlatent.views.geometry`; a GPU, and small views, take its dense products instead.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

from ownlatent.views.geometry import blur_radius, cubic, inside

BLOCK = 32  # output rows per product: 16 and 56 measured 5-10 % slower at 224 pixels
CHUNK = 16  # images at a time: fewer pay for setting up the taps, more leave the cache


class Axis(NamedTuple):
    """Where one axis of each view comes from, in pixels of the source but for sigma."""

    start: Tensor  # float [B]
    extent: Tensor  # float [B]
    flip: Tensor  # bool [B]
    sigma: Tensor  # float [B], in pixels of the view; 0 is no blur


def resample(canvases: Tensor, rows: Axis, columns: Axis, size: int) -> tuple[Tensor, Tensor]:
    """Crop, resize, flip and blur each image, ``Wy X Wxᵀ``, in the units of the canvases.

    Args:
        canvases: uint8 or uint16 ``[B, C, H, W]`` on the CPU.
        rows, columns: the crop along height and width.
        size: side S of the views.

    Returns:
        float32 ``[B, C, S, S]``, and the mean of each view before blur ``[B, C]``.
    """
    batch, channels, height, width = canvases.shape
    views = torch.empty(batch, channels, size, size)
    means = torch.empty(batch, channels)
    vertical, horizontal = _Bands(rows, size, height), _Bands(columns, size, width)
    for index, image in enumerate(canvases):
        _one(image, vertical, horizontal, index, views[index], means[index])
    return views, means


def in_chunks(make: Callable[[slice], Tensor], out: Tensor) -> Tensor:
    """Fill ``out`` from ``make(slice of the batch)``, some images at a time, on every thread."""

    def some(part: slice) -> None:
        out[part] = make(part)

    parts = [slice(start, start + CHUNK) for start in range(0, len(out), CHUNK)]
    list(_pool(torch.get_num_threads()).map(some, parts))
    return out


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    # Threads of their own inside each product would only get in each other's way.
    return ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,))


def _one(
    image: Tensor, vertical: "_Bands", horizontal: "_Bands", index: int, view: Tensor, mean: Tensor
) -> None:
    """One image of a chunk, into its place in the batch."""
    top, height = vertical.window[index]
    left, width = horizontal.window[index]
    crop = image[:, top : top + height, left : left + width].to(torch.float32)
    down, row = vertical.products(index)
    lines = torch.cat([crop[:, span].mT @ weights for span, weights in down], dim=2)  # [C, x, y]
    across, column = horizontal.products(index)
    torch.cat([lines[:, span].mT @ weights for span, weights in across], dim=2, out=view)
    mean.copy_((row @ crop) @ column)


class _Bands:
    """The matrix of one axis, for each image of a chunk, kept as its few non-zero taps.

    Rows run over ``[-radius, size + radius)``, mirrored at the borders, so that every block of
    rows is blurred by the same small matrix.
    """

    def __init__(self, axis: Axis, size: int, length: int) -> None:
        radius = self.radius = blur_radius(size)
        self.size = size
        low, high = inside(axis.start, axis.extent, length)
        scale = (axis.extent / size)[:, None]
        widen = scale.clamp(min=1.0)
        rows = torch.arange(-radius, size + radius).abs()
        rows = rows.minimum(2 * (size - 1) - rows)
        rows = torch.where(axis.flip[:, None], size - 1 - rows, rows)
        centre = (axis.start - low)[:, None] + (rows + 0.5) * scale  # from the window's corner
        width = (high - low)[:, None]
        first = (centre - 2 * widen + 0.5).floor().clamp(min=0).minimum(width - 1)
        last = (centre + 2 * widen + 0.5).floor().minimum(width).maximum(first + 1)

        taps = first[..., None] + torch.arange(int((last - first).max()))
        weights = cubic((taps + (0.5 - centre)[..., None]) / widen[..., None])
        weights = weights * (taps < last[..., None])
        # A running sum: how far the other images pad the taps with zeros must not change a bit.
        self.weights = weights / weights.cumsum(-1)[..., -1:]
        self.taps = taps.minimum(last[..., None] - 1).long()
        self.window: list[tuple[int, int]] = torch.stack([low, high - low], 1).long().tolist()

        # The source pixels [first, last) that a block reads: blurred, those around it too.
        self.blurred: list[bool] = (axis.sigma > 0).tolist()
        self.blur = _block_blur(axis.sigma, radius).mT
        begin = torch.arange(0, size, BLOCK)
        around = torch.where(axis.sigma > 0, radius, 0)[:, None]
        start = (begin - around).clamp(min=0) + radius
        end = (begin + BLOCK - 1 + around).clamp(max=size - 1) + radius
        # Rows run one way, or the other if flipped: the extremes are at the ends.
        lowest = first.gather(1, start).minimum(first.gather(1, end))
        highest = last.gather(1, start).maximum(last.gather(1, end))
        self.spans: list[list[tuple[int, int]]] = torch.stack([lowest, highest], -1).long().tolist()

    def products(self, index: int) -> tuple[list[tuple[slice, Tensor]], Tensor]:
        """One image's transposed matrix by blocks, (source pixels, weights), and the weights of
        the mean over the view before blur."""
        size, radius = self.size, self.radius
        whole = torch.zeros(size + 2 * radius, self.window[index][1])
        whole = whole.scatter_add_(1, self.taps[index], self.weights[index]).T
        resize = whole[:, radius : radius + size]
        blocks = []
        for number, (first, last) in enumerate(self.spans[index]):
            at = number * BLOCK
            rows = min(BLOCK, size - at)
            span = slice(first, last)
            weights = resize[span, at : at + rows]
            if self.blurred[index]:
                around = whole[span, at : at + rows + 2 * radius]
                weights = around @ self.blur[index, : rows + 2 * radius, :rows]
            blocks.append((span, weights))
        return blocks, resize.mean(1)


def _block_blur(sigma: Tensor, radius: int) -> Tensor:
    """``[B, BLOCK, BLOCK + 2 radius]``: Gaussian blur of a block from its rows and those around."""
    distance = torch.arange(BLOCK + 2 * radius) - torch.arange(BLOCK)[:, None] - radius
    kernel = torch.exp(-0.5 * (distance / sigma.clamp(min=1e-3)[:, None, None]) ** 2)
    kernel = kernel * (distance.abs() <= radius)
    return kernel / kernel.sum(-1, keepdim=True)
