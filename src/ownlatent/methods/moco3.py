"""MoCo v3: Training Self-Supervised Vision Transformers (Chen et al., 2021), algorithm 1."""

import math
from typing import Any

from torch import Tensor, nn

from ownlatent.methods.crops import GLOBAL, mean_over_pairs
from ownlatent.methods.method import About, Method, Outcome
from ownlatent.networks import EMA, Tower, gather, mlp
from ownlatent.objectives import info_nce, simsiam
from ownlatent.schedules import ema_rate


class MoCo3(Method):
    """BYOL's networks with a contrast: the prediction finds its target among those of the batch.

    Args:
        backbone: maps ``[B, C, H, W]`` to ``[B, num_features]``.
        hidden: width of both heads.
        dim: length of a projection.
        layers: of the projector: 2 on a ResNet, 3 on a ViT.
        predictor_norm: batch norm on the predictor's output, for a ViT.
        tau: the target's decay at step 0; it rises to 1 by the last step.
        temperature: of the softmax: 1.0 on a ResNet, 0.2 on a ViT.
        negatives: whether other images repel (an ablation).
    """

    about = About(
        title="MoCo v3",
        paper="Chen et al., 2021",
        prevents_collapse="negatives",
        batch_norm="each view apart",
        top1="68.9, 72.8, 74.6 (100, 300, 1000 epochs; its README)",
        stop_gradient="keys",
        negatives="the batch's",
    )

    def __init__(
        self,
        backbone: Any,
        *,
        hidden: int = 4096,
        dim: int = 256,
        layers: int = 2,
        predictor_norm: bool = False,
        tau: float = 0.99,
        temperature: float = 1.0,
        negatives: bool = True,
    ) -> None:
        super().__init__()
        widths = [backbone.num_features, *[hidden] * (layers - 1), dim]
        self.online = Tower(backbone, mlp(*widths, last_norm="plain"))
        self.predictor = mlp(dim, hidden, dim, last_norm="plain" if predictor_norm else None)
        self.target = EMA(self.online)
        self.tau, self.temperature, self.negatives = tau, temperature, negatives

    def forward(self, views: list[Tensor]) -> Outcome:
        features, z = zip(*(self.online(view) for view in views), strict=True)
        queries = [gather(self.predictor(each)) for each in z]
        keys = [gather(self.target(view)[1]) for view in views[:GLOBAL]]

        def loss(i: int, j: int) -> Tensor:
            if not self.negatives:
                return simsiam(queries[i], keys[j]) / self.temperature
            return info_nce(queries[i], keys[j], self.temperature)

        # The official code's scale: gradients of like size whatever the temperature.
        total = 2 * 2 * self.temperature * mean_over_pairs(loss, views)
        return Outcome(total, features[0].detach(), z[0].detach())

    def after_step(self, step: int, total_steps: int, kept: Tensor | None = None) -> None:
        self.target.update(self.online, ema_rate(step, total_steps, self.tau))

    def scheduled(self, step: int, total_steps: int, epoch: float) -> dict[str, float]:
        return {"tau": ema_rate(step, total_steps, self.tau)}

    def chance_loss(self, batch_size: int) -> float | None:
        return 4 * self.temperature * math.log(batch_size) if self.negatives else None

    @property
    def encoders(self) -> dict[str, nn.Module]:
        target: Any = self.target.network
        return {"online": self.online.backbone, "target": target.backbone}
