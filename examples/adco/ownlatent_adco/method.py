"""AdCo: Adversarial Contrast (Hu et al., 2021)."""

import math
from typing import Any, ClassVar

import torch
from torch import Tensor

from ownlatent.methods import About, Method, Outcome, Preset
from ownlatent.networks import EMA, Tower, gather, mlp, shuffled
from ownlatent.objectives import simsiam
from ownlatent_adco.adversaries import Adversaries, contrast


class AdCo(Method):
    """MoCo whose negatives are learned: the network descends the contrast, they ascend it.

    Args:
        backbone: maps ``[B, C, H, W]`` to ``[B, num_features]``.
        hidden: width of the head; 0: the backbone's, as in the paper.
        dim: length of a query, a key or an adversary.
        adversaries: K, how many.
        tau: the keys' moving average's decay, constant.
        temperature: of the network's contrast.
        memory_temperature, memory_lr, memory_decay: the adversaries' temperature, and the constant
            rate and weight decay of their ascent; its momentum is 0.9.
        symmetric: whether each view is query and key in turn.
        negatives: whether anything repels (an ablation).
    """

    about = About(
        title="AdCo",
        paper="Hu et al., 2021",
        prevents_collapse="negatives",
        batch_norm="each view apart, in groups, keys shuffled",
        top1="68.6, 70.6 symmetric (200 epochs; its README)",
        stop_gradient="keys",
        negatives="learned, and the batch's",
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
            views="moco2",
            bn_group=16,
            options={
                "adversaries": 4096, "tau": 0.99, "symmetric": True, "temperature": 0.14,
                "memory_temperature": 0.03, "memory_lr": 1.5,
            },
        ),
        "paper": Preset(
            source="official argparser.py",
            epochs=200,
            batch_size=256,
            optimizer="sgd",
            base_lr=0.03,
            weight_decay=1e-4,
            warmup_epochs=0,
            views="moco2",
            bn_group=32,
            decay_all=True,
            final_lr=0.02,
        ),
    }  # fmt: skip
    bounds: ClassVar = {"adversaries": (2, 2**20), "memory_temperature": (1e-3, 1e3)}

    def __init__(
        self,
        backbone: Any,
        *,
        hidden: int = 0,
        dim: int = 128,
        adversaries: int = 65536,
        tau: float = 0.999,
        temperature: float = 0.12,
        memory_temperature: float = 0.02,
        memory_lr: float = 3.0,
        memory_decay: float = 1e-4,
        symmetric: bool = False,
        negatives: bool = True,
    ) -> None:
        super().__init__()
        inputs, plain = backbone.num_features, {"bias": True, "norm": False, "last_bias": True}
        self.online = Tower(backbone, mlp(inputs, hidden or inputs, dim, **plain))
        self.target = EMA(self.online)
        self.adversaries = Adversaries(adversaries, dim)
        self.tau, self.temperature, self.memory_temperature = tau, temperature, memory_temperature
        self.memory_lr, self.memory_decay = memory_lr, memory_decay
        self.symmetric, self.negatives = symmetric, negatives

    def forward(self, views: list[Tensor]) -> Outcome:
        keyed = (0, 1) if self.symmetric else (1,)
        outputs = {i: self.online(view) for i, view in enumerate(views) if keyed != (i,)}
        keys = {j: shuffled(self.target, views[j])[1] for j in keyed}
        pairs = [(outputs[i][1], keys[j]) for i in outputs for j in keyed if i != j]
        features, z = (each.detach() for each in outputs[0])
        if not self.negatives:
            agreement = torch.stack([simsiam(query, key) for query, key in pairs]).mean()
            return Outcome(agreement / self.temperature, features, z)
        temperatures = (self.temperature, self.memory_temperature)
        losses, gradients = zip(
            *(contrast(*pair, self.adversaries.vectors, *temperatures) for pair in pairs),
            strict=True,
        )
        ascent = gather(torch.stack(gradients).mean(0)[None]).mean(0, keepdim=True)
        return Outcome(torch.stack(losses).mean(), features, z, ascent)

    def after_step(self, step: int, total_steps: int, kept: Tensor | None = None) -> None:
        self.target.update(self.online, self.tau)
        if kept is not None:
            self.adversaries.ascend(kept.mean(0), self.memory_lr, self.memory_decay)

    def chance_loss(self, batch_size: int) -> float | None:
        count = len(self.adversaries.vectors) + batch_size
        return math.log(count) if self.negatives else None
