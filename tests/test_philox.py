"""Philox 4x32-10 against Random123's vectors, and the uniforms made from it."""

import numpy as np
import pytest
import torch
from scipy import stats

from ownlatent.errors import UsageError
from ownlatent.philox import philox, uniform, words

SEED, EPOCH = torch.tensor(11), torch.tensor(3)


def integers(counter, key, *, bits, multipliers, weyl):
    """Philox with four words of ``bits`` bits, from the paper (Salmon et al. 2011, section 3.3), in
    Python's integers."""
    mask = (1 << bits) - 1
    (c0, c1, c2, c3), (k0, k1) = counter, key
    for _ in range(10):
        a, b = c0 * multipliers[0], c2 * multipliers[1]
        c0, c1, c2, c3 = (b >> bits) ^ c1 ^ k0, b & mask, (a >> bits) ^ c3 ^ k1, a & mask
        k0, k1 = (k0 + weyl[0]) & mask, (k1 + weyl[1]) & mask
    return [c0, c1, c2, c3]


def integers32(counter, key):
    return integers(
        counter,
        key,
        bits=32,
        multipliers=(0xD2511F53, 0xCD9E8D57),
        weyl=(0x9E3779B9, 0xBB67AE85),
    )


def test_python_philox_is_numpys():
    """NumPy has only the 4x64 form: it proves the Python loop, which then proves ours."""
    generator = np.random.default_rng(0)
    counter, key = generator.integers(1 << 62, size=4), generator.integers(1 << 62, size=2)
    expected = np.random.Philox(counter=counter, key=key).random_raw(4)
    got = integers(
        [int(counter[0]) + 1, *map(int, counter[1:])],  # NumPy counts before it draws
        [int(word) for word in key],
        bits=64,
        multipliers=(0xD2E7470EE14C6C93, 0xCA5A826395121157),
        weyl=(0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B),
    )
    assert got == expected.tolist()


