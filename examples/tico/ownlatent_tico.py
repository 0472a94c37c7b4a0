"""TiCo: Transformation Invariance and Covariance Contrast (Zhu et al., 2022)."""

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from ownlatent.methods import GLOBAL, About, Method, Outcome, Preset, mean_over_pairs
from ownlatent.networks import EMA, Tower, gather, mlp
from ownlatent.objectives.precision import product, widen
from ownlatent.schedules import ema_rate


class TiCo(Method):
    """Views agree, and embeddings avoid the directions that earlier ones went: with the second
    moment C of unit embeddings, 1 - z_i . z'_j + rho * z_i C z_i.

    Args:
        backbone: maps ``[B, C, H, W]`` to ``[B, num_features]``.
        hidden, dim: width of the head, and length of an embedding.
        rho: weight of the second term.
        beta: decay of C.
        tau: the target's decay at step 0; it rises to 1 by the last step.
    """

    about = About(
        title="TiCo",
        paper="Zhu et al., 2022",
        prevents_collapse="covariance contrast",
        batch_norm="each view apart",
        stop_gradient="target",
    )
    presets: ClassVar = {
        "small": Preset(
            source="not tuned",
            epochs=40,
            batch_size=64,
            optimizer="sgd",
            base_lr=0.2,
            weight_decay=5e-4,
            warmup_epochs=2,
            views="byol",
            options={"hidden": 1024, "tau": 0.97},
        )
    }
    bounds: ClassVar = {"rho": (0, 1000), "beta": (0, 1)}

    moment: Tensor  # C, [dim, dim]

    def __init__(
        self,
        backbone: Any,
        *,
        hidden: int = 4096,
        dim: int = 256,
        rho: float = 20.0,
        beta: float = 0.9,
        tau: float = 0.99,
    ) -> None:
        super().__init__()
        self.online = Tower(backbone, mlp(backbone.num_features, hidden, dim))
        self.target = EMA(self.online)
        self.register_buffer("moment", torch.zeros(dim, dim))
        self.rho, self.beta, self.tau = rho, beta, tau

    def forward(self, views: list[Tensor]) -> Outcome:
        features, local = zip(*(self.online(view) for view in views), strict=True)
        z = [F.normalize(widen(gather(each)), dim=1) for each in local]
        targets = [F.normalize(widen(gather(self.target(v)[1])), dim=1) for v in views[:GLOBAL]]
        moments = [product(each.T, each) / len(each) for each in z]

        def loss(i: int, j: int) -> Tensor:
            moment = self.moment.lerp(moments[i], 1 - self.beta)
            contrast = (product(z[i], moment) * z[i]).sum(1)
            return (1 - (z[i] * targets[j]).sum(1) + self.rho * contrast).mean()

        total = mean_over_pairs(loss, views)
        kept = torch.stack(moments[:GLOBAL]).detach()
        return Outcome(total, features[0].detach(), local[0].detach(), kept)

    def after_step(self, step: int, total_steps: int, kept: Tensor | None = None) -> None:
        self.target.update(self.online, ema_rate(step, total_steps, self.tau))
        if kept is not None:
            self.moment.lerp_(kept.mean(0), 1 - self.beta)

    def scheduled(self, step: int, total_steps: int, epoch: float) -> dict[str, float]:
        return {"tau": ema_rate(step, total_steps, self.tau)}
