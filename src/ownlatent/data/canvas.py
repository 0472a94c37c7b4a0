"""One canvas: the shape that all images of a data set share, and an image put onto it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from ownlatent.data.pixels import Header, Pixels
from ownlatent.errors import UsageError

THUMBNAIL = 64  # images up to this side, in pixels, are never shrunk: it would save nothing
ROOM = 1.15  # canvas side over view side, so that a view of the whole image is not enlarged


@dataclass(frozen=True)
class CanvasShape:
    """Channels, size and depth of every canvas of a data set."""

    channels: int
    height: int
    width: int
    bits: int

    @property
    def dtype(self) -> np.dtype[np.unsignedinteger]:
        return np.dtype(np.uint8 if self.bits == 8 else np.uint16)

    @property
    def bytes(self) -> int:
        return self.channels * self.height * self.width * self.bits // 8

    def summary(self) -> str:
        """``3 channels of 8 bit, canvas 258 x 258``"""
        many = "s" if self.channels > 1 else ""
        return (
            f"{self.channels} channel{many} of {self.bits} bit, canvas {self.height} x {self.width}"
        )


def canvas_shape(
    headers: Sequence[Header], names: Sequence[str], *, side: int | None, view_size: int
) -> CanvasShape:
    """The canvas for these images.

    Gray images become RGB where any image is. Images of one size that fit into ``side`` keep it;
    otherwise canvases are ``side`` by ``side``. Without ``side`` it is 1.15 times ``view_size`` and
    at least 64, or the largest dimension of any image if that is less.

    Raises:
        UsageError: 8 and 16 bit mixed.
    """
    if len({header.bits for header in headers}) > 1:
        of = {header.bits: name for header, name in zip(headers, names, strict=True)}
        raise UsageError(
            f"8-bit images ({of[8]}) and 16-bit images ({of[16]}) are mixed: convert them to one "
            f"depth"
        )
    largest = max(max(header.height, header.width) for header in headers)
    if side is None:
        side = min(max(round(ROOM * view_size), THUMBNAIL), largest)
    sizes = {(header.height, header.width) for header in headers}
    height, width = next(iter(sizes)) if len(sizes) == 1 and largest <= side else (side, side)
    return CanvasShape(max(header.channels for header in headers), height, width, headers[0].bits)


def to_canvas(pixels: Pixels, shape: CanvasShape) -> Pixels:
    """``[C, H, W]`` onto the canvas: resized by antialiased bicubic interpolation where the size
    differs, gray repeated where the canvas has more channels.

    8 bit is resized in uint8 (rounded and clamped after each axis, as Pillow does), 16 bit in
    float32.
    """
    if pixels.shape[1:] != (shape.height, shape.width):
        writable = pixels if pixels.flags.writeable else pixels.copy()  # as torch demands
        wide = writable if shape.bits == 8 else pixels.astype(np.float32)
        # Batched from [H, W, C]: decoders give channels last, and torch knows them as such only
        # by the stride of the batch. Then it resizes them as they lie, 2.5 times as fast.
        batch = torch.from_numpy(wide.transpose(1, 2, 0))[None].permute(0, 3, 1, 2)
        resized = F.interpolate(
            batch,
            size=(shape.height, shape.width),
            mode="bicubic",
            antialias=True,
        )[0].numpy()
        pixels = resized if shape.bits == 8 else resized.round().clip(0, 65535).astype(np.uint16)
    if pixels.shape[0] < shape.channels:
        pixels = np.broadcast_to(pixels, (shape.channels, *pixels.shape[1:]))
    return pixels
