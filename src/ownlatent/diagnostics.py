"""What embeddings say about themselves, without labels.

Each function takes float tensors, computes without gradient and returns a scalar tensor.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from ownlatent.errors import UsageError

# Added to each share of the spectrum: RankMe's and LiDAR's epsilon.
_EPSILON = 1e-7


@torch.no_grad()
def feature_std(embeddings: Tensor) -> Tensor:
    """Mean over channels of the batch standard deviation of ``z / ||z||`` (SimSiam, section 4.1).

    Args:
        embeddings: ``[N, D]``, N at least 2.

    Returns:
        Scalar: about ``1 / sqrt(D)`` when directions are spread evenly, 0 when all are one.

    Raises:
        UsageError: the shape is wrong.
    """
    _check(embeddings, 2, "embeddings", (2, 1))
    return F.normalize(embeddings.float(), dim=1).std(dim=0).mean()


@torch.no_grad()
def rankme(embeddings: Tensor) -> Tensor:
    """RankMe (Garrido et al., 2023, equation 1): the exponential of the spectrum's entropy.

    ``p_k = sigma_k / sum(sigma) + 1e-7`` over the singular values of the embeddings, which are
    not centred.

    Args:
        embeddings: ``[N, D]``; the paper takes N = 25,600.

    Returns:
        Scalar between 1 and ``min(N, D)``.

    Raises:
        UsageError: the shape is wrong.
    """
    _check(embeddings, 2, "embeddings", (1, 1))
    return _entropy_rank(_singular_values(embeddings.double()))


@torch.no_grad()
def effective_rank(embeddings: Tensor) -> Tensor:
    """RankMe of centred embeddings (Roy and Vetterli, 2007): how many directions carry variation.

    A batch of nearly parallel embeddings has a RankMe near 1 whatever its differences do; centring
    looks at the differences. Those that are no larger than the rounding of the embeddings' dtype
    count as none, so that a collapsed batch has rank 1 and not the full rank of its noise.

    Args:
        embeddings: ``[N, D]``. One eigenvalue problem of size ``min(N, D)``.

    Returns:
        Scalar between 1 and ``min(N - 1, D)``; NaN where embeddings are not finite.

    Raises:
        UsageError: the shape is wrong.
    """
    _check(embeddings, 2, "embeddings", (2, 1))
    n, d = embeddings.shape
    x = embeddings.double()
    sigma = _singular_values(x - x.mean(dim=0))
    # Independent errors of size e have singular values up to about e * (sqrt(n) + sqrt(d)).
    rounding = torch.finfo(embeddings.dtype).eps * x.square().mean(dim=0).max().sqrt()
    resolution = rounding * (n**0.5 + d**0.5)
    return _entropy_rank(torch.where(sigma < resolution, 0, sigma))


@torch.no_grad()
def spectrum(embeddings: Tensor) -> Tensor:
    """Singular values of centred embeddings, over the largest: how evenly they fill their space.

    Args:
        embeddings: ``[N, D]``, N at least 2.

    Returns:
        float64 ``[min(N, D)]``, descending from 1; all 0 where the embeddings are one point, NaN
        where they are not finite.

    Raises:
        UsageError: the shape is wrong.
    """
    _check(embeddings, 2, "embeddings", (2, 1))
    x = embeddings.double()
    sigma = _singular_values(x - x.mean(dim=0)).flip(0)
    return sigma / sigma[0].clamp_min(torch.finfo(sigma.dtype).tiny)


@torch.no_grad()
def alignment(a: Tensor, b: Tensor, alpha: float = 2.0) -> Tensor:
    """Mean of ``||a - b||^alpha`` over positive pairs, normalised (Wang and Isola, 2020, eq. 2).

    Args:
        a, b: ``[N, D]``; row i of each is one pair.
        alpha: exponent.

    Returns:
        Scalar: 0 for equal directions, 4 at most for ``alpha`` 2.

    Raises:
        UsageError: the shapes are wrong.
    """
    _check(a, 2, "a", (1, 1))
    if a.shape != b.shape:
        raise UsageError(f"a and b must have one shape; got {list(a.shape)} and {list(b.shape)}.")
    distance = F.normalize(a.float(), dim=1) - F.normalize(b.float(), dim=1)
    lengths: Tensor = torch.linalg.vector_norm(distance, dim=1)
    return lengths.pow(alpha).mean()


@torch.no_grad()
def uniformity(a: Tensor, t: float = 2.0) -> Tensor:
    """Log of the mean of ``exp(-t ||x - y||^2)`` over pairs, normalised (Wang and Isola, eq. 3).

    Args:
        a: ``[N, D]``, N at least 2; every pair of different rows counts.
        t: sharpness of the kernel.

    Returns:
        Scalar: 0 when all directions are one, about ``-2 t`` when spread evenly in many dimensions.

    Raises:
        UsageError: the shape is wrong.
    """
    _check(a, 2, "a", (2, 1))
    x = F.normalize(a.float(), dim=1)
    n, parts = len(x), []
    for start in range(0, n, 1024):  # bounds memory
        rows = x[start : start + 1024]
        kernel = 2 * t * (rows @ x.T - 1)
        kernel[:, start : start + len(rows)].fill_diagonal_(-torch.inf)
        parts.append(kernel.flatten().logsumexp(dim=0))
    pairs = torch.tensor(float(n) * (n - 1), device=x.device)
    return torch.stack(parts).logsumexp(dim=0) - pairs.log()


@torch.no_grad()
def lidar(embeddings: Tensor, delta: float = 1e-4) -> Tensor:
    """LiDAR (Thilak et al., 2024, section 4): the entropy rank of what tells images apart.

    The spectrum is that of ``W^-1/2 B W^-1/2``, with ``B`` the covariance of the images' means
    (over n - 1) and ``W`` the pooled covariance within images (over n (q - 1)) plus ``delta I``.

    Args:
        embeddings: ``[n, q, D]``: q augmentations of each of n images; n and q at least 2. The
            paper takes n = 1,000 and q = 50, or 10 for a cheap estimate.
        delta: ridge added to the covariance within images.

    Returns:
        Scalar between 1 and ``min(n - 1, D)``.

    Raises:
        UsageError: the shape is wrong or delta is not positive.
    """
    _check(embeddings, 3, "embeddings", (2, 2, 1))
    if not delta > 0:
        raise UsageError(f"delta must be above 0, such as 1e-4; got {delta}.")
    n, q, d = embeddings.shape
    x = embeddings.double()
    means = x.mean(dim=1)
    between = means - means.mean(dim=0)
    within = (x - means[:, None]).flatten(0, 1)
    ridge = delta * torch.eye(d, dtype=x.dtype, device=x.device)
    root = torch.linalg.cholesky(within.T @ within / (n * (q - 1)) + ridge)
    # L^-1 B L^-T has the eigenvalues of W^-1/2 B W^-1/2: both are similar to W^-1 B.
    whitened = torch.linalg.solve_triangular(root, between.T, upper=False)
    return _entropy_rank(_singular_values(whitened).square() / (n - 1))


def _singular_values(x: Tensor) -> Tensor:
    """Singular values of a float64 matrix, by its smaller Gram matrix: ascending, or all NaN."""
    gram = x.T @ x if len(x) >= x.shape[1] else x @ x.T
    if not bool(gram.isfinite().all()):  # the solver would raise, in the middle of a training run
        return torch.full_like(gram[0], torch.nan)
    values: Tensor = torch.linalg.eigvalsh(gram)
    return values.clamp_min(0).sqrt()


def _entropy_rank(spectrum: Tensor) -> Tensor:
    """``exp(-sum p log p)`` with ``p`` the spectrum's shares plus epsilon."""
    total = spectrum.sum().clamp_min(torch.finfo(spectrum.dtype).tiny)
    p = spectrum / total + _EPSILON
    return (-(p * p.log()).sum()).exp()


def _check(tensor: Tensor, ndim: int, name: str, least: tuple[int, ...]) -> None:
    """Refuse what has not ``ndim`` dimensions, or fewer entries along one than ``least``."""
    if tensor.ndim != ndim or any(
        have < need for have, need in zip(tensor.shape, least, strict=True)
    ):
        letters = {2: "[N, D]", 3: "[n, q, D]"}[ndim]
        wanted = f"{letters} of at least {list(least)}"
        raise UsageError(f"{name} must have shape {wanted}; got {list(tensor.shape)}.")
    if not tensor.is_floating_point():
        raise UsageError(f"{name} must be floating point; convert it with .float().")
