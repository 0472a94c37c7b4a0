"""Emerging Properties in Self-Supervised Vision Transformers (Caron et al., 2021): eqs. 1-4."""

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from ownlatent.methods.crops import GLOBAL, mean_over_pairs
from ownlatent.methods.method import About, Method, Outcome
from ownlatent.networks import EMA, Direction, Tower, WeightNorm, gather, mlp, trunc_normal
from ownlatent.objectives import dino, koleo
from ownlatent.schedules import ema_rate


class DINO(Method):
    """The student predicts the softmax of its own moving average, which is centred and sharpened.

    Args:
        backbone: maps ``[B, C, H, W]`` to ``[B, num_features]``.
        hidden: width of the head's two hidden layers.
        bottleneck: length of the vector before the last layer.
        prototypes: outputs of the last layer.
        head_norm: batch norm in the head (table 10).
        fixed_length: keep the last layer's weights at unit length.
        tau: the teacher's decay at step 0; it rises to 1 by the last step.
        temperature: of the student.
        teacher_start, teacher_end, teacher_warmup: the teacher's temperature rises from one to
            the other over this many epochs, epoch by epoch.
        center_momentum: decay of the centre, a moving average of the teacher's outputs.
        freeze: epochs in which the last layer stays as it is.
        centering: whether outputs are centred (an ablation).
        koleo: weight of each global view's features' spread (DINOv2: 0.1, within each process).
    """

    about = About(
        paper="Caron et al., 2021",
        prevents_collapse="centring and sharpening",
        batch_norm="none in a ViT; views of one resolution together",
        top1="75.3 (R50), 77.0 (ViT-S/16; 800 epochs, 8 and 10 local crops; its README)",
        stop_gradient="teacher",
    )

    center: Tensor
    teacher_temperature: Tensor

    def __init__(
        self,
        backbone: Any,
        *,
        hidden: int = 2048,
        bottleneck: int = 256,
        prototypes: int = 65536,
        head_norm: bool = False,
        fixed_length: bool = True,
        tau: float = 0.996,
        temperature: float = 0.1,
        teacher_start: float = 0.04,
        teacher_end: float = 0.07,
        teacher_warmup: int = 30,
        center_momentum: float = 0.9,
        freeze: float = 1.0,
        centering: bool = True,
        koleo: float = 0.0,
    ) -> None:
        super().__init__()
        widths = (backbone.num_features, hidden, hidden, bottleneck)
        options: Any = {"bias": True, "norm": head_norm, "last_bias": True, "init": trunc_normal}
        last = WeightNorm(bottleneck, prototypes, fixed_length)
        head = nn.Sequential(mlp(*widths, activation=nn.GELU, **options), Direction(), last)
        self.online = Tower(backbone, head)
        self.target = EMA(self.online)
        self.register_buffer("center", torch.zeros(prototypes))
        self.register_buffer("teacher_temperature", torch.tensor(teacher_start), persistent=False)
        self.tau, self.temperature = tau, temperature
        self.sharpening = (teacher_start, teacher_end, teacher_warmup)
        self.center_momentum, self.freeze = center_momentum, freeze
        self.centering, self.koleo = centering, koleo

    def forward(self, views: list[Tensor]) -> Outcome:
        features, student = self.online.together(views)
        teacher = self.target.together(views[:GLOBAL])[1]
        total = mean_over_pairs(
            lambda i, j: dino(
                student[i], teacher[j], self.center, self.temperature, self.teacher_temperature
            ),
            views,
        )
        if self.koleo:
            total = total + self.koleo * sum(koleo(gather(each)) for each in features[:GLOBAL])
        mean = torch.stack(teacher).mean((0, 1)).to(self.center)
        return Outcome(total, features[0].detach(), student[0].detach(), gather(mean[None]))

    def before_step(self, step: int, total_steps: int, epoch: float) -> None:
        self.teacher_temperature.fill_(self._teacher_temperature(epoch))

    def after_step(self, step: int, total_steps: int, kept: Tensor | None = None) -> None:
        self.target.update(self.online, ema_rate(step, total_steps, self.tau))
        if self.centering and kept is not None:
            self.center.lerp_(kept.mean(0), 1 - self.center_momentum)

    def held(self, epoch: float) -> Iterable[nn.Parameter]:
        return self.online.projector[-1].parameters() if epoch < self.freeze else ()

    def scheduled(self, step: int, total_steps: int, epoch: float) -> dict[str, float]:
        tau = ema_rate(step, total_steps, self.tau)
        return {"tau": tau, "teacher_temperature": self._teacher_temperature(epoch)}

    def _teacher_temperature(self, epoch: float) -> float:
        start, end, warmup = self.sharpening
        return start + (end - start) * min(math.floor(epoch) / max(warmup - 1, 1), 1.0)

    def chance_loss(self, batch_size: int) -> float | None:
        return None if self.koleo else math.log(len(self.center))

    @property
    def encoders(self) -> dict[str, nn.Module]:
        target: Any = self.target.network
        return {"target": target.backbone, "online": self.online.backbone}
