"""Which images a step sees: a pure function of seed and step, for any number of processes."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ownlatent.data.order import epoch_order


@dataclass
class Batches:
    """Cuts each epoch's order into optimizer batches, micro-batches and processes' shares.

    The last, ragged batch of an epoch is dropped: batch norm wants equal batches.

    Args:
        ids: int64 ``[N]``.
        seed: of the order.
        batch_size: images per optimizer step over all processes; it divides into the parts.
        accumulate: micro-batches per step.
        rank, world: this process and how many there are.
    """

    ids: Tensor
    seed: int
    batch_size: int
    accumulate: int = 1
    rank: int = 0
    world: int = 1

    def __post_init__(self) -> None:
        self.per_epoch = len(self.ids) // self.batch_size
        self._orders: dict[int, Tensor] = {}

    def epoch(self, step: int) -> int:
        """The epoch that an optimizer step belongs to, from 0."""
        return step // self.per_epoch

    def rows(self, step: int) -> Tensor:
        """This process's rows of a step: int64 ``[accumulate, batch / accumulate / world]``."""
        return self.whole(step).view(self.accumulate, self.world, -1)[:, self.rank]

    def whole(self, step: int) -> Tensor:
        """All processes' rows of a step: int64 ``[batch]``."""
        epoch = self.epoch(step)
        if epoch not in self._orders:
            # Two are kept: the next epoch's first batches are wanted ahead of this one's last.
            for old in list(self._orders)[:-1]:
                del self._orders[old]
            order = epoch_order(self.ids, self.seed, epoch)
            # Of a billion samples 4 GB instead of 8.
            self._orders[epoch] = order.to(torch.int32) if len(order) < 2**31 else order
        start = step % self.per_epoch * self.batch_size
        return self._orders[epoch][start : start + self.batch_size].long()
