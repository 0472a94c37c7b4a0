"""Barlow Twins: Self-Supervised Learning via Redundancy Reduction (Zbontar et al., 2021)."""

from typing import Any, Literal

from torch import Tensor, nn

from ownlatent.methods.crops import mean_over_pairs
from ownlatent.methods.method import About, Method, Outcome
from ownlatent.networks import Tower, gather, mlp
from ownlatent.objectives import barlow_twins


class BarlowTwins(Method):
    """The correlations between the dimensions of two views are to be the identity (equation 1).

    Args:
        backbone: maps ``[B, C, H, W]`` to ``[B, num_features]``.
        hidden: width of the projector's hidden layers.
        dim: length of a projection.
        off_diagonal: weight of the correlations between different dimensions; "mean" is 1/(D-1),
            which weighs the mean of those like the mean of the diagonal (not in the paper).
        predictor: whether one side has a predictor (an ablation, table 6).
        stop_gradient: whether the other side has a stop-gradient (an ablation, table 6).
    """

    about = About(
        title="Barlow Twins",
        paper="Zbontar et al., 2021",
        prevents_collapse="decorrelation",
        batch_norm="each view apart, the loss's too",
        top1="73.2 (1000 epochs; Barlow Twins, table 1)",
    )

    def __init__(
        self,
        backbone: Any,
        *,
        hidden: int = 8192,
        dim: int = 8192,
        off_diagonal: float | Literal["mean"] = 0.0051,
        predictor: bool = False,
        stop_gradient: bool = False,
    ) -> None:
        super().__init__()
        self.online = Tower(backbone, mlp(backbone.num_features, hidden, hidden, dim))
        self.predictor = mlp(dim, hidden, dim) if predictor else nn.Identity()
        self.off_diagonal, self.stop_gradient = off_diagonal, stop_gradient
        self.symmetric = not predictor and not stop_gradient

    def forward(self, views: list[Tensor]) -> Outcome:
        features, local = zip(*(self.online(view) for view in views), strict=True)
        z = [gather(each) for each in local]
        p = z if self.symmetric else [gather(self.predictor(each)) for each in local]

        def loss(i: int, j: int) -> Tensor:
            target = z[j].detach() if self.stop_gradient else z[j]
            return barlow_twins(p[i], target, self.off_diagonal)

        total = mean_over_pairs(loss, views, symmetric=self.symmetric)
        return Outcome(total, features[0].detach(), local[0].detach())
