"""Contrastive Clustering (Li et al., 2021): equations 1 to 7."""

import math
from typing import Any, ClassVar

from torch import Tensor

from ownlatent.methods import About, Method, Outcome, Preset, mean_over_pairs
from ownlatent.networks import Tower, gather, mlp
from ownlatent.objectives import nt_xent, simsiam, through_both
from ownlatent.objectives.precision import widen


def shortfall(log_assignments: Tensor) -> Tensor:
    """ln K minus the entropy of the mean assignment (equation 6): 0 where all clusters are as
    large, ln K where there is one. ``[N, K]`` log-probabilities to a scalar."""
    count, clusters = log_assignments.shape
    # In logarithms: a cluster that nobody chooses must not make 0 * ln 0.
    mean = log_assignments.logsumexp(0) - math.log(count)
    return math.log(clusters) + (mean.exp() * mean).sum()


class ContrastiveClustering(Method):
    """Rows are contrasted with rows, images, and columns with columns, clusters: of the embeddings
    and of the soft assignments of one network.

    Args:
        backbone: maps ``[B, C, H, W]`` to ``[B, num_features]``.
        hidden: width of both heads; 0: the backbone's, as in the paper.
        dim: length of an embedding.
        clusters: K, how many.
        temperature: of the contrast of images.
        cluster_temperature: of the contrast of clusters.
        negatives: whether other images and other clusters repel (an ablation).
        entropy: whether clusters are kept alike in size (an ablation).
    """

    about = About(
        title="Contrastive Clustering",
        paper="Li et al., 2021",
        prevents_collapse="negatives; entropy of the clusters",
        batch_norm="each view apart",
        negatives="the batch's, and the other clusters",
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
            views="simclr",
        ),
        "paper": Preset(
            source="official config.yaml and train.py: Adam at a constant rate",
            epochs=1000,
            batch_size=256,
            optimizer="adamw",
            base_lr=3e-4,
            weight_decay=0.0,
            warmup_epochs=0,
            views="simclr",
            final_lr=1.0,
        ),
    }
    bounds: ClassVar = {"clusters": (2, 2**20), "cluster_temperature": (1e-3, 1e3)}

    def __init__(
        self,
        backbone: Any,
        *,
        hidden: int = 0,
        dim: int = 128,
        clusters: int = 10,
        temperature: float = 0.5,
        cluster_temperature: float = 1.0,
        negatives: bool = True,
        entropy: bool = True,
    ) -> None:
        super().__init__()
        inputs, plain = backbone.num_features, {"bias": True, "norm": False, "last_bias": True}
        self.online = Tower(backbone, mlp(inputs, hidden or inputs, dim, **plain))
        self.assign = mlp(inputs, hidden or inputs, clusters, **plain)
        self.temperature, self.cluster_temperature = temperature, cluster_temperature
        self.negatives, self.entropy = negatives, entropy

    def forward(self, views: list[Tensor]) -> Outcome:
        features, local = zip(*(self.online(view) for view in views), strict=True)
        z = [gather(each) for each in local]
        logc = [widen(gather(self.assign(each))).log_softmax(1) for each in features]
        clusters = [each.exp().T for each in logc]  # [K, N]: a cluster is whom it holds

        def contrast(a: Tensor, b: Tensor, temperature: float) -> Tensor:
            if not self.negatives:
                return through_both(simsiam, a, b) / temperature
            return nt_xent(a, b, temperature)

        def loss(i: int, j: int) -> Tensor:
            total = contrast(z[i], z[j], self.temperature)
            total = total + contrast(clusters[i], clusters[j], self.cluster_temperature)
            return total + shortfall(logc[i]) + shortfall(logc[j]) if self.entropy else total

        total = mean_over_pairs(loss, views, symmetric=True)
        return Outcome(total, features[0].detach(), local[0].detach())

    def chance_loss(self, batch_size: int) -> float | None:
        if not self.negatives:
            return None
        return sum(math.log(2 * count - 1) for count in (batch_size, self.assign[-1].out_features))
