"""Codes against the official SwAV code's numbers, its loops in float64, and METHODS.md §12.11."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ownlatent.errors import UsageError
from ownlatent.objectives import sinkhorn


def formula(scores: np.ndarray, epsilon: float, iterations: int) -> np.ndarray:
    q = np.exp(scores / epsilon)
    b, k = q.shape
    for _ in range(iterations):
        for j in range(k):
            q[:, j] /= q[:, j].sum() * k
        for i in range(b):
            q[i] /= q[i].sum() * b
    return q * b


def cosines(b: int, k: int, seed: int = 0) -> Tensor:
    """All of [-1, 1], both ends included."""
    rng = np.random.default_rng(seed)
    scores = rng.uniform(-1, 1, size=(b, k))
    scores[0, 0], scores[-1, -1] = 1, -1
    return torch.from_numpy(scores)


def naive(scores: Tensor, epsilon: float, shift: Tensor | float = 0.0) -> Tensor:
    """The three iterations on exponentials, as usually written."""
    q = ((scores - shift) / epsilon).exp()
    for _ in range(3):
        q = q / q.sum(dim=0)
        q = q / q.sum(dim=1, keepdim=True)
    return q


def test_codes_are_the_official_codes(codes_cases: list[tuple[dict[str, Any], Tensor]]) -> None:
    for case, scores in codes_cases:
        for dtype, tolerance in ((torch.float64, 1e-10), (torch.float32, 1e-5)):
            codes = sinkhorn(scores.to(dtype), **case["options"])
            assert codes.norm().item() == pytest.approx(case["norm"], rel=tolerance)
            assert codes.sum(0).tolist() == pytest.approx(case["columns"], rel=tolerance)
            for index, entry in case["entries"]:
                value = codes.flatten()[index].item()
                assert value == pytest.approx(entry, rel=4 * tolerance, abs=1e-12)


@pytest.mark.parametrize(("epsilon", "iterations"), [(0.05, 3), (0.03, 1), (0.2, 7)])
def test_codes_are_the_loops(epsilon: float, iterations: int) -> None:
    scores = cosines(7, 4)
    expected = formula(scores.numpy().copy(), epsilon, iterations)
    codes = sinkhorn(scores, epsilon, iterations)
    torch.testing.assert_close(codes, torch.from_numpy(expected), rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("epsilon", [0.05, 0.03, 0.01, 0.005])
@pytest.mark.parametrize(("b", "k"), [(64, 12), (16, 300)])
def test_rows_sum_to_one_in_float32(epsilon: float, b: int, k: int) -> None:
    codes = sinkhorn(cosines(b, k).float(), epsilon)
    assert codes.isfinite().all() and (codes >= 0).all()
    torch.testing.assert_close(codes.sum(1), torch.ones(b), rtol=0, atol=1e-5)
    precise = sinkhorn(cosines(b, k), epsilon).float()
    torch.testing.assert_close(codes, precise, rtol=0, atol=2e-4)


def test_exponentials_overflow_where_logarithms_do_not() -> None:
    scores = cosines(16, 8).float()
    assert not naive(scores, 0.005).isfinite().all()
    assert naive(scores, 0.05).isfinite().all()
    # with the maximum subtracted, a prototype far from every sample is 0 / 0
    scores[:, 3] = -1
    assert not naive(scores, 0.005, scores.max()).isfinite().all()
    codes = sinkhorn(scores, 0.005)
    assert codes.isfinite().all()
    torch.testing.assert_close(codes.sum(1), torch.ones(16), rtol=0, atol=1e-5)


def test_half_precision_is_widened_first() -> None:
    # exp(1 / 0.05) is 4.9e8, and float16 ends at 65504
    scores = cosines(16, 8).half()
    codes = sinkhorn(scores)
    assert codes.dtype == torch.float32
    assert torch.equal(codes, sinkhorn(scores.float()))


def test_prototypes_share_the_batch_after_many_iterations() -> None:
    codes = sinkhorn(cosines(24, 6), 0.05, 500)
    torch.testing.assert_close(codes.sum(0), torch.full((6,), 4.0).double(), rtol=1e-6, atol=0)
    torch.testing.assert_close(codes.sum(1), torch.ones(24).double())


def test_samples_come_last() -> None:
    # after one iteration rows sum to 1 and columns do not yet
    codes = sinkhorn(cosines(24, 6), 0.05, 1)
    torch.testing.assert_close(codes.sum(1), torch.ones(24).double())
    assert (codes.sum(0) - 4).abs().max() > 0.1


def test_collapsed_scores_give_uniform_codes() -> None:
    torch.testing.assert_close(sinkhorn(torch.full((6, 5), 0.9)), torch.full((6, 5), 0.2))


def test_no_gradient_and_input_unchanged() -> None:
    scores = cosines(6, 4).requires_grad_()
    before = scores.detach().clone()
    assert not sinkhorn(scores).requires_grad
    assert torch.equal(scores.detach(), before)


def test_no_iterations_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="at least 1"):
        sinkhorn(cosines(6, 4), iterations=0)
