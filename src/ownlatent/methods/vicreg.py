"""VICReg: Variance-Invariance-Covariance Regularization (Bardes et al., 2021): equation 6."""

from typing import Any

from torch import Tensor

from ownlatent.methods.crops import mean_over_pairs
from ownlatent.methods.method import About, Method, Outcome
from ownlatent.networks import Tower, gather, mlp
from ownlatent.objectives import vicreg


class VICReg(Method):
    """Views agree, every dimension keeps a variance, and dimensions do not covary.

    Args:
        backbone: maps ``[B, C, H, W]`` to ``[B, num_features]``.
        hidden: width of the projector's hidden layers.
        dim: length of a projection.
        invariance, variance, covariance: weights of the three terms.
    """

    about = About(
        title="VICReg",
        paper="Bardes et al., 2021",
        prevents_collapse="variance hinge",
        batch_norm="each view apart",
        top1="73.2 (1000 epochs; VICReg, table 1)",
    )

    def __init__(
        self,
        backbone: Any,
        *,
        hidden: int = 8192,
        dim: int = 8192,
        invariance: float = 25.0,
        variance: float = 25.0,
        covariance: float = 1.0,
    ) -> None:
        super().__init__()
        self.online = Tower(backbone, mlp(backbone.num_features, hidden, hidden, dim, bias=True))
        self.weights = (invariance, variance, covariance)

    def forward(self, views: list[Tensor]) -> Outcome:
        features, local = zip(*(self.online(view) for view in views), strict=True)
        z = [gather(each) for each in local]
        total = mean_over_pairs(
            lambda i, j: vicreg(z[i], z[j], *self.weights), views, symmetric=True
        )
        return Outcome(total, features[0].detach(), local[0].detach())
