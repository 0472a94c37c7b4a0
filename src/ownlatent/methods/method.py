"""What every method is."""

from abc import ABC, abstractmethod
from typing import NamedTuple

from torch import Tensor, nn


class Outcome(NamedTuple):
    """What one batch gave: the loss, and what observers may look at (detached)."""

    loss: Tensor  # scalar
    features: Tensor  # [B, F], the backbone's output for the first view
    embeddings: Tensor  # [B, D], its projection


class Method(nn.Module, ABC):
    """A method: the constructor is the architecture, ``forward`` the paper's equation.

    It knows nothing of data, devices, optimizers or logging.
    """

    @abstractmethod
    def forward(self, views: list[Tensor]) -> Outcome:
        """The loss of a batch whose views are float ``[B, C, S, S]`` each."""

    def after_step(self, step: int, total_steps: int) -> None:
        """What happens once per optimizer step, after it; ``step`` counts from 0."""

    @abstractmethod
    def embed(self, view: Tensor) -> tuple[Tensor, Tensor]:
        """Backbone features ``[B, F]`` and projections ``[B, D]`` of a view, by the network that
        is being trained."""

    def chance_loss(self, batch_size: int) -> float | None:
        """The loss of guessing, or None where the objective has no such level."""
        return None

    @property
    @abstractmethod
    def encoders(self) -> dict[str, nn.Module]:
        """The backbones worth keeping by name, the one to evaluate first."""
