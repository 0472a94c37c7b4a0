"""Momentum Contrast (He et al., 2019): equations 1 and 2; and version 2 (Chen et al., 2020)."""

import math
from typing import Any, Literal

import torch.nn.functional as F
from torch import Tensor

from ownlatent.methods.crops import mean_over_pairs
from ownlatent.methods.method import About, Method, Outcome
from ownlatent.methods.queue import Queue
from ownlatent.networks import EMA, Tower, gather, mlp, shuffled
from ownlatent.objectives import info_nce, simsiam
from ownlatent.objectives.precision import widen


class MoCo(Method):
    """A query finds its key among those of earlier batches, made by a moving average.

    Keys are made from shuffled images: batch norm over a few of them (``bn_group``) then tells
    nothing about which key belongs to which query.

    Args:
        backbone: maps ``[B, C, H, W]`` to ``[B, num_features]``.
        head: "linear" (version 1) or "mlp" (version 2, without batch norm).
        hidden: width of the mlp; 0: the backbone's, as in the paper.
        dim: length of a query or key.
        queue: keys kept as negatives.
        tau: the moving average's decay, constant.
        temperature: of the softmax (0.07 in version 1).
        symmetric: whether each view is query and key in turn.
        negatives: whether the queue is used (an ablation).
    """

    about = About(
        title="MoCo",
        paper="He et al., 2019; Chen et al., 2020",
        prevents_collapse="negatives",
        batch_norm="each view apart, in groups, keys shuffled",
        top1="60.6 (v1), 67.7 (v2; 200 epochs), 71.1 (v2; 800; its README)",
        stop_gradient="keys",
        negatives="earlier batches'",
    )

    def __init__(
        self,
        backbone: Any,
        *,
        head: Literal["linear", "mlp"] = "mlp",
        hidden: int = 0,
        dim: int = 128,
        queue: int = 65536,
        tau: float = 0.999,
        temperature: float = 0.2,
        symmetric: bool = False,
        negatives: bool = True,
    ) -> None:
        super().__init__()
        inputs = backbone.num_features
        widths = [inputs, dim] if head == "linear" else [inputs, hidden or inputs, dim]
        self.online = Tower(backbone, mlp(*widths, bias=True, norm=False, last_bias=True))
        self.target = EMA(self.online)
        self.queue = Queue(queue, dim)
        self.tau, self.temperature = tau, temperature
        self.symmetric, self.negatives = symmetric, negatives

    def forward(self, views: list[Tensor]) -> Outcome:
        # All views but the one that is only a key.
        keyed = (0, 1) if self.symmetric else (1,)
        outputs = {i: self.online(view) for i, view in enumerate(views) if keyed != (i,)}
        keys = {j: shuffled(self.target, views[j])[1] for j in keyed}

        def loss(i: int, j: int) -> Tensor:
            query = outputs[i][1]
            if not self.negatives:
                return simsiam(query, keys[j]) / self.temperature
            return info_nce(query, keys[j], self.temperature, self.queue.vectors)

        if self.symmetric:
            total = mean_over_pairs(loss, views)
        else:
            total = sum((loss(i, 1) for i in outputs if i), loss(0, 1)) / len(outputs)
        first, *_ = keys.values()  # one key an image goes into the queue
        kept = gather(F.normalize(widen(first), dim=1))
        features, z = outputs[0]
        return Outcome(total, features.detach(), z.detach(), kept)

    def after_step(self, step: int, total_steps: int, kept: Tensor | None = None) -> None:
        self.target.update(self.online, self.tau)
        if kept is not None:
            self.queue.add(kept)

    def chance_loss(self, batch_size: int) -> float | None:
        return math.log(len(self.queue.vectors) + 1) if self.negatives else None
