"""The stop-gradient taken away: the gradient of the plain formula, in both arguments."""

import pytest
import torch

from ownlatent.objectives import byol, simsiam, through_both


@pytest.mark.parametrize("objective", [byol, simsiam])
def test_gradient_reaches_both(objective) -> None:  # type: ignore[no-untyped-def]
    torch.manual_seed(0)
    a, b = (torch.randn(6, 5, dtype=torch.float64, requires_grad=True) for _ in range(2))
    loss = through_both(objective, a, b)
    assert loss.item() == pytest.approx(objective(a, b).item(), rel=1e-12)
    cosine = torch.cosine_similarity(a, b).mean()
    plain = 2 - 2 * cosine if objective is byol else -cosine
    for got, wanted in zip(
        torch.autograd.grad(loss, (a, b)), torch.autograd.grad(plain, (a, b)), strict=True
    ):
        torch.testing.assert_close(got, wanted, rtol=1e-10, atol=1e-12)