# Random123's file of known answers, lines "philox4x32 10".
VECTORS = [
    (
        "00000000 00000000 00000000 00000000",
        "00000000 00000000",
        "6627e8d5 e169c58d bc57ac4c 9b00dbd8",
    ),
    (
        "ffffffff ffffffff ffffffff ffffffff",
        "ffffffff ffffffff",
        "408f276d 41c83b0e a20bc7c6 6d5451fd",
    ),
    (
        "243f6a88 85a308d3 13198a2e 03707344",
        "a4093822 299f31d0",
        "d16cfe09 94fdcceb 5001e420 24126ea1",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("counter", "key", "expected"), VECTORS, ids=["zeros", "ones", "pi"])
def test_known_answers(counter, key, expected):
    def tensors(text):
        return tuple(torch.tensor([int(word, 16)]) for word in text.split())

    drawn = philox(tensors(counter), tensors(key))
    assert " ".join(f"{word.item():08x}" for word in drawn) == expected


def test_philox_at_random_counters():
    generator = np.random.default_rng(1)
    block = generator.integers(1 << 32, size=(200, 6))
    drawn = philox(tuple(torch.from_numpy(block).T[:4]), tuple(torch.from_numpy(block).T[4:]))
    expected = [integers32(row[:4], row[4:]) for row in block.tolist()]
    assert torch.stack(drawn, dim=1).tolist() == expected


def test_words_use_every_bit_of_id_and_seed():
    """The counter is (id's low half, high half, epoch, stream and block), the key the seed."""
    ids = torch.tensor([0, 1, 1 << 32, -1, -(1 << 63), (1 << 63) - 1, 0x0123456789ABCDEF])
    seed, epoch, stream = 0xDEADBEEF12345678 - (1 << 64), 41, 3
    drawn = words(
        ids, seed=torch.tensor(seed), epoch=torch.tensor(epoch), stream=stream, count=6
    ).tolist()
    for row, identity in zip(drawn, ids.tolist(), strict=True):
        expected = []
        for block in range(2):
            counter = [identity & 0xFFFFFFFF, (identity >> 32) & 0xFFFFFFFF, epoch]
            expected += integers32(
                [*counter, (stream << 16) + block], [seed & 0xFFFFFFFF, (seed >> 32) & 0xFFFFFFFF]
            )
        assert row == expected[:6]


def test_asking_for_more_words_changes_none():
    ids = torch.arange(50)
    few = words(ids, seed=SEED, epoch=EPOCH, stream=1, count=5)
    many = words(ids, seed=SEED, epoch=EPOCH, stream=1, count=32)
    assert few.shape == (50, 5) and torch.equal(few, many[:, :5])


def test_uniform_is_the_words_upper_24_bits_and_never_one():
    ids = torch.arange(100_000)
    drawn = uniform(ids, seed=SEED, epoch=EPOCH, stream=0, count=4)
    upper = words(ids, seed=SEED, epoch=EPOCH, stream=0, count=4) // 256
    assert drawn.dtype == torch.float32
    assert torch.equal(drawn.double() * 2**24, upper.double())
    assert drawn.min() >= 0 and drawn.max() < 1


def grid(ids=None, *, seeds=(11,), epochs=(3,), streams=(0,), count=1):
    ids = torch.arange(400) if ids is None else ids
    return torch.stack(
        [
            uniform(ids, seed=torch.tensor(s), epoch=torch.tensor(e), stream=stream, count=count)
            for s in seeds
            for e in epochs
            for stream in streams
        ]
    )


ALONG = {
    "ids": grid(torch.arange(40_000)),
    "ids, upper half": grid(torch.arange(40_000) << 32),
    "epochs": grid(epochs=range(100)),
    "streams": grid(streams=range(100)),
    "seeds": grid(seeds=range(100)),
    "parameters": grid(count=100),
}


@pytest.mark.parametrize("along", ALONG)
def test_uniform_along(along):
    """Chi-square over 256 bins, on the upper and on the next 8 bits. p < 1e-4 would be damning."""
    drawn = ALONG[along].flatten().double().numpy()
    for part in (drawn, drawn * 256 % 1):
        counts = np.bincount((part * 256).astype(int), minlength=256)
        assert stats.chisquare(counts).pvalue > 1e-4


@pytest.mark.parametrize("along", ["epochs", "streams", "seeds", "parameters"])
def test_independent_between(along):
    """100 columns of 400 ids: no pair of columns is correlated more than chance allows.

    Of 4,950 pairs with standard error 1/20 the largest is expected near 3.7/20; 5/20 is allowed.
    """
    table = ALONG[along].squeeze(-1) if along != "parameters" else ALONG[along][0].T
    correlation = torch.corrcoef(table).fill_diagonal_(0)
    assert correlation.shape == (100, 100)
    assert correlation.abs().max() < 5 / 400**0.5
    assert abs(correlation.mean()) < 1e-3


def test_neighbouring_ids_are_independent():
    """Pairs (u of id i, u of id i + lag) fill the square evenly."""
    drawn = ALONG["ids"].flatten().double().numpy()
    for lag in (1, 2, 256):
        cells = np.floor(drawn[:-lag] * 16) * 16 + np.floor(drawn[lag:] * 16)
        counts = np.bincount(cells.astype(int), minlength=256)
        assert stats.chisquare(counts).pvalue > 1e-4


def test_more_than_a_stream_holds_is_refused() -> None:
    ids = torch.tensor([1])
    last = words(ids, seed=SEED, epoch=EPOCH, stream=1, count=4 << 16)[0, -4:]
    first = words(ids, seed=SEED, epoch=EPOCH, stream=2, count=4)[0]
    assert not torch.equal(last, first)
    with pytest.raises(UsageError, match="smaller --size"):
        words(ids, seed=SEED, epoch=EPOCH, stream=1, count=(4 << 16) + 1)
