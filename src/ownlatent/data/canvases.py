"""A decoded data set: one canvas per sample, and what else is known of it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ownlatent.data.canvas import CanvasShape
from ownlatent.data.placement import Place, gigabytes
from ownlatent.data.statistics import channel_statistics
from ownlatent.memory import to_device

_WHERE = {"device": "on the device", "host": "in host memory", "disk": "on disk"}


@dataclass(frozen=True)
class Canvases:
    """Every image of a data set on a canvas of one shape.

    Attributes:
        pixels: uint8 or uint16 ``[N, C, Hc, Wc]``; where ``place`` is ``disk``, a read-only map.
        sizes: int32 ``[N, 2]``, each original's height and width in pixels, orientation applied.
        ids: int64 ``[N]``; see `sample_id`.
        labels: int64 ``[N]``, or None.
        classes: class names by label, or None.
        names: the samples' names.
        digests: uint8 ``[N, 16]``; see `content_digest`.
        fingerprint: see `data_fingerprint`.
        skipped: name of and reason for each unreadable sample; they have no row.
        place: where ``pixels`` lives. All else is in host memory.
    """

    kind: ClassVar[str] = "images"

    pixels: Tensor
    sizes: Tensor
    ids: Tensor
    labels: Tensor | None
    classes: list[str] | None
    names: list[str]
    digests: NDArray[np.uint8]
    fingerprint: str
    skipped: list[tuple[str, str]]
    place: Place

    def __len__(self) -> int:
        return len(self.names)

    def batch(self, rows: Tensor, device: str | torch.device) -> tuple[Tensor, Tensor, Tensor]:
        """The samples in ``rows`` (int64 ``[B]``, on the CPU), on ``device``.

        Returns:
            pixels ``[B, C, Hc, Wc]`` (contiguous), sizes int32 ``[B, 2]``, ids int64 ``[B]``.
        """
        device = torch.device(device)
        # torch cannot index uint16, so the same bits are moved as int16.
        words = self.pixels.view(torch.int16) if self._is_deep else self.pixels
        chosen = words.index_select(0, to_device(rows, words.device)).contiguous()
        chosen = to_device(chosen, device)
        pixels = chosen.view(torch.uint16) if self._is_deep else chosen
        return pixels, to_device(self.sizes[rows], device), to_device(self.ids[rows], device)

    def expect(self, coming: Iterator[Tensor]) -> None:
        """Nothing: all batches are there."""

    def channel_statistics(self) -> tuple[Tensor, Tensor]:
        """See `ownlatent.data.statistics.channel_statistics`."""
        return channel_statistics(self)

    @property
    def shape(self) -> CanvasShape:
        """Of each canvas."""
        _, channels, height, width = self.pixels.shape
        return CanvasShape(channels, height, width, 16 if self._is_deep else 8)

    @property
    def largest(self) -> int:
        """The longest side of any original, in pixels."""
        return int(self.sizes.max())

    def summary(self) -> str:
        """One line: how many, of what shape, how large, where."""
        skipped = f"; {len(self.skipped)} unreadable skipped" if self.skipped else ""
        return (
            f"{len(self):,} images, {self.shape.summary()}, "
            f"{gigabytes(self.pixels.nbytes)} {_WHERE[self.place]}{skipped}"
        )

    @property
    def _is_deep(self) -> bool:
        return self.pixels.dtype == torch.uint16


def overlap(a: Any, b: Any) -> int:
    """How many samples of ``b`` have the content of some sample of ``a``.

    Content is the encoded bytes, or the pixels of an array: the same picture encoded twice is not
    found, nor is a file's picture in an array.
    """
    known = {digest.tobytes() for digest in a.digests}
    return sum(digest.tobytes() in known for digest in b.digests)
