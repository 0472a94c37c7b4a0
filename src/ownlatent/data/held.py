"""What data sets in memory that are not images have in common."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ownlatent.memory import to_device


@dataclass(frozen=True, kw_only=True)
class Held(ABC):
    """Samples of one shape, which need no decoding any more.

    Attributes:
        ids: int64 ``[N]``; see `sample_id`.
        labels: int64 ``[N]``, or None.
        classes: class names by label, or None.
        names: the samples' names.
        digests: uint8 ``[N, 16]``; see `content_digest`.
        fingerprint: see `data_fingerprint`.
        skipped: name of and reason for each sample that cannot be used; they have no row.
    """

    ids: Tensor
    labels: Tensor | None
    classes: list[str] | None
    names: list[str]
    digests: NDArray[np.uint8]
    fingerprint: str
    skipped: list[tuple[str, str]] = field(default_factory=list)

    @property
    @abstractmethod
    def content(self) -> Tensor:
        """``[N, ...]``, what encoders and views are given."""

    def __len__(self) -> int:
        return len(self.content)

    def expect(self, coming: Iterator[Tensor]) -> None:  # noqa: B027 (rightly does nothing)
        """Nothing: all batches are there."""

    def batch(self, rows: Tensor, device: str | torch.device) -> tuple[Tensor, None, Tensor]:
        """The samples in ``rows`` (int64 ``[B]``): content ``[B, ...]``, no sizes, and ids."""
        device = torch.device(device)
        return to_device(self.content[rows], device), None, to_device(self.ids[rows], device)
