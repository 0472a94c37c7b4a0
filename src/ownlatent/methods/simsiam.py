"""Exploring Simple Siamese Representation Learning (Chen & He, 2020): equations 1-4."""

from typing import Any

from torch import Tensor, nn

from ownlatent.methods.crops import GLOBAL, mean_over_pairs
from ownlatent.methods.method import About, Method, Outcome
from ownlatent.networks import EMA, Tower, mlp
from ownlatent.objectives import simsiam, through_both


class SimSiam(Method):
    """BYOL without a moving average: the target is the network itself, behind a stop-gradient.

    Args:
        backbone: maps ``[B, C, H, W]`` to ``[B, num_features]``.
        hidden: width of the projector's hidden layers.
        dim: length of a projection.
        layers: of the projector (3; 2 on CIFAR).
        bottleneck: hidden width of the predictor.
        alternate: steps for which the targets' network stands still: the paper's k-step
            alternation (section 5.1); 1: it is the network itself.
        predictor: whether there is one (table 1b).
        stop_gradient: whether targets have one (table 1a).
    """

    about = About(
        title="SimSiam",
        paper="Chen & He, 2020",
        prevents_collapse="stop-gradient and predictor",
        batch_norm="each view apart",
        top1="68.1, 71.3 (100, 800 epochs; SimSiam, table 4)",
        stop_gradient="target",
    )

    def __init__(
        self,
        backbone: Any,
        *,
        hidden: int = 2048,
        dim: int = 2048,
        layers: int = 3,
        bottleneck: int = 512,
        alternate: int = 1,
        predictor: bool = True,
        stop_gradient: bool = True,
    ) -> None:
        super().__init__()
        widths = [backbone.num_features, *[hidden] * (layers - 1), dim]
        self.online = Tower(backbone, mlp(*widths, last_norm="plain"))
        self.predictor = mlp(dim, bottleneck, dim, last_bias=True) if predictor else nn.Identity()
        if alternate > 1:
            self.target = EMA(self.online)
        self.alternate, self.stop_gradient = alternate, stop_gradient

    def forward(self, views: list[Tensor]) -> Outcome:
        features, z = zip(*(self.online(view) for view in views), strict=True)
        p = [self.predictor(each) for each in z]
        targets = list(z)
        if self.alternate > 1:
            targets = [self.target(view)[1] for view in views[:GLOBAL]]

        def loss(i: int, j: int) -> Tensor:
            if self.stop_gradient:
                return simsiam(p[i], targets[j])
            return through_both(simsiam, p[i], targets[j])

        total = mean_over_pairs(loss, views)
        return Outcome(total, features[0].detach(), z[0].detach())

    def after_step(self, step: int, total_steps: int, kept: Tensor | None = None) -> None:
        if self.alternate > 1 and (step + 1) % self.alternate == 0:
            self.target.update(self.online, 0.0)
