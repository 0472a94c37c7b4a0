"""Bootstrap Your Own Latent (Grill et al., 2020): figure 2 and equations 1-4."""

from typing import Any, Literal

from torch import Tensor, nn

from ownlatent.methods.crops import GLOBAL, mean_over_pairs
from ownlatent.methods.method import About, Method, Outcome
from ownlatent.networks import EMA, Tower, fan_in, gather, mlp
from ownlatent.objectives import byol, byol_contrast, through_both
from ownlatent.schedules import ema_rate


class BYOL(Method):
    """The online network predicts the target's projection of another view of the same image.

    The target is a moving average of the online network. There are no negatives: the predictor
    and the slow target keep the representation from collapsing. Local crops are experimental: in
    print they hurt (DINO, appendix E).

    Args:
        backbone: maps ``[B, C, H, W]`` to ``[B, num_features]``.
        hidden: width of both heads (4096 in the paper).
        dim: length of a projection (256 in the paper).
        tau: the target's decay at step 0; it rises to 1 by the last step.
        targets: what gives them: a moving average; the online network itself, behind a
            stop-gradient ("detached", tau = 0 in the paper's table 5a) or with gradient ("shared").
        predictor: whether there is one (table 5b).
        normalise: how predictions and targets are normalised (table 20).
        beta, alpha: weight and temperature of an InfoNCE term beside the loss (appendix F.4).
        target: a backbone to start the target from; None starts it as a copy of the online
            network. The official code draws it separately and found no difference.
    """

    about = About(
        paper="Grill et al., 2020",
        prevents_collapse="predictor and moving average",
        batch_norm="each view apart",
        top1="74.3 (1000 epochs; BYOL, table 1)",
        stop_gradient="target",
    )

    def __init__(
        self,
        backbone: Any,
        *,
        hidden: int = 4096,
        dim: int = 256,
        tau: float = 0.996,
        targets: Literal["average", "detached", "shared"] = "average",
        predictor: bool = True,
        normalise: Literal["l2", "layer", "batch", "none"] = "l2",
        beta: float = 0.0,
        alpha: float = 0.3,
        target: nn.Module | None = None,
    ) -> None:
        super().__init__()

        def tower(net: Any) -> Tower:
            return Tower(net, head(backbone.num_features))

        def head(inputs: int) -> nn.Sequential:
            return mlp(inputs, hidden, dim, bias=True, init=fan_in)

        self.online = tower(backbone)
        self.predictor = head(dim) if predictor else nn.Identity()
        if targets == "average":
            self.target = EMA(self.online, None if target is None else tower(target))
        self.tau, self.targets, self.normalise = tau, targets, normalise
        self.beta, self.alpha = beta, alpha

    def forward(self, views: list[Tensor]) -> Outcome:
        # One forward, and so one batch-norm batch, per view and network.
        features, z = zip(*(self.online(view) for view in views), strict=True)
        predictions = [self.predictor(each) for each in z]
        targets = list(z[:GLOBAL])
        if self.targets == "average":
            targets = [self.target(view)[1] for view in views[:GLOBAL]]

        def distance(prediction: Tensor, target: Tensor) -> Tensor:
            return byol(prediction, target, self.normalise)

        def loss(i: int, j: int) -> Tensor:
            if self.targets == "shared":
                return through_both(distance, predictions[i], targets[j])
            return distance(predictions[i], targets[j])

        total = 2 * mean_over_pairs(loss, views)  # of two views: their sum
        if self.beta:
            for i in range(GLOBAL):
                prediction, other, same = map(gather, (predictions[i], targets[1 - i], targets[i]))
                total += self.beta * byol_contrast(
                    prediction, other, same, self.alpha, stop_gradient=self.targets != "shared"
                )
        return Outcome(total, features[0].detach(), z[0].detach())

    def after_step(self, step: int, total_steps: int, kept: Tensor | None = None) -> None:
        if self.targets == "average":
            self.target.update(self.online, ema_rate(step, total_steps, self.tau))

    def scheduled(self, step: int, total_steps: int, epoch: float) -> dict[str, float]:
        return {"tau": ema_rate(step, total_steps, self.tau)} if self.targets == "average" else {}

    @property
    def encoders(self) -> dict[str, nn.Module]:
        if self.targets != "average":
            return super().encoders
        target: Any = self.target.network
        return {"online": self.online.backbone, "target": target.backbone}
