"""Keys of earlier batches, kept to be used again."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Queue(nn.Module):
    """The last ``length`` vectors that were added, first in, first out.

    It starts with random directions, as MoCo's does.

    Args:
        length: vectors held; a batch need not divide it.
        dim: of a vector.
    """

    vectors: Tensor  # [length, dim]
    position: Tensor

    def __init__(self, length: int, dim: int) -> None:
        super().__init__()
        self.register_buffer("vectors", F.normalize(torch.randn(length, dim), dim=1))
        self.register_buffer("position", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def add(self, vectors: Tensor) -> None:
        """Put ``[N, dim]`` in the place of the oldest."""
        length = len(self.vectors)
        last = vectors[-length:]
        places = torch.arange(len(last), device=self.position.device) + self.position
        self.vectors[places % length] = last.to(self.vectors)
        self.position.add_(len(last)).remainder_(length)
