"""The order of an epoch: a pure function of seed and epoch."""

import torch
from torch import Tensor

from ownlatent.philox import words

_STREAM = 1 << 15  # apart from the views' streams
_SORTED = 1 << 22  # keys sorted at once
_PIECE = 1 << 18  # ids hashed at once: that takes 200 bytes for each, which soon are used again


def epoch_order(ids: Tensor, seed: int, epoch: int) -> Tensor:
    """The rows of an epoch in order: int64 ``[N]``, a permutation of the rows of ``ids``.

    Each sample's place is a hash of its id, so every process computes the same order, batch size
    and workers play no part, and a file added or skipped leaves the others in their order.
    """
    keys = torch.empty_like(ids)
    for start in range(0, len(ids), _PIECE):
        drawn = words(
            ids[start : start + _PIECE],
            seed=torch.tensor(seed),
            epoch=torch.tensor(epoch),
            stream=_STREAM,
            count=2,
        )
        # 62 random bits: ties are as good as impossible, and a stable sort settles them anyway.
        keys[start : start + _PIECE] = (drawn[:, 0] << 30) ^ drawn[:, 1]
    return sorted_rows(keys, -(-len(ids) // _SORTED))


def sorted_rows(keys: Tensor, parts: int) -> Tensor:
    """``torch.argsort(keys, stable=True)`` of keys from 0 to 2^62, a part of their range after the
    other: a sort takes 32 bytes a key beside the keys."""
    order, done = torch.empty_like(keys), 0
    for part in range(parts):
        low, high = ((part + more) * 2**62 // parts for more in (0, 1))
        rows = ((keys >= low) & (keys < high)).nonzero().squeeze(1)
        order[done : done + len(rows)] = rows[torch.argsort(keys[rows], stable=True)]
        done += len(rows)
    return order
