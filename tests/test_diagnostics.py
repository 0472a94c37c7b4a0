"""Diagnostics against closed forms and independent float64 numpy formulas."""

import math

import numpy as np
import pytest
import torch

from ownlatent import diagnostics
from ownlatent.errors import UsageError


def embeddings(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def with_spectrum(sigma, n, centred=True, seed=0):
    """A float64 matrix of n rows with these singular values; its columns' means are 0 if centred.

    Columns of the left factor are orthogonal to the vector of ones when centred, so that taking
    the mean out leaves the spectrum alone.
    """
    d = len(sigma)
    left = embeddings(n, d + 1, seed=seed).double()
    if centred:
        left[:, 0] = 1
    left = torch.linalg.qr(left)[0][:, 1:]
    right = torch.linalg.qr(embeddings(d, d, seed=seed + 1).double())[0]
    return left * torch.tensor(sigma, dtype=torch.float64) @ right.T


def entropy_rank(spectrum):
    """METHODS 11: p = sigma / sum + 1e-7, exp of the entropy."""
    p = spectrum / spectrum.sum() + 1e-7
    return float(np.exp(-(p * np.log(p)).sum()))


# feature_std


def test_feature_std_of_spread_directions_is_one_over_root_d():
    value = diagnostics.feature_std(embeddings(20000, 64))
    assert float(value) == pytest.approx(1 / math.sqrt(64), rel=0.01)


def test_feature_std_is_zero_for_one_direction_at_any_length():
    x = torch.rand(50, 1).add(0.5) * torch.tensor([[0.6, 0.8]])
    assert float(diagnostics.feature_std(x)) == pytest.approx(0, abs=1e-6)


def test_feature_std_formula():
    x = embeddings(37, 11) * torch.rand(37, 1)
    z = x.double().numpy()
    z = z / np.linalg.norm(z, axis=1, keepdims=True)
    expected = z.std(axis=0, ddof=1).mean()
    assert float(diagnostics.feature_std(x)) == pytest.approx(expected, rel=1e-5)


# rankme, effective_rank

SPECTRA = [np.ones(12), 0.5 ** np.arange(12.0), np.r_[np.ones(5), np.zeros(7)]]


@pytest.mark.parametrize("sigma", SPECTRA)
@pytest.mark.parametrize("n", [13, 200])
def test_ranks_of_a_synthetic_spectrum(sigma, n):
    x = with_spectrum(sigma, n)
    assert float(diagnostics.rankme(x)) == pytest.approx(entropy_rank(sigma), rel=1e-4)
    assert float(diagnostics.effective_rank(x)) == pytest.approx(entropy_rank(sigma), rel=1e-4)


def test_closed_forms():
    equal = with_spectrum(np.ones(16), 100)
    assert float(diagnostics.rankme(equal)) == pytest.approx(16, rel=1e-4)
    # Shares 1/2, 1/4, ... have entropy 2 ln 2 less what the tail lacks: rank 4 in the limit.
    halves = with_spectrum(0.5 ** np.arange(30.0), 100)
    assert float(diagnostics.rankme(halves)) == pytest.approx(4, rel=1e-4)
    one = torch.outer(torch.arange(1.0, 9.0), torch.tensor([3.0, 4.0]))
    assert float(diagnostics.rankme(one)) == pytest.approx(1, abs=1e-4)
    assert float(diagnostics.effective_rank(one)) == pytest.approx(1, abs=1e-4)


def test_fewer_samples_than_dimensions():
    x = embeddings(20, 300)
    sigma = np.linalg.svd(x.double().numpy(), compute_uv=False)
    assert float(diagnostics.rankme(x)) == pytest.approx(entropy_rank(sigma), rel=1e-5)
    centred = x.double().numpy() - x.double().numpy().mean(axis=0)
    sigma = np.linalg.svd(centred, compute_uv=False)
    assert float(diagnostics.effective_rank(x)) == pytest.approx(entropy_rank(sigma), rel=1e-5)


def test_only_the_effective_rank_centres():
    x = embeddings(500, 10) + 1000
    assert float(diagnostics.rankme(x)) < 1.1
    assert float(diagnostics.effective_rank(x)) > 9.5


def test_a_collapsed_batch_has_rank_one_not_the_rank_of_its_rounding():
    same = embeddings(1, 64).expand(256, 64)
    ulp = torch.finfo(torch.float32).eps
    rounded = same * (1 + ulp * embeddings(256, 64, seed=1).clamp(-1, 1))
    assert rounded.unique(dim=0).shape[0] > 200
    for x in (torch.zeros(8, 4), same, rounded, same.bfloat16()):
        assert float(diagnostics.effective_rank(x)) == pytest.approx(1, abs=2e-3)
    # Differences a hundred times larger are signal.
    assert float(diagnostics.effective_rank(same * (1 + 1e-5 * embeddings(256, 64, seed=1)))) > 20


def test_effective_rank_of_diverged_embeddings_is_nan_not_an_error():
    x = embeddings(8, 4)
    x[2, 1] = float("nan")
    assert math.isnan(diagnostics.effective_rank(x))


# alignment, uniformity


def test_alignment_closed_forms():
    a = embeddings(30, 8)
    assert float(diagnostics.alignment(a, 5 * a)) == pytest.approx(0, abs=1e-10)
    assert float(diagnostics.alignment(a, -a)) == pytest.approx(4)
    axes = torch.eye(8)
    assert float(diagnostics.alignment(axes, axes.roll(1, 0))) == pytest.approx(2)
    assert float(diagnostics.alignment(axes, axes.roll(1, 0), alpha=1)) == pytest.approx(2**0.5)


def test_uniformity_closed_forms():
    assert float(diagnostics.uniformity(torch.ones(5, 3))) == pytest.approx(0, abs=1e-5)
    assert float(diagnostics.uniformity(torch.eye(9))) == pytest.approx(-4)  # ||x - y||^2 = 2
    opposite = torch.tensor([[1.0, 0.0], [-2.0, 0.0]])
    assert float(diagnostics.uniformity(opposite)) == pytest.approx(-8, rel=1e-5)


def test_uniformity_on_the_sphere():
    """On S^2 the squared distance is uniform on [0, 4] (Archimedes): log((1 - e^-8) / 8)."""
    value = diagnostics.uniformity(embeddings(4000, 3))
    assert float(value) == pytest.approx(math.log((1 - math.exp(-8)) / 8), abs=0.01)


@pytest.mark.parametrize("n", [3, 1500])  # one block of rows, two
def test_uniformity_formula(n):
    x = embeddings(n, 6)
    z = x.double().numpy()
    z = z / np.linalg.norm(z, axis=1, keepdims=True)
    i, j = np.triu_indices(n, 1)
    for t in (2.0, 0.5):
        expected = np.log(np.exp(-t * ((z[i] - z[j]) ** 2).sum(axis=1)).mean())
        assert float(diagnostics.uniformity(x, t)) == pytest.approx(expected, rel=1e-5)


# lidar


@pytest.mark.parametrize("shape", [(60, 5, 12), (8, 3, 20)])
def test_lidar_formula(shape):
    """The definition, with an explicit inverse square root and loops over images."""
    n, q, d = shape
    x = embeddings(n, 1, d) * torch.linspace(1, 3, d) + 0.3 * embeddings(n, q, d, seed=1)
    z = x.double().numpy()
    between = np.cov(z.mean(axis=1).T, ddof=1)
    within = sum((image - image.mean(0)).T @ (image - image.mean(0)) for image in z)
    values, vectors = np.linalg.eigh(within / (n * (q - 1)) + 1e-4 * np.eye(d))
    root = vectors @ np.diag(values**-0.5) @ vectors.T
    spectrum = np.linalg.eigvalsh(root @ between @ root).clip(0)
    assert float(diagnostics.lidar(x)) == pytest.approx(entropy_rank(spectrum), rel=1e-4)
    assert float(diagnostics.lidar(x)) <= min(d, n - 1) * 1.001


def test_lidar_closed_form():
    """Means on +-axes and no spread within images: W is the ridge, B isotropic, the rank is D."""
    means = torch.cat([torch.eye(6), -torch.eye(6)])
    assert float(diagnostics.lidar(means[:, None].expand(12, 4, 6))) == pytest.approx(6, rel=1e-4)


def test_lidar_discounts_what_augmentations_move():
    """A direction that varies within images as much as between them counts for little."""
    x = embeddings(300, 1, 8) + 0.01 * embeddings(300, 10, 8, seed=1)
    noisy = x.clone()
    noisy[..., :4] += 10 * embeddings(300, 10, 4, seed=2)
    assert float(diagnostics.lidar(x)) > 7.5
    assert float(diagnostics.lidar(noisy)) == pytest.approx(4, abs=0.3)


# all


def test_no_gradient_and_scalars():
    a = embeddings(10, 4).requires_grad_()
    for value in (
        diagnostics.feature_std(a),
        diagnostics.rankme(a),
        diagnostics.effective_rank(a),
        diagnostics.alignment(a, a),
        diagnostics.uniformity(a),
        diagnostics.lidar(embeddings(5, 3, 4).requires_grad_()),
    ):
        assert value.ndim == 0 and not value.requires_grad


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        (diagnostics.feature_std, (torch.zeros(1, 4),)),
        (diagnostics.rankme, (torch.zeros(4),)),
        (diagnostics.effective_rank, (torch.zeros(1, 4),)),
        (diagnostics.alignment, (torch.zeros(2, 4), torch.zeros(3, 4))),
        (diagnostics.uniformity, (torch.zeros(1, 4),)),
        (diagnostics.uniformity, (torch.zeros(3, 4, dtype=torch.int64),)),
        (diagnostics.lidar, (torch.zeros(4, 4),)),
        (diagnostics.lidar, (torch.zeros(4, 1, 4),)),
        (diagnostics.lidar, (torch.zeros(4, 2, 4), 0.0)),
    ],
)
def test_wrong_shapes_are_refused(function, arguments):
    with pytest.raises(UsageError):
        function(*arguments)
