"""The order of an epoch: a permutation that depends on ids, seed and epoch alone."""

import torch
from scipy import stats

from ownlatent.data.order import epoch_order, sorted_rows
from ownlatent.philox import words
from ownlatent.views import RECIPES

IDS = torch.randint(-(2**63), 2**63 - 1, (1000,), generator=torch.Generator().manual_seed(0))


def ordered(ids, seed=1, epoch=2):
    return ids[epoch_order(ids, seed, epoch)].tolist()


def test_every_row_once():
    order = epoch_order(IDS, 1, 2)
    assert order.dtype == torch.int64
    assert order.sort().values.tolist() == list(range(1000))


def test_same_seed_and_epoch_same_order_other_another():
    assert ordered(IDS) == ordered(IDS)
    for seed, epoch in ((1, 3), (2, 2), (2, 1), (1 + (1 << 32), 2)):
        moved = epoch_order(IDS, 1, 2) != epoch_order(IDS, seed, epoch)
        assert moved.float().mean() > 0.98


def test_how_the_rows_were_listed_does_not_matter():
    shuffled = IDS[torch.randperm(1000, generator=torch.Generator().manual_seed(1))]
    assert ordered(shuffled) == ordered(IDS)


def test_a_missing_sample_moves_no_other():
    left = IDS[torch.arange(1000) != 417]
    assert ordered(left) == [each for each in ordered(IDS) if each != IDS[417]]


def test_keys_sorted_in_parts_are_in_order():
    keys = torch.randint(0, 2**62, (1000,), generator=torch.Generator().manual_seed(2))
    keys[:4] = torch.tensor([2**62 - 1, 0, 2**62 // 7, 2**62 // 7 - 1])
    keys[500:] = keys[:500]  # ties
    for parts in (1, 2, 7):
        assert torch.equal(sorted_rows(keys, parts), torch.argsort(keys, stable=True))


def test_one_and_no_sample():
    assert epoch_order(IDS[:1], 1, 2).tolist() == [0]
    assert epoch_order(IDS[:0], 1, 2).tolist() == []


def test_ties_keep_their_rows_order():
    assert epoch_order(torch.full((50,), 7), 1, 2).tolist() == list(range(50))


def test_every_place_is_equally_likely():
    """Over 1,500 epochs of 8 samples: each at each place, and each pair in each order."""
    ids = torch.arange(8)
    place = torch.stack([epoch_order(ids, 5, epoch).argsort() for epoch in range(1500)])
    counts = torch.stack([torch.bincount(place[:, i], minlength=8) for i in range(8)])
    assert min(stats.chisquare(row).pvalue for row in counts.numpy()) > 1e-4
    before = (place[:, :, None] < place[:, None, :]).float().mean(0)
    off = ~torch.eye(8, dtype=torch.bool)
    assert (before[off] - 0.5).abs().max() < 5 * 0.5 / 1500**0.5


def test_the_order_shares_no_word_with_the_views():
    """Views take streams 0, 1, ...: an order from one of them would follow the crops' areas."""
    seed, epoch = torch.tensor(1), torch.tensor(2)
    place = epoch_order(IDS, 1, 2).argsort().double()
    for view in range(max(map(len, RECIPES.values())) + 8):
        drawn = words(IDS, seed=seed, epoch=epoch, stream=view, count=32).double()
        for column in drawn.T:
            assert abs(torch.corrcoef(torch.stack([place, column]))[0, 1]) < 5 / 1000**0.5
