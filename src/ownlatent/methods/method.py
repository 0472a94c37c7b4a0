"""What every method is."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import ClassVar, NamedTuple

from torch import Tensor, nn

from ownlatent.methods.presets import DEFAULT, Preset
from ownlatent.networks import Tower


class Outcome(NamedTuple):
    """What one batch gave: the loss, and what observers may look at (detached)."""

    loss: Tensor  # scalar
    features: Tensor  # [B, F], the backbone's output for the first view
    embeddings: Tensor  # [B, D], its projection
    kept: Tensor | None = None  # [N, ...], what after_step needs of the batch of all processes


class About(NamedTuple):
    """What cannot be read off a method's parts, for tables and reports."""

    paper: str = ""
    prevents_collapse: str = ""
    batch_norm: str = ""
    """Which views share a batch-norm batch."""
    top1: str = ""
    """ImageNet linear accuracy in print, ResNet-50 unless said, with its source."""
    stop_gradient: str = "no"
    negatives: str = "no"
    title: str = ""
    """What it is called in print; left out, its name in capitals."""


class Method(nn.Module, ABC):
    """A method: the constructor is the architecture, ``forward`` the paper's equation.

    It knows nothing of data, devices, optimizers or logging. Of several micro-batches a step's
    ``forward`` sees each; ``before_step`` and ``after_step`` happen once.
    """

    about: ClassVar[About] = About()
    presets: ClassVar[Mapping[str, Preset]] = {"small": DEFAULT}
    """Recipes of a method that another package defines; ours are in :mod:`.presets`. "small" is
    the one that ``ownlatent pretrain`` takes by itself."""
    bounds: ClassVar[Mapping[str, tuple[float, float]]] = {}
    """The least and the most of numeric options, where :data:`.options.BOUNDS` does not fit."""
    local_crops: ClassVar[bool] = True
    """Whether ``forward`` makes use of them."""
    online: Tower
    """The network that is being trained."""

    @abstractmethod
    def forward(self, views: list[Tensor]) -> Outcome:
        """The loss of a batch.

        Args:
            views: float ``[B, C, S, S]`` each; two global ones, then local crops, if any.
        """

    def before_step(self, step: int, total_steps: int, epoch: float) -> None:
        """Set what follows a schedule; ``step`` and ``epoch`` count from 0."""

    def after_step(self, step: int, total_steps: int, kept: Tensor | None = None) -> None:
        """What happens once per optimizer step, after it; ``kept`` is :attr:`Outcome.kept` of all
        micro-batches, one after the other."""

    def held(self, epoch: float) -> Iterable[nn.Parameter]:
        """Parameters that stay as they are at this point of the training."""
        return ()

    def scheduled(self, step: int, total_steps: int, epoch: float) -> dict[str, float]:
        """What follows a schedule, for the log."""
        return {}

    def embed(self, view: Tensor) -> tuple[Tensor, Tensor]:
        """Backbone features ``[B, F]`` and projections ``[B, D]`` of a view, by the network that
        is being trained."""
        features, z = self.online(view)
        return features, z

    def chance_loss(self, batch_size: int) -> float | None:
        """The loss of guessing in a micro-batch of ``batch_size`` images over all processes, or
        None where the objective has no such level."""
        return None

    @property
    def encoders(self) -> dict[str, nn.Module]:
        """The backbones worth keeping by name, the one to evaluate first."""
        return {"online": self.online.backbone}
