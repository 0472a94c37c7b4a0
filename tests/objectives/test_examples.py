"""The losses of the packages in examples/ against their official code's numbers and equations."""

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from ownlatent_adco.adversaries import Adversaries, contrast
from ownlatent_contrastive_clustering import shortfall
from ownlatent_lejepa.sigreg import sigreg
from torch import Tensor

from ownlatent.objectives import nt_xent

# --- SIGReg --------------------


def test_sigreg_is_the_official_codes(agrees: Callable) -> None:
    def loss(z: Tensor, slices: Tensor, reach: float, knots: int) -> Tensor:
        return sigreg(z, F.normalize(slices.detach(), dim=0), reach, knots)

    agrees("sigreg", loss)


def test_sigreg_is_the_papers_integral() -> None:
    """Algorithm 1 in loops: 17 points from -5 to 5, complex exponentials, the trapezoid rule."""
    rng = np.random.default_rng(5)
    z, slices = rng.normal(size=(7, 4)), rng.normal(size=(4, 3))
    slices /= np.linalg.norm(slices, axis=0)
    t, total = np.linspace(-5, 5, 17), 0.0
    for a in slices.T:
        integrand = []
        for s in t:
            empirical = sum(np.exp(1j * s * (row @ a)) for row in z) / len(z)
            integrand.append(abs(empirical - math.exp(-s * s / 2)) ** 2 * math.exp(-s * s / 2))
        steps = [(u + v) / 2 * (10 / 16) for u, v in pairwise(integrand)]
        total += len(z) * sum(steps) / 3
    found = sigreg(torch.from_numpy(z), torch.from_numpy(slices), reach=5.0, knots=9)
    assert found.item() == pytest.approx(total, rel=1e-12)


def test_sigreg_tells_a_normal_sample_from_others() -> None:
    """The statistic stays of one size for a normal sample, and grows with N for any other."""
    torch.manual_seed(0)
    directions = F.normalize(torch.randn(8, 64), dim=0)
    normal = [sigreg(torch.randn(n, 8), directions).item() for n in (500, 5000)]
    narrow = [sigreg(torch.randn(n, 8) / 2, directions).item() for n in (500, 5000)]
    assert max(normal) < 2 < narrow[0] and narrow[1] / narrow[0] == pytest.approx(10, rel=0.2)
    assert sigreg(torch.zeros(500, 8), directions) > 50


# --- Contrastive Clustering --------------------


def test_contrastive_clustering_is_the_official_codes(agrees: Callable) -> None:
    def loss(
        z0: Tensor,
        z1: Tensor,
        c0: Tensor,
        c1: Tensor,
        temperature: float,
        cluster_temperature: float,
    ) -> Tensor:
        logc = [c.log_softmax(1) for c in (c0, c1)]
        clusters = nt_xent(logc[0].exp().T, logc[1].exp().T, cluster_temperature)
        return nt_xent(z0, z1, temperature) + clusters + shortfall(logc[0]) + shortfall(logc[1])

    agrees("contrastive_clustering", loss)


def test_one_cluster_for_all_costs_log_k_and_keeps_a_finite_gradient() -> None:
    logits = torch.zeros(6, 5)
    logits[:, 2] = 1000.0  # the others' probabilities are 0
    logits.requires_grad_()
    cost = shortfall(logits.log_softmax(1))
    cost.backward()
    assert cost.item() == pytest.approx(math.log(5), rel=1e-6)
    assert logits.grad is not None and logits.grad.isfinite().all()
    assert shortfall(torch.zeros(6, 5).log_softmax(1)).item() == pytest.approx(0.0, abs=1e-6)


# --- AdCo --------------------


def test_adco_is_the_official_codes(golden: Callable) -> None:
    """Two steps of both players: loss, gradients of the queries, adversaries after the ascent."""
    for case, x in golden("adco"):
        options = case["options"]
        temperatures = options["temperature"], options["memory_temperature"]
        bank = Adversaries(*case["shapes"]["adversaries"]).double()
        bank.vectors.copy_(x["adversaries"])
        for step, expected in enumerate(case["steps"]):
            pairs = [(f"q0_{step}", f"k1_{step}")]
            if options["symmetric"]:
                pairs.append((f"q1_{step}", f"k0_{step}"))
            queries = {q: x[q].requires_grad_() for q, _ in pairs}
            found = [contrast(queries[q], x[k], bank.vectors, *temperatures) for q, k in pairs]
            loss = sum(value for value, _ in found) / len(found)
            loss.backward()  # type: ignore[union-attr]
            assert loss.item() == pytest.approx(expected["loss"], rel=1e-10)  # type: ignore[union-attr]
            for name, gradient in expected["gradients"].items():
                mine = queries[f"{name}_{step}"].grad
                assert mine is not None
                assert mine.norm().item() == pytest.approx(gradient["norm"], rel=1e-9)
                assert mine.flatten()[0].item() == pytest.approx(gradient["first"], rel=1e-8)
            mean = sum(ascent for _, ascent in found) / len(found)
            bank.ascend(mean, options["memory_lr"], options["memory_decay"])  # type: ignore[arg-type]
            assert bank.vectors.norm().item() == pytest.approx(expected["norm"], rel=1e-9)
            row = bank.vectors[len(bank.vectors) // 2].tolist()
            assert row == pytest.approx(expected["row"], rel=1e-8)


def test_the_adversaries_gradient_is_that_of_their_own_loss() -> None:
    torch.manual_seed(0)
    q, k, w = (torch.randn(n, 6, dtype=torch.float64) for n in (5, 5, 9))
    gradient = contrast(q, k, w, 0.12, 0.05)[1]
    w.requires_grad_()
    contrast(q, k, w, 0.05, 0.05)[0].backward()
    torch.testing.assert_close(gradient, w.grad)


def test_an_ascent_makes_it_harder() -> None:
    torch.manual_seed(0)
    q, k = torch.randn(2, 8, 6, dtype=torch.float64).unbind()
    bank = Adversaries(20, 6).double()
    before, gradient = contrast(q, k, bank.vectors, 0.1, 0.1)
    bank.ascend(gradient, lr=0.1, decay=0.0)
    assert contrast(q, k, bank.vectors, 0.1, 0.1)[0] > before
