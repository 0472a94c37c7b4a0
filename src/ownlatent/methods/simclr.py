"""A Simple Framework for Contrastive Learning (Chen et al., 2020): equation 1; and version 2."""

import math
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from ownlatent.methods.crops import GLOBAL, mean_over_pairs
from ownlatent.methods.method import About, Method, Outcome
from ownlatent.methods.queue import Queue
from ownlatent.networks import EMA, Middle, Tower, gather, mlp, normal
from ownlatent.objectives import info_nce, nt_xent, simsiam, through_both
from ownlatent.objectives.precision import widen


class SimCLR(Method):
    """Two views of an image attract; all other images of the batch repel.

    Args:
        backbone: maps ``[B, C, H, W]`` to ``[B, num_features]``.
        hidden: width of the head; 0: the backbone's, as in the paper.
        dim: length of a projection.
        layers: of the head: 2, or version 2's 3, from whose first layer one fine-tunes.
        temperature: of the softmax.
        memory: negatives that a queue holds, made by a moving average of the network (version 2's
            option); 0: negatives from the batch alone.
        tau: the moving average's decay, constant.
        negatives: whether other images repel (an ablation).
    """

    about = About(
        title="SimCLR",
        paper="Chen et al., 2020",
        prevents_collapse="negatives",
        batch_norm="views together",
        top1="69.3 (1000 epochs; SimCLR, table 6); 71.7 (v2, its README)",
        negatives="the batch's",
    )

    def __init__(
        self,
        backbone: Any,
        *,
        hidden: int = 0,
        dim: int = 128,
        layers: int = 2,
        temperature: float = 0.1,
        memory: int = 0,
        tau: float = 0.999,
        negatives: bool = True,
    ) -> None:
        super().__init__()
        inputs = backbone.num_features
        widths = [inputs, *[hidden or inputs] * (layers - 1), dim]
        self.online = Tower(backbone, mlp(*widths, last_norm="scale", init=normal(0.01)))
        if memory:
            self.target, self.queue = EMA(self.online), Queue(memory, dim)
        self.layers, self.temperature, self.tau = layers, temperature, tau
        self.memory, self.negatives = memory, negatives

    def forward(self, views: list[Tensor]) -> Outcome:
        features, local = self.online.together(views)
        z = [gather(each) for each in local]
        kept, keys = None, z  # without a queue there are no keys, and the loss asks for none
        if self.memory:
            keys = [gather(key) for key in self.target.together(views[:GLOBAL])[1]]
            kept = F.normalize(widen(keys[0]), dim=1)

        def loss(i: int, j: int) -> Tensor:
            if not self.negatives:
                return through_both(simsiam, z[i], z[j]) / self.temperature
            if self.memory:
                return info_nce(z[i], keys[j], self.temperature, self.queue.vectors)
            return nt_xent(z[i], z[j], self.temperature)

        total = mean_over_pairs(loss, views, symmetric=not self.memory)
        return Outcome(total, features[0].detach(), local[0].detach(), kept)

    def after_step(self, step: int, total_steps: int, kept: Tensor | None = None) -> None:
        if self.memory and kept is not None:
            self.target.update(self.online, self.tau)
            self.queue.add(kept)

    def chance_loss(self, batch_size: int) -> float | None:
        if not self.negatives:
            return None
        return math.log(self.memory + 1 if self.memory else 2 * batch_size - 1)

    @property
    def encoders(self) -> dict[str, nn.Module]:
        if self.layers < 3:
            return super().encoders
        return super().encoders | {
            "middle": Middle(self.online.backbone, self.online.projector[:3])
        }
