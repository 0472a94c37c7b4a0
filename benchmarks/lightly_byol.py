"""lightly's BYOL as its CIFAR-10 benchmark trains it, in a plain loop around lightly's own parts.

Its published settings (cifar10_benchmark.py and benchmarks.rst): batch 128, SGD with momentum 0.9
and weight decay 5e-4, learning rate 0.06 (``lr``), target rate 0.99 throughout, half the sum of
both losses, views without blur, ImageNet's mean and deviation, a cosine over the run. What differs
is kind to it: images are decoded beforehand, and the cosine is followed by step, not by epoch.
"""

import copy
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightly.loss import NegativeCosineSimilarity
from lightly.models.modules import BYOLPredictionHead, BYOLProjectionHead
from lightly.models.utils import deactivate_requires_grad, update_momentum
from lightly.transforms import BYOLTransform, BYOLView1Transform, BYOLView2Transform
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

BATCH = 128
LEARNING_RATE = 0.06
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Pictures(Dataset[Any]):
    def __init__(self, images: Any, size: int) -> None:
        self.images = images
        plain = {"input_size": size, "gaussian_blur": 0.0}
        self.views = BYOLTransform(BYOLView1Transform(**plain), BYOLView2Transform(**plain))

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> list[Tensor]:
        views: list[Tensor] = self.views(Image.fromarray(self.images[index]))
        return views


class LightlyBYOL(nn.Module):
    """lightly's heads around a backbone, as wide as its CIFAR-10 benchmark has them."""

    def __init__(
        self, backbone: nn.Module, features: int, hidden: int = 1024, dim: int = 256
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.projector = BYOLProjectionHead(features, hidden, dim)
        self.predictor = BYOLPredictionHead(dim, hidden, dim)
        self.target_backbone = copy.deepcopy(self.backbone)
        self.target_projector = copy.deepcopy(self.projector)
        deactivate_requires_grad(self.target_backbone)
        deactivate_requires_grad(self.target_projector)
        self.criterion = NegativeCosineSimilarity()

    def forward(self, x0: Tensor, x1: Tensor) -> Tensor:
        def predicted(x: Tensor) -> Any:
            return self.predictor(self.projector(self.backbone(x).flatten(1)))

        def aimed_at(x: Tensor) -> Any:
            return self.target_projector(self.target_backbone(x).flatten(1)).detach()

        p0, z0, p1, z1 = predicted(x0), aimed_at(x0), predicted(x1), aimed_at(x1)
        loss: Tensor = 0.5 * (self.criterion(p0, z1) + self.criterion(p1, z0))
        return loss

    def follow(self) -> None:
        update_momentum(self.backbone, self.target_backbone, m=0.99)
        update_momentum(self.projector, self.target_projector, m=0.99)


def train(
    images: np.ndarray[Any, Any],
    backbone: nn.Module,
    features: int,
    *,
    size: int,
    steps: int,
    seed: int,
    lr: float = LEARNING_RATE,
    workers: int = 2,
    kept: Path | None = None,
) -> float:
    """Train ``backbone`` in place for ``steps`` steps.

    Args:
        images: uint8 ``[N, H, W, 3]``.
        kept: file that the state is written to at the end of each epoch, and begun from.

    Returns:
        seconds, those before a restart included.
    """
    torch.manual_seed(seed)
    net = LightlyBYOL(backbone, features).train()
    trained = [p for p in net.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=lr, momentum=0.9, weight_decay=5e-4)
    done, before = 0, 0.0
    if kept is not None and kept.is_file():
        state = torch.load(kept)
        net.load_state_dict(state["net"])
        optimizer.load_state_dict(state["optimizer"])
        done, before = state["step"], state["seconds"]
    began = time.perf_counter()
    batches = _batches(images, size, workers, seed + 1000 * done)
    for step in range(done, steps):
        for group in optimizer.param_groups:
            group["lr"] = lr * 0.5 * (1 + math.cos(math.pi * step / steps))
        net.follow()
        loss = net(*next(batches))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if kept is not None and (step + 1) % (len(images) // BATCH) == 0:
            seconds = before + time.perf_counter() - began
            state = {"net": net.state_dict(), "optimizer": optimizer.state_dict()}
            torch.save(state | {"step": step + 1, "seconds": seconds}, kept)
            print(f"step {step + 1} of {steps}, loss {loss.item():.3f}", flush=True)
    return before + time.perf_counter() - began


def on_tensors(backbone: nn.Module, features: int, *, size: int, steps: int) -> float:
    """Seconds of ``steps`` steps whose views are at hand."""
    net = LightlyBYOL(backbone, features).train()
    trained = [p for p in net.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=LEARNING_RATE, momentum=0.9, weight_decay=5e-4)
    views = [torch.randn(BATCH, 3, size, size) for _ in range(2)]
    began = time.perf_counter()
    for _ in range(steps):
        net.follow()
        optimizer.zero_grad()
        net(*views).backward()
        optimizer.step()
    return time.perf_counter() - began


def _batches(images: Any, size: int, workers: int, seed: int) -> Iterator[list[Tensor]]:
    order = torch.Generator().manual_seed(seed)
    loader = DataLoader(
        Pictures(images, size), BATCH, shuffle=True, drop_last=True, num_workers=workers,
        persistent_workers=workers > 0, generator=order,
    )  # fmt: skip
    while True:
        yield from loader
