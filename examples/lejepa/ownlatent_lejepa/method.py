"""LeJEPA: embeddings that predict one another and are Gaussian (Balestriero & LeCun, 2025)."""

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from ownlatent.methods import GLOBAL, About, Method, Outcome, Preset
from ownlatent.networks import Tower, gather, mlp
from ownlatent.objectives.precision import widen
from ownlatent_lejepa.sigreg import sigreg


class LeJEPA(Method):
    """Every view predicts the mean of the global ones, and all embeddings are standard normal:
    (1 - lambda) mean |z_v - mu|^2 + lambda SIGReg (algorithm 2). No target, no stop-gradient.

    Args:
        backbone: maps ``[B, C, H, W]`` to ``[B, num_features]``.
        hidden, dim: width of the head, and length of an embedding.
        sigreg: lambda, from 0 to 1.
        slices: directions that embeddings are looked at from, new ones at every step.
        reach, knots: of :func:`sigreg`'s integral.
    """

    about = About(
        title="LeJEPA",
        paper="Balestriero & LeCun, 2025",
        prevents_collapse="Gaussian embeddings (SIGReg)",
        batch_norm="views of one resolution together, all in the head",
    )
    presets: ClassVar = {
        "small": Preset(
            source="not tuned",
            epochs=40,
            batch_size=64,
            optimizer="adamw",
            base_lr=0.004,
            weight_decay=5e-4,
            warmup_epochs=2,
            views="byol",
            final_lr=1e-3,
            options={"hidden": 512, "dim": 64},
        ),
        "imagenette": Preset(
            source="official MINIMAL.md, there with 4 views",
            epochs=800,
            batch_size=256,
            optimizer="adamw",
            base_lr=2e-3,
            weight_decay=0.05,
            warmup_epochs=1,
            views="byol",
            final_lr=0.5,
            options={"dim": 16, "sigreg": 0.02},
        ),
    }
    bounds: ClassVar = {
        "sigreg": (0, 1),
        "slices": (1, 2**16),
        "reach": (0.1, 100),
        "knots": (2, 1000),
    }

    directions: Tensor  # [dim, slices]

    def __init__(
        self,
        backbone: Any,
        *,
        hidden: int = 2048,
        dim: int = 128,
        sigreg: float = 0.05,
        slices: int = 256,
        reach: float = 3.0,
        knots: int = 17,
    ) -> None:
        super().__init__()
        head = mlp(backbone.num_features, hidden, hidden, dim, bias=True, last_bias=True)
        self.online = Tower(backbone, head)
        self.register_buffer("directions", torch.zeros(dim, slices), persistent=False)
        self.sigreg, self.reach, self.knots = sigreg, reach, knots
        self.before_step(0, 1, 0.0)

    def forward(self, views: list[Tensor]) -> Outcome:
        features, local = self.online.together(views)
        z = [widen(gather(each)) for each in local]
        mean = torch.stack(z[:GLOBAL]).mean(0)
        prediction = torch.stack([F.mse_loss(each, mean) for each in z]).mean()
        gaussian = [sigreg(each, self.directions, self.reach, self.knots) for each in z]
        total = (1 - self.sigreg) * prediction + self.sigreg * torch.stack(gaussian).mean()
        return Outcome(total, features[0].detach(), local[0].detach())

    def before_step(self, step: int, total_steps: int, epoch: float) -> None:
        # On the CPU and from the step alone: the same for every process, device and restart.
        generator = torch.Generator().manual_seed(step)
        drawn = torch.randn(*self.directions.shape, generator=generator, device="cpu")
        self.directions.copy_(F.normalize(drawn, dim=0))
