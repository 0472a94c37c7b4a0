"""Views on a CPU: each made from its crop in one go, by loops that numba compiles.

Most of a resampling matrix is zero: a row has a few taps side by side, blur included. Here a matrix
is its taps, and an axis is resampled by adding up whole rows of pixels, which the compiler turns
into vector instructions; columns are turned into rows for it, some at a time, and back. All that a
view needs beside its canvas and itself is one channel of the crop, twice, which stays in cache; and
Python's lock is not held, so that threads do not wait for each other. The numbers are those of
:mod:`ownlatent.views.geometry`; a GPU, and a compiled model, take its dense products instead.
"""

import math
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, NamedTuple, TypeVar, cast

import numba
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ownlatent.memory import room
from ownlatent.views.colour import Colour
from ownlatent.views.draw import Draw
from ownlatent.views.geometry import blur_radius

_PARTS = 4  # of a batch for each thread, since one is done before another
_TILE = 8  # columns turned into rows at a time, or back: a vector's worth
_TAIL = 5.7  # standard deviations; a Gaussian is below 1e-7 of its peak from here on

Array = NDArray[Any]
_Function = TypeVar("_Function", bound=Callable[..., Any])


def banded_views(
    canvases: Tensor, drawn: Draw, colour: Colour, size: int, black: Tensor, white: Tensor
) -> Tensor:
    """Crop, resize, flip, blur, colour, clamp and solarize each image, on every thread.

    Args:
        canvases: uint8 or uint16 ``[B, C, H, W]`` on the CPU.
        drawn: their parameters.
        colour: in units of the canvases.
        size: side S of the views.
        black, white: float32, C numbers or one: the bounds that are clamped to.

    Returns:
        float32 ``[B, C, S, S]``, each image's a function of its own canvas and parameters.
    """
    out = room((*canvases.shape[:2], size, size), torch.float32)
    each = [canvases, drawn.top, drawn.height, drawn.left, drawn.width]
    each += [drawn.flip, drawn.sigma, drawn.solarize, *colour, out]
    arrays = [np.ascontiguousarray(tensor.numpy()) for tensor in each]
    bounds = [bound.flatten().expand(canvases.shape[1]).numpy().copy() for bound in (black, white)]

    def some(part: slice) -> None:
        _views(blur_radius(size), *(array[part] for array in arrays), *bounds)

    threads = torch.get_num_threads()
    count = max(1, -(-len(out) // (_PARTS * threads)))
    parts = [slice(start, start + count) for start in range(0, len(out), count)]
    list(_pool(threads).map(some, parts))
    return out


_pool = cache(ThreadPoolExecutor)
# A forked process has the pools but not their threads.
os.register_at_fork(after_in_child=_pool.cache_clear)


# A product and its sum are rounded once, in one instruction; no sum is put in another order.
_OPTIONS: Any = {"nogil": True, "error_model": "numpy", "fastmath": {"contract"}}


def _compiled(function: _Function) -> _Function:
    """Compiled when first called, and kept beside this file or in the user's cache if it can be."""
    made: Any
    try:
        made = numba.njit(function, cache=True, **_OPTIONS)
    except RuntimeError:  # neither place can be written
        made = numba.njit(function, **_OPTIONS)
    return cast(_Function, made)


class _Axis(NamedTuple):
    """Where the rows of a view come from along one axis of the canvas."""

    low: int  # the crop is [low, low + length)
    length: int
    first: Array  # int64 [S]: the first tap of each row, from low
    number: Array  # int64 [S]: how many
    weights: Array  # float32 [S, most taps, in fours]
    mean: Array  # float32 [length], the weights of the mean over the view before blur


@_compiled
def _views(
    radius: int,
    canvases: Array,
    tops: Array,
    heights: Array,
    lefts: Array,
    widths: Array,
    flips: Array,
    sigmas: Array,
    solarize: Array,
    matrices: Array,
    pivots: Array,
    offsets: Array,
    out: Array,
    black: Array,
    white: Array,
) -> None:
    """``solarize(clamp(C (Wy X Wxᵀ) + c))`` image by image, and in it channel by channel.

    The colours are mixed in the crop, which is most often smaller than the view. Rows of the
    resampling matrices sum to one, so their offset can be left to the end.
    """
    channels, full_height, full_width = canvases.shape[1:]
    size = out.shape[3]
    # Taps come in fours, so up to three rows beyond the pixels are read, times zero.
    crop = np.zeros((full_width + 3, full_height + _TILE), np.float32)  # a column is a row
    lines = np.zeros((full_height + 3, size + _TILE), np.float32)
    tile = np.zeros((_TILE, max(full_height, full_width)), np.float32)
    row = np.zeros(max(size, full_width), np.float32)
    means = np.zeros(channels, np.float32)
    for index in range(len(canvases)):
        canvas = canvases[index]
        y = _axis(tops[index], heights[index], sigmas[index], radius, size, full_height)
        x = _axis(lefts[index], widths[index], sigmas[index], radius, size, full_width)
        for beyond in range(3):
            crop[x.length + beyond].fill(0)
            lines[y.length + beyond].fill(0)
        for channel in range(channels):
            means[channel] = _mean(canvas[channel], y, x, row)
        for channel in range(channels):
            _mix(canvas, matrices[index, channel], y, x, tile, crop)
            _across(crop, x, y.length, flips[index], tile, lines)
            offset = offsets[index, channel]
            for other in range(channels):
                offset += pivots[index, channel, other] * means[other]
            bounds = black[channel], white[channel]
            _down(lines, y, offset, bounds, solarize[index], row, out[index, channel])


@_compiled
def _axis(start: float, extent: float, sigma: float, radius: int, size: int, length: int) -> _Axis:
    """Crop, resize and blur as taps: see `geometry.resampling` and `geometry.blurring`."""
    low = min(max(round(start), 0), length - 1)
    length = max(min(round(start + extent), length), low + 1) - low
    begin, scale = start - low, extent / size
    widen = max(scale, 1.0)
    first, last = np.empty(size, np.int64), np.empty(size, np.int64)
    sharp = np.zeros((size, int(4 * widen) + 2))
    mean = np.zeros(length, np.float32)
    for row in range(size):
        centre = begin + (row + 0.5) * scale
        first[row] = min(max(math.floor(centre - 2 * widen + 0.5), 0), length - 1)
        last[row] = max(min(math.floor(centre + 2 * widen + 0.5), length), first[row] + 1)
        total = 0.0
        for tap in range(first[row], last[row]):
            weight = _cubic((tap + 0.5 - centre) / widen)
            sharp[row, tap - first[row]] = weight
            total += weight
        for tap in range(first[row], last[row]):
            sharp[row, tap - first[row]] /= total
            mean[tap] += sharp[row, tap - first[row]] / size

    radius = min(radius, int(_TAIL * sigma))
    kernel = np.empty(radius + 1)
    total = 0.0
    for distance in range(radius + 1):
        kernel[distance] = math.exp(-0.5 * (distance / max(sigma, 1e-3)) ** 2)
        total += kernel[distance] * (2 if distance else 1)
    # A row is blurred with those around it, even where they are reflected.
    origin, count, most = np.empty(size, np.int64), np.empty(size, np.int64), 0
    for row in range(size):
        origin[row] = first[max(row - radius, 0)]
        count[row] = last[min(row + radius, size - 1)] - origin[row]
        most = max(most, count[row])
    weights = np.zeros((size, (most + 3) // 4 * 4), np.float32)
    for row in range(size):
        for distance in range(-radius, radius + 1):
            other = size - 1 - abs(size - 1 - abs(row + distance))
            part = kernel[abs(distance)] / total
            shift = first[other] - origin[row]
            for tap in range(last[other] - first[other]):
                weights[row, shift + tap] += part * sharp[other, tap]
    return _Axis(low, length, origin, count, weights, mean)


@_compiled
def _cubic(x: float) -> float:
    """`geometry.cubic`, of a number."""
    outer = max(2.0 - abs(x), 0.0)
    inner = max(outer - 1.0, 0.0)
    return outer * outer * (0.5 * outer - 0.5) + inner * inner * (1.0 - 2.0 * inner)


@_compiled
def _mean(plane: Array, y: _Axis, x: _Axis, columns: Array) -> float:
    """The mean of one channel over the view before blur."""
    columns.fill(0)
    for row in range(y.length):
        pixels = plane[y.low + row, x.low : x.low + x.length]
        for column in range(x.length):
            columns[column] += y.mean[row] * np.float32(pixels[column])
    mean = 0.0
    for column in range(x.length):
        mean += columns[column] * x.mean[column]
    return mean


@_compiled
def _mix(canvas: Array, matrix: Array, y: _Axis, x: _Axis, tile: Array, crop: Array) -> None:
    """One channel of the coloured crop, its columns as rows."""
    for start in range(0, y.length, _TILE):
        for row in range(min(_TILE, y.length - start)):
            for channel in range(len(matrix)):
                pixels = canvas[channel, y.low + start + row, x.low : x.low + x.length]
                share = matrix[channel]
                if channel == 0:
                    for column in range(x.length):
                        tile[row, column] = share * np.float32(pixels[column])
                else:
                    for column in range(x.length):
                        tile[row, column] += share * np.float32(pixels[column])
        _turn(tile, x.length, crop, start)


@_compiled
def _across(crop: Array, x: _Axis, height: int, flip: bool, tile: Array, lines: Array) -> None:
    """Resample the columns, and turn them back."""
    size = len(x.first)
    for start in range(0, size, _TILE):
        for column in range(min(_TILE, size - start)):
            place = start + column
            place = size - 1 - place if flip else place
            _resample(crop, x, place, np.float32(0), height, tile[column])
        _turn(tile, height, lines, start)


@_compiled
def _down(
    lines: Array,
    y: _Axis,
    offset: float,
    bounds: tuple[float, float],
    solarize: bool,
    resampled: Array,
    out: Array,
) -> None:
    """Resample the rows, and finish them: the smaller of x and black + white - x is solarized."""
    black, white = bounds
    for row in range(len(out)):
        _resample(lines, y, row, offset, len(out), resampled)
        for column in range(len(out)):
            value = resampled[column]
            value = black if value < black else value
            value = white if value > white else value
            if solarize:
                inverse = black + white - value
                value = inverse if inverse < value else value
            out[row, column] = value


@_compiled
def _resample(
    source: Array, axis: _Axis, row: int, offset: float | np.float32, length: int, target: Array
) -> None:
    """Add up the rows of the source under one row of the target: four at a time, so that the sum
    is read and written a quarter as often."""
    for tap in range(0, axis.number[row], 4):
        at, weights = axis.first[row] + tap, axis.weights
        a, b = weights[row, tap], weights[row, tap + 1]
        c, d = weights[row, tap + 2], weights[row, tap + 3]
        if tap == 0:
            for i in range(length):
                target[i] = offset + _four(source, at, i, a, b, c, d)
        else:
            for i in range(length):
                target[i] += _four(source, at, i, a, b, c, d)


@_compiled
def _four(source: Array, at: int, i: int, a: float, b: float, c: float, d: float) -> Any:
    two = a * source[at, i] + b * source[at + 1, i]
    return two + c * source[at + 2, i] + d * source[at + 3, i]


@_compiled
def _turn(tile: Array, length: int, target: Array, start: int) -> None:
    """The tile's columns become rows of the target, from column ``start`` on."""
    for column in range(length):
        for row in range(_TILE):
            target[column, start + row] = tile[row, column]
