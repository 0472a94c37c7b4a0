"""Crop, antialiased resize, flip and blur along one axis are one small matrix."""

import torch
from torch import Tensor


def resampling(
    start: Tensor, extent: Tensor, flip: Tensor | None, size: int, length: int
) -> Tensor:
    """The matrix that crops ``[start, start + extent)`` of an axis and resizes it to ``size``.

    Antialiased bicubic interpolation with a = -1/2, as Pillow and torchvision do it: the kernel is
    widened by the shrinking factor, taps outside the crop are dropped, and each row sums to one.

    Args:
        start, extent: float ``[B]`` in pixels of the axis.
        flip: bool ``[B]``, or None for none.
        size: rows, the length of the output.
        length: columns, the length of the input.

    Returns:
        float32 ``[B, size, length]``.
    """
    device = start.device
    row = torch.arange(size, device=device, dtype=torch.float32).expand(len(start), size)
    if flip is not None:
        row = torch.where(flip[:, None], size - 1 - row, row)
    column = torch.arange(length, device=device, dtype=torch.float32)
    scale = (extent / size)[:, None]
    widen = scale.clamp(min=1.0)
    # Measured from the crop's corner, so that float32 keeps its digits on large images.
    offset = (column - start[:, None] + 0.5) / widen
    centre = (row + 0.5) * scale / widen
    weights = cubic(offset[:, None, :] - centre[:, :, None])
    low, high = inside(start, extent, length)
    within = (column >= low[:, None]) & (column < high[:, None])
    weights = weights * within[:, None, :]
    return weights / weights.sum(dim=2, keepdim=True)


def inside(start: Tensor, extent: Tensor, length: int) -> tuple[Tensor, Tensor]:
    """The whole pixels ``[low, high)`` of an axis that a box takes from: at least one.

    A box mapped to a squeezed canvas does not begin and end with a pixel; it is rounded.
    """
    low = start.round().clamp(min=0, max=length - 1)
    high = (start + extent).round().clamp(max=length).maximum(low + 1)
    return low, high


def cubic(x: Tensor) -> Tensor:
    """Keys' cubic convolution kernel with a = -1/2.

    The outer piece, and inside ±1 what the inner one lacks of it: each is zero beyond its border by
    itself, which takes a third of the time of choosing between the two.
    """
    outer = (2.0 - x.abs()).clamp(min=0.0)
    inner = (outer - 1.0).clamp(min=0.0)
    return outer * outer * (0.5 * outer - 0.5) + inner * inner * (1.0 - 2.0 * inner)


def blur_radius(size: int) -> int:
    """Radius of the blur kernel: 11 (23 taps) at 224 pixels, as in BYOL; never beyond the image."""
    return min(size // 20, size - 1)


def blurring(sigma: Tensor, size: int) -> Tensor:
    """The matrix of a Gaussian blur with reflected border.

    Args:
        sigma: float ``[B]`` in pixels; 0 gives the identity.
        size: length of the axis.

    Returns:
        float32 ``[B, size, size]``, rows summing to one.
    """
    radius = blur_radius(size)
    tap = torch.arange(-radius, radius + 1, device=sigma.device, dtype=torch.float32)
    spread = sigma.clamp(min=1e-3)[:, None]  # at 1e-3 every tap but the middle one is exactly 0
    kernel = torch.exp(-0.5 * (tap / spread) ** 2)
    kernel = kernel / kernel.sum(dim=1, keepdim=True)
    # reflected[t, i] is the pixel that tap t of output i reads.
    position = torch.arange(size, device=sigma.device)
    reflected = (position + tap.to(torch.int64)[:, None]).abs()
    reflected = size - 1 - (size - 1 - reflected).abs()
    reads = (reflected[:, :, None] == position).to(torch.float32)
    return torch.einsum("bt,tij->bij", kernel, reads)
