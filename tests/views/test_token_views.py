"""Views of sentences: each operation against its definition, its probabilities, and purity."""

import pytest
import torch
from torch import Tensor

from ownlatent.data.tokens import MASK, OFFSET, PAD
from ownlatent.errors import UsageError
from ownlatent.views.tokens import TOKEN_RECIPES, TokenRecipe, TokenViews

ROWS, LENGTH, WIDTH = 4000, 10, 16
IDS = torch.arange(ROWS) * 7919 + 3
# Every token of a sentence is another one, so that a view says which are left.
TOKENS = torch.zeros(ROWS, WIDTH, dtype=torch.int64)
TOKENS[:, :LENGTH] = torch.arange(LENGTH) + OFFSET


def views(
    tokens: Tensor = TOKENS, ids: Tensor = IDS, epoch: int = 2, seed: int = 5, **recipe: float
) -> list[Tensor]:
    made: list[Tensor] = TokenViews(TokenRecipe(**recipe))(tokens, ids, epoch, seed)
    return made


def within(share: float, expected: float, draws: int) -> bool:
    """Whether a frequency lies within four and a half deviations of a binomial's mean."""
    return abs(share - expected) < 4.5 * (expected * (1 - expected) / draws) ** 0.5


def left(row: Tensor) -> list[int]:
    return [int(each) for each in row if each != PAD]


def test_deletion() -> None:
    p = 0.3
    first, second = views(delete=p)
    for row in first[:200]:
        kept = left(row)
        assert kept == sorted(kept) and kept == row[: len(kept)].tolist()  # in order, compacted
        assert set(kept) <= set(TOKENS[0, :LENGTH].tolist())
    for token in range(OFFSET, OFFSET + LENGTH):  # every place alike
        assert within(float((first == token).any(1).double().mean()), 1 - p, ROWS)
    both = (first == OFFSET).any(1) & (second == OFFSET).any(1)
    assert within(float(both.double().mean()), (1 - p) ** 2, ROWS)  # the views are independent
    neighbours = (first == OFFSET).any(1) & (first == OFFSET + 1).any(1)
    assert within(float(neighbours.double().mean()), (1 - p) ** 2, ROWS)


def test_deletion_leaves_one_token() -> None:
    (view, _) = views(delete=0.999)
    counts = (view != PAD).sum(1)
    assert int(counts.min()) == 1 and float((counts == 1).double().mean()) > 0.95
    alone = view[counts == 1, 0]
    for token in range(OFFSET, OFFSET + LENGTH):  # which one is uniform
        assert within(float((alone == token).double().mean()), 1 / LENGTH, len(alone))


def test_masking() -> None:
    p = 0.3
    first, second = views(mask=p)
    masked = first == MASK
    assert bool((first[~masked] == TOKENS[~masked]).all()) and not bool(masked[:, LENGTH:].any())
    for place in range(LENGTH):
        assert within(float(masked[:, place].double().mean()), p, ROWS)
    both = masked[:, :LENGTH] & (second == MASK)[:, :LENGTH]
    assert within(float(both.double().mean()), p * p, ROWS * LENGTH)
    (nearly, _) = views(mask=0.999)
    assert bool((nearly[:, :LENGTH] != MASK).any(1).all())  # something is left to go by


def test_span() -> None:
    (view, _) = views(span=0.5)
    lengths = (view != PAD).sum(1)
    first = view[:, 0] - OFFSET
    for row in view[:200]:
        kept = left(row)
        assert kept == list(range(kept[0], kept[0] + len(kept)))  # contiguous
        assert kept == row[: len(kept)].tolist()
    # ceil(10 (0.5 + 0.5 u)): each of 6 to 10 takes a fifth of u, and 5 needs u = 0.
    for length in range(6, 11):
        assert within(float((lengths == length).double().mean()), 0.2, ROWS)
    # From each of the 10 - length + 1 starts alike.
    for start in range(5):
        some = first[lengths == 6]
        assert within(float((some == start).double().mean()), 0.2, len(some))


def test_dropout_alone_leaves_the_sentence() -> None:
    assert TOKEN_RECIPES["text-dropout"] == TokenRecipe()
    for view in TokenViews("text-dropout")(TOKENS, IDS, 0, 0):
        assert torch.equal(view, TOKENS)


ALL = {"delete": 0.3, "mask": 0.2, "span": 0.5}


def test_a_view_is_a_function_of_its_sentence() -> None:
    """Neither the order of the batch, nor the others in it, nor the padding change it."""
    some = torch.tensor([5, 3, 77])
    whole = views(**ALL)
    few = views(TOKENS[some], IDS[some], **ALL)
    wide = views(torch.nn.functional.pad(TOKENS[some], (0, 9)), IDS[some], **ALL)
    narrow = views(TOKENS[some, :LENGTH], IDS[some], **ALL)
    for a, b, c, d in zip(whole, few, wide, narrow, strict=True):
        assert torch.equal(a[some], b) and torch.equal(c[:, :WIDTH], b)
        assert torch.equal(d, b[:, :LENGTH])
        assert bool((c[:, WIDTH:] == PAD).all())


def test_seed_epoch_sentence_and_view_change_it() -> None:
    first, second = views(**ALL)
    assert torch.equal(views(**ALL)[0], first)
    for other in (second, views(seed=6, **ALL)[0], views(epoch=3, **ALL)[0]):
        assert float((other != first).any(1).double().mean()) > 0.95
    assert len({tuple(row) for row in first[:50].tolist()}) > 45


def test_operations_draw_apart() -> None:
    """Were masks drawn with the numbers of deletions, what was just spared would not be masked."""
    (view, _) = views(delete=0.5, mask=0.5)
    there = view != PAD
    share = float((view == MASK)[there].double().mean())
    assert 0.45 < share < 0.52  # a half, but for the one that is always spared


def test_one_token_is_left_as_it_is() -> None:
    one = torch.full((50, 1), OFFSET)
    for view in views(one, IDS[:50], **ALL):
        assert torch.equal(view, one)


def test_unknown_views() -> None:
    with pytest.raises(UsageError, match="choose one of text, text-dropout, text-mask, text-crop"):
        TokenViews("rows")
