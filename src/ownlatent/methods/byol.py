"""Bootstrap Your Own Latent (Grill et al., 2020): figure 2 and equations 1-4."""

from typing import Any

from torch import Tensor, nn

from ownlatent.methods.method import Method, Outcome
from ownlatent.networks import EMA, Tower, mlp
from ownlatent.objectives import byol
from ownlatent.schedules import ema_rate


class BYOL(Method):
    """The online network predicts the target's projection of another view of the same image.

    The target is a moving average of the online network. There are no negatives: the predictor
    and the slow target keep the representation from collapsing.

    Args:
        backbone: maps ``[B, C, H, W]`` to ``[B, num_features]``.
        hidden: width of both heads (4096 in the paper).
        dim: length of a projection (256 in the paper).
        tau: the target's decay at step 0; it rises to 1 by the last step.
        target: a backbone to start the target from; None starts it as a copy of the online
            network. The official code draws it separately and found no difference.
    """

    def __init__(
        self,
        backbone: Any,
        *,
        hidden: int = 4096,
        dim: int = 256,
        tau: float = 0.996,
        target: nn.Module | None = None,
    ) -> None:
        super().__init__()

        def tower(net: Any) -> Tower:
            return Tower(net, mlp(backbone.num_features, hidden, dim))

        self.online = tower(backbone)
        self.predictor = mlp(dim, hidden, dim)
        self.target = EMA(self.online, None if target is None else tower(target))
        self.tau = tau

    def forward(self, views: list[Tensor]) -> Outcome:
        # One forward, and so one batch-norm batch, per view and network.
        (features, z), (_, z_other) = (self.online(view) for view in views)
        (_, target), (_, target_other) = (self.target(view) for view in views)
        loss = byol(self.predictor(z), target_other) + byol(self.predictor(z_other), target)
        return Outcome(loss, features.detach(), z.detach())

    def after_step(self, step: int, total_steps: int) -> None:
        self.target.update(self.online, ema_rate(step, total_steps, self.tau))

    def embed(self, view: Tensor) -> tuple[Tensor, Tensor]:
        features, z = self.online(view)
        return features, z

    @property
    def encoders(self) -> dict[str, nn.Module]:
        target: Any = self.target.network
        return {"online": self.online.backbone, "target": target.backbone}
