"""A decoded data set: one canvas per sample, and what else is known of it."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ownlatent.data.placement import Place, gigabytes
from ownlatent.memory import to_device

_STATISTICS_ROWS = 1024  # the mean is then known to about 3 % of the spread between images
_CHUNK = 32
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

    def channel_statistics(self) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of each channel, 1 being the brightest value there is.

        Over at most 1,024 canvases spread evenly over the rows, each canvas counting the same.

        Returns:
            two float32 ``[C]``. The deviation of a constant channel is 0.
        """
        count = min(len(self), _STATISTICS_ROWS)
        rows = torch.linspace(0, len(self) - 1, count, dtype=torch.float64).round().long()
        total = square = torch.zeros(self.pixels.shape[1], dtype=torch.float64)
        for start in range(0, len(rows), _CHUNK):
            values = self.batch(rows[start : start + _CHUNK], "cpu")[
                0
            ].double()  # sums of integers: exact
            total = total + values.sum(dim=(0, 2, 3))
            square = square + values.square().sum(dim=(0, 2, 3))
        count *= self.pixels.shape[2] * self.pixels.shape[3]
        white = 65535 if self._is_deep else 255
        mean = total / count
        deviation = (square / count - mean.square()).clamp(min=0).sqrt()
        return (mean / white).float(), (deviation / white).float()

    def summary(self) -> str:
        """One line: how many, of what shape, how large, where."""
        _, channels, height, width = self.pixels.shape
        skipped = f"; {len(self.skipped)} unreadable skipped" if self.skipped else ""
        return (
            f"{len(self):,} images, {channels} channel{'s' if channels > 1 else ''} of "
            f"{16 if self._is_deep else 8} bit, canvas {height} x {width}, "
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
