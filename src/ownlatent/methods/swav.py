"""SwAV: Contrasting Cluster Assignments (Caron et al., 2020), equations 1-3."""

import math
from collections.abc import Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ownlatent.methods.crops import GLOBAL, mean_over_pairs
from ownlatent.methods.method import About, Method, Outcome
from ownlatent.methods.queue import Queue
from ownlatent.networks import Prototypes, Tower, gather, mlp, own
from ownlatent.objectives import sinkhorn, swav
from ownlatent.objectives.precision import widen


class SwAV(Method):
    """One view predicts to which prototypes the other was assigned (equations 1-3).

    Args:
        backbone: maps ``[B, C, H, W]`` to ``[B, num_features]``.
        hidden: width of the head.
        dim: length of a projection.
        prototypes: how many.
        temperature: of the prediction's softmax.
        epsilon: of the assignment: the lower, the harder.
        iterations: of Sinkhorn's algorithm.
        queue: earlier projections of each global view assigned along with the batch, for small
            batches; 0: none.
        queue_start: epoch from which they are.
        freeze: epochs in which the prototypes stay as they are.
        equipartition: whether assignments fill all prototypes alike (an ablation).
    """

    about = About(
        title="SwAV",
        paper="Caron et al., 2020",
        prevents_collapse="equipartition",
        batch_norm="views of one resolution together, all in the head",
        top1="75.3 (800 epochs, 6 local crops), 71.8 (two views; SimSiam, table 4)",
        stop_gradient="assignments",
    )

    def __init__(
        self,
        backbone: Any,
        *,
        hidden: int = 2048,
        dim: int = 128,
        prototypes: int = 3000,
        temperature: float = 0.1,
        epsilon: float = 0.05,
        iterations: int = 3,
        queue: int = 0,
        queue_start: float = 15.0,
        freeze: float = 1.0,
        equipartition: bool = True,
    ) -> None:
        super().__init__()
        head = mlp(backbone.num_features, hidden, dim, bias=True, last_bias=True)
        self.online = Tower(backbone, head)
        self.prototypes = Prototypes(dim, prototypes)
        self.queues = nn.ModuleList(Queue(queue, dim) for _ in range(GLOBAL if queue else 0))
        self.temperature, self.epsilon, self.iterations = temperature, epsilon, iterations
        self.queue_start, self.freeze, self.equipartition = queue_start, freeze, equipartition
        self.queueing = False

    def forward(self, views: list[Tensor]) -> Outcome:
        features, z = self.online.together(views)
        directions = [F.normalize(widen(each)) for each in z]
        scores = [self.prototypes(each) for each in directions]
        codes = [self._assign(scores[j], j) for j in range(GLOBAL)]
        total = mean_over_pairs(lambda i, j: swav(scores[i], codes[j], self.temperature), views)
        kept = gather(torch.stack(directions[:GLOBAL], 1).detach()) if self.queues else None
        return Outcome(total, features[0].detach(), z[0].detach(), kept)

    @torch.no_grad()
    def _assign(self, scores: Tensor, view: int) -> Tensor:
        if not self.equipartition:
            return (scores / self.epsilon).softmax(1)
        everyone = gather(scores)
        count = len(everyone)
        if self.queueing:
            everyone = torch.cat([everyone, self.prototypes(self.queues[view].vectors)])
        return own(sinkhorn(everyone, self.epsilon, self.iterations)[:count])

    def before_step(self, step: int, total_steps: int, epoch: float) -> None:
        self.queueing = bool(self.queues) and epoch >= self.queue_start

    def after_step(self, step: int, total_steps: int, kept: Tensor | None = None) -> None:
        self.prototypes.normalise()
        if kept is not None:
            for queue, vectors in zip(self.queues, kept.unbind(1), strict=True):
                queue.add(vectors)  # type: ignore[operator]

    def held(self, epoch: float) -> Iterable[nn.Parameter]:
        return self.prototypes.parameters() if epoch < self.freeze else ()

    def chance_loss(self, batch_size: int) -> float:
        return math.log(self.prototypes.out_features)
