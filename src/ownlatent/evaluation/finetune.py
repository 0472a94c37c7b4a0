"""Fine-tuning: the whole network goes on learning, from labels now."""

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ownlatent.data.order import epoch_order
from ownlatent.encoder import Encoder
from ownlatent.errors import UsageError
from ownlatent.evaluation.features import numbered
from ownlatent.evaluation.interval import Accuracy, counted
from ownlatent.evaluation.linear import stratified_holdout
from ownlatent.kinds import Samples
from ownlatent.views import Recipe, Views

RATES = (0.01, 0.05, 0.2)
"""Learning rates at a batch of 256."""
CROPS = Recipe(attempts=10, jitter=0.0, grayscale=0.0)
"""Random resized crops of 8 to 100 % of the image, and flips."""


@dataclass(frozen=True, kw_only=True)
class FinetuneResult(Accuracy):
    """A fine-tuned network's accuracy, and what every rate gave on the held-out part."""

    rate: float
    held_out: dict[float, float]  # rate -> accuracy
    seed: int


@dataclass(frozen=True)
class Schedule:
    """How long and in which batches; every rate and the last fit the same."""

    epochs: int = 30
    batch_size: int = 64
    decay: float = 0.0


def finetune(
    encoder: Encoder,
    train: Samples,
    train_rows: Tensor,
    test: Samples,
    test_rows: Tensor,
    *,
    seed: int = 0,
    rates: Sequence[float] = RATES,
    schedule: Schedule = Schedule(),
    holdout: float = 0.2,
    device: str | torch.device = "cpu",
) -> FinetuneResult:
    """Train the encoder and a linear layer on labelled images; the encoder given stays as it is.

    BYOL's semi-supervised and transfer recipe (appendices C.2 and D.2): SGD with Nesterov momentum
    0.9, cosine decay, random resized crops and flips at the encoder's size, batch norm's momentum
    ``max(1 - 10 / steps per epoch, 0.9)``, the new layer from 0. The learning rate is chosen on a
    held-out part of the training data (the lower where two tie), then everything is trained again
    on all of it, and the last step is scored once on the test set. With SimCLR v2's "middle"
    network what is trained begins with the first layer of its head.

    Args:
        encoder: of images.
        train, test: labelled images.
        train_rows, test_rows: int64, which of them.
        seed: of the held-out part, the order and the crops.
        rates: learning rates at a batch of 256.
        schedule: passes, batch and L2 penalty.
        holdout: fraction of each class that is held out; nothing is where there is one rate.
        device: where.

    Raises:
        UsageError: the encoder is not of images, there is one class only, or no class has two
            samples to choose the rate by.
    """
    if encoder.preprocessing.kind != "images":
        raise UsageError(
            f"Fine-tuning is for encoders of images; this one is of {encoder.preprocessing.kind}: "
            "take linear or knn."
        )
    if not rates or not all(0 < rate < math.inf for rate in rates):
        raise UsageError(f"Give one or more learning rates above 0; got {list(rates)}.")
    assert train.labels is not None and test.labels is not None
    classes, targets = numbered(train.labels[train_rows], "Fine-tuning")
    fitting = _Fitting(encoder, train, len(classes), schedule, seed, torch.device(device))
    held_out: dict[float, float] = {}
    rate = rates[0]
    if len(rates) > 1:
        held = stratified_holdout(targets, holdout, seed)
        for each in rates:
            net = fitting.fit(train_rows[~held], targets[~held], each)
            right = fitting.predict(net, train, train_rows[held]) == targets[held]
            held_out[each] = right.double().mean().item()
        rate = max(rates, key=lambda r: (held_out[r], -r))
    net = fitting.fit(train_rows, targets, rate)
    found = classes[fitting.predict(net, test, test_rows)]
    return FinetuneResult(
        **counted(found, test.labels[test_rows]),
        n_train=len(train_rows),
        n_classes=len(classes),
        protocol=(
            f"fine-tuning of the whole network, SGD for {schedule.epochs} epochs, last step, rate "
            f"{rate:g} of {len(rates)}"
            + (f" chosen on held-out training samples (seed {seed})" if held_out else "")
        ),
        rate=rate,
        held_out=held_out,
        seed=seed,
    )


class _Fitting:
    """Fits copies of one encoder to subsets of one data set."""

    def __init__(
        self,
        encoder: Encoder,
        samples: Samples,
        classes: int,
        schedule: Schedule,
        seed: int,
        device: torch.device,
    ) -> None:
        self._encoder, self._samples, self._classes = encoder, samples, classes
        self._schedule, self._seed, self._device = schedule, seed, device
        settings = encoder.preprocessing
        self._views = Views([CROPS], settings.size, mean=settings.mean, std=settings.std).to(device)

    def fit(self, rows: Tensor, targets: Tensor, rate: float) -> nn.Sequential:
        """A copy of the encoder and a classifier, trained on ``rows`` (int64 ``[n]``)."""
        schedule, device = self._schedule, self._device
        net = nn.Sequential(
            copy.deepcopy(self._encoder), nn.Linear(self._encoder.num_features, self._classes)
        )
        head: Any = net[1]
        nn.init.zeros_(head.weight), nn.init.zeros_(head.bias)
        net.to(device).train()
        size = min(schedule.batch_size, len(rows))
        steps = math.ceil(len(rows) / size)
        for module in net.modules():
            if isinstance(module, _BatchNorm):
                module.momentum = min(10 / steps, 0.1)  # in the paper's terms one less this
        trained = [p for p in net.parameters() if p.requires_grad]
        optimizer = torch.optim.SGD(
            trained, lr=rate, momentum=0.9, nesterov=True, weight_decay=schedule.decay
        )
        peak, total = rate * size / 256, steps * schedule.epochs
        ids = self._samples.ids[rows]
        for epoch in range(schedule.epochs):
            order = epoch_order(ids, self._seed, epoch)
            for number, part in enumerate(torch.split(order, size)):
                if len(part) == 1 < len(order):
                    continue  # batch norm has nothing to compare one image with
                done = (epoch * steps + number) / total
                optimizer.param_groups[0]["lr"] = peak * (0.5 + 0.5 * math.cos(math.pi * done))
                content, sizes, names = self._samples.batch(rows[part], device)
                (view,) = self._views(content, names, epoch, self._seed, sizes)
                features = net[0].backbone(view)  # type: ignore[operator]
                loss = F.cross_entropy(head(features.float()), targets[part].to(device))
                optimizer.zero_grad()
                torch.autograd.backward(loss)
                optimizer.step()
        return net.eval()

    def predict(self, net: nn.Sequential, samples: Samples, rows: Tensor) -> Tensor:
        """Classes as numbers from 0: int64 ``[n]``."""
        found = []
        with torch.inference_mode():
            for part in torch.split(rows, 256):
                content, sizes, _ = samples.batch(part, self._device)
                found.append(net[1](net[0](content, sizes)).argmax(dim=1).cpu())
        return torch.cat(found)
