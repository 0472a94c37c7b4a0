"""Schedules against the paper's formulas (BYOL, section 3.3 and appendix G)."""

import math
from itertools import pairwise

import pytest

from ownlatent.schedules import cosine, ema_rate, growing_size, warmup_cosine


@pytest.mark.parametrize(("base", "total"), [(0.996, 312_784), (0.99, 1000), (0.0, 7)])
def test_tau_is_the_papers_formula_of_the_step(base: float, total: int) -> None:
    for k in {0, 1, total // 3, total // 2, total - 1, total}:
        paper = 1 - (1 - base) * (math.cos(math.pi * k / total) + 1) / 2
        assert ema_rate(k, total, base) == pytest.approx(paper, abs=1e-12)
    assert ema_rate(0, total, base) == base
    assert ema_rate(total, total, base) == 1.0


def test_tau_moves_with_every_step_and_never_falls() -> None:
    taus = [ema_rate(k, 200, 0.97) for k in range(201)]
    assert all(a < b for a, b in pairwise(taus))


def test_warm_up_starts_at_zero_and_meets_the_cosine() -> None:
    rates = [warmup_cosine(k, 100, 10, 3.2) for k in range(101)]
    assert rates[0] == 0.0  # METHODS.md §12.20: the first step moves nothing
    assert rates[5] == pytest.approx(1.6)
    assert rates[10] == pytest.approx(3.2)
    assert rates[55] == pytest.approx(1.6)  # half way from step 10 to step 100
    assert rates[100] == pytest.approx(0.0, abs=1e-12)


def test_cosine_goes_either_way_and_stays_at_its_end() -> None:
    assert cosine(25, 100, 2.0, 1.0) == pytest.approx(1 + (1 + math.sqrt(0.5)) / 2)
    assert cosine(150, 100, 0.0, 5.0) == pytest.approx(5.0)


def test_without_warm_up_the_peak_comes_first() -> None:
    assert warmup_cosine(0, 10, 0, 0.5) == 0.5


def test_views_grow_along_a_line_and_have_their_size_for_the_last_quarter() -> None:
    """By hand: 64 pixels over 12 of 16 epochs, by 32; and 8 over 7.5 of 10, by 4."""
    sizes = [growing_size(epoch, 16, 160, 224) for epoch in range(16)]
    assert sizes == [160] * 6 + [192] * 6 + [224] * 4
    assert [growing_size(e, 10, 12, 20) for e in range(10)] == [12] * 4 + [16] * 4 + [20] * 2
    assert {growing_size(e, 10, 20, 20) for e in range(10)} == {20}
    assert growing_size(3, 4, 9, 31) == 31  # which no step of 4 leads to
