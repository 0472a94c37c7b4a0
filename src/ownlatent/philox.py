"""Randomness as a pure function: every draw is a hash of what it is for.

Philox 4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011) maps a
128-bit counter and a 64-bit key to four 32-bit integers. Nothing is carried from one draw to the
next, so the same image in the same epoch gets the same views whatever the batch, the number of
workers or processes, or a restart.

Words are kept in int64 tensors and products are taken 16 bits at a time: a 64-bit product that
wraps is undefined in compiled CPU code.
"""

import math

import torch
from torch import Tensor

from ownlatent.errors import UsageError

_WORD = 0xFFFFFFFF
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)
_ROUNDS = 10
_BLOCKS = 1 << 16  # of a stream


def _product(word: Tensor, multiplier: int) -> tuple[Tensor, Tensor]:
    """High and low 32 bits of ``word * multiplier``, both 32-bit, without overflowing int64."""
    low = word * (multiplier & 0xFFFF)  # < 2**48
    high = word * (multiplier >> 16)  # < 2**48
    middle = high + (low >> 16)  # < 2**49
    return middle >> 16, ((middle & 0xFFFF) << 16) | (low & 0xFFFF)


def philox(
    counter: tuple[Tensor, ...], key: tuple[Tensor | int, Tensor | int]
) -> tuple[Tensor, ...]:
    """Four words of Philox 4x32-10.

    Args:
        counter: four int64 tensors that broadcast together, each holding a 32-bit word.
        key: two 32-bit words, as integers or int64 tensors.

    Returns:
        Four int64 tensors of 32-bit words, uniform and independent between counters.
    """
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(_ROUNDS):
        high0, low0 = _product(c0, _MULTIPLIERS[0])
        high1, low1 = _product(c2, _MULTIPLIERS[1])
        c0, c1, c2, c3 = high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0
        k0, k1 = (k0 + _WEYL[0]) & _WORD, (k1 + _WEYL[1]) & _WORD
    return c0, c1, c2, c3


def words(ids: Tensor, *, seed: Tensor | int, epoch: Tensor, stream: int, count: int) -> Tensor:
    """``count`` 32-bit words for each id.

    Args:
        ids: int64 ``[B]``, one identity per sample (all 64 bits are used).
        seed, epoch: int64 scalars as tensors, so that a compiled caller is not specialised on them.
        stream: what the draw is for (a view's number, say), up to 2**15; streams never overlap.
        count: words wanted per id.

    Returns:
        int64 ``[B, count]`` with values in ``[0, 2**32)``.

    Raises:
        UsageError: more words are wanted than a stream holds.
    """
    low, high = ids & _WORD, (ids >> 32) & _WORD
    blocks = math.ceil(count / 4)
    if blocks > _BLOCKS:
        raise UsageError(
            f"A view draws at most {4 * _BLOCKS:,} random numbers of a sample, and {count:,} are "
            "asked for: take a smaller --size, or views without noise."
        )
    block = torch.arange(blocks, device=ids.device)
    # One counter per (id, block, stream, epoch); the key is the seed.
    counter = (
        low[:, None],
        high[:, None],
        (epoch & _WORD).expand(1, 1),
        (block + stream * _BLOCKS)[None, :],
    )
    key = (seed & _WORD, (seed >> 32) & _WORD)
    shape = (len(ids), blocks)
    drawn = [word.expand(shape) for word in philox(counter, key)]
    return torch.stack(drawn, dim=-1).flatten(1)[:, :count]


def uniform(ids: Tensor, *, seed: Tensor | int, epoch: Tensor, stream: int, count: int) -> Tensor:
    """``count`` floats in ``[0, 1)`` for each id: float32 ``[B, count]``, 24 random bits each."""
    drawn = words(ids, seed=seed, epoch=epoch, stream=stream, count=count)
    return (drawn >> 8).to(torch.float32) * 2.0**-24


def box_muller(u: Tensor, v: Tensor) -> Tensor:
    """Normal numbers from two uniforms in ``[0, 1)`` (Box and Muller, 1958)."""
    return (-2 * torch.log1p(-u)).sqrt() * torch.cos(2 * torch.pi * v)
