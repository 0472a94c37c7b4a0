"""An observer: a linear classifier that learns beside the method, on features it cannot change."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class OnlineProbe(nn.Module):
    """Linear classifier on detached features, with its own loss and optimizer (METHODS.md §12.23).

    Its accuracy is on training images under augmentation, before it learns from them: a sign of
    progress, not a result.

    Args:
        features: length F of a feature vector.
        classes: number of labels; a label of -1 stands for none and is passed over.
    """

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        # Standardised first, so that one learning rate serves every backbone.
        self.norm = nn.BatchNorm1d(features, affine=False)
        self.classifier = nn.Linear(features, classes)

    def forward(self, features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Features ``[B, F]``, labels int64 ``[B]`` to mean cross-entropy and accuracy."""
        logits = self.classifier(self.norm(features.detach().float()))
        known = (labels >= 0).sum().clamp(min=1)
        loss = F.cross_entropy(logits, labels, ignore_index=-1, reduction="sum") / known
        with torch.no_grad():
            accuracy = ((logits.argmax(dim=1) == labels) & (labels >= 0)).sum() / known
        return loss, accuracy
