"""Semantic segmentation: a small fully convolutional head on the encoder, all of it trained."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ownlatent.encoder import Encoder
from ownlatent.errors import UsageError
from ownlatent.evaluation.dense.overlaps import Segmentation, confusion
from ownlatent.evaluation.dense.pairs import Pairs, normalised, open_pairs, opened, parts
from ownlatent.networks.maps import FeatureMap

VOID = 255


@dataclass(frozen=True)
class Recipe:
    """BYOL's (appendix D.4) but for its length: 30,000 steps of 16 crops of 513 pixels.

    Attributes:
        steps: of the optimizer.
        batch: images of a step.
        crop: side of the square crops in pixels; None: the images' shorter side.
        rate: learning rate, a tenth of it from 70 % of the steps on, a hundredth from 90 %.
        decay: L2 penalty.
        scales: of the image before it is cropped, uniform.
        frozen: train the head alone.
    """

    steps: int = 300
    batch: int = 8
    crop: int | None = None
    rate: float = 0.02
    decay: float = 1e-4
    scales: tuple[float, float] = (0.5, 2.0)
    frozen: bool = False


class FCN(nn.Module):
    """The paper's FCN-16s: two 3x3 convolutions of 256 channels with dilation 6, batch norm and
    ReLU, and a 1x1 classifier; its map is brought to the image's size bilinearly.

    Args:
        features: ``[B, 3, H, W]`` to a map.
        classes: K.
        width: of the two convolutions.
    """

    def __init__(self, features: FeatureMap, classes: int, width: int = 256) -> None:
        super().__init__()
        self.features = features
        layers: list[nn.Module] = []
        for inputs in (features.channels, width):
            conv = nn.Conv2d(inputs, width, 3, padding=6, dilation=6, bias=False)
            layers += [conv, nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
        self.head = nn.Sequential(*layers, nn.Conv2d(width, classes, 1))

    def forward(self, x: Tensor) -> Tensor:
        """float32 ``[B, C, H, W]`` to logits ``[B, K, H, W]``."""
        scores: Tensor = self.head(self.features(x)).float()
        return F.interpolate(scores, x.shape[2:], mode="bilinear", align_corners=False)


def open_masks(
    images: str | Path, masks: str | Path, classes: int, void: int, size: tuple[int, int] | None
) -> Pairs:
    """Images and their masks: one-channel or palette images whose values are class numbers.

    Args:
        images, masks: folders; files go together by name.
        classes: K; masks hold 0 to K-1, and ``void``.
        void: the value of pixels that do not count; it becomes :data:`VOID`.
        size: height and width that both are brought to; masks by the nearest pixel.

    Raises:
        UsageError: see :func:`open_pairs`; or a mask holds another value or is in colour.
    """

    def read(file: Path, size: tuple[int, int]) -> np.ndarray:
        with opened(file) as mask:
            if mask.mode not in ("L", "P", "1", "I", "I;16"):
                raise UsageError(
                    f"{file} is in colour ({mask.mode}); a mask's values are class numbers, in one "
                    "channel or a palette."
                )
            values = np.array(mask).astype(np.int64)
        strange = np.setdiff1d(np.unique(values), [*range(classes), void])
        if len(strange):
            raise UsageError(
                f"{file} holds the value {strange[0]}, but classes are 0 to {classes - 1} and void "
                f"is {void}; give --classes or --void as they are."
            )
        values[values == void] = VOID
        if values.shape != size:
            rows, columns = (
                ((np.arange(n) + 0.5) * old / n).astype(np.int64)
                for n, old in zip(size, values.shape, strict=True)
            )
            values = values[rows[:, None], columns]
        return values.astype(np.uint8)

    return open_pairs(images, masks, size, read)


def segment(
    encoder: Encoder,
    train: Pairs,
    test: Pairs,
    classes: int,
    *,
    recipe: Recipe = Recipe(),
    seed: int = 0,
    device: str | torch.device = "cpu",
) -> tuple[Segmentation, Tensor]:
    """Train an FCN that begins with the encoder, and score it once, after its last step.

    The encoder given stays as it is. Test images are seen whole, at the size they are held in, and
    scored there.

    Args:
        encoder: of images with three channels; a ResNet's last stage is dilated.
        train, test: images and masks (:func:`open_masks`).
        classes: K.
        recipe: how it is trained.
        seed: of the head, the order, the crops and the interval.
        device: where.

    Returns:
        the scores, and the classes found: uint8 ``[N, H, W]``.

    Raises:
        UsageError: the encoder has no map of places, or no training pixel has a class.
    """
    if not bool((train.targets != VOID).any()):
        raise UsageError("Every pixel of the training masks is void; check --void.")
    if not bool((test.targets != VOID).any()):
        raise UsageError("Every pixel of the test masks is void; check --void.")
    device = torch.device(device)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = _network(encoder, classes, train.images.shape[-2:]).to(device)
    _fit(net, encoder, train, recipe, seed, device)
    with torch.inference_mode():
        found = torch.cat([
            net(normalised(images, encoder, device)).argmax(1).cpu()
            for images in parts(test.images)
        ])  # fmt: skip
    counts = confusion(found, test.targets.long(), classes, VOID)
    return Segmentation.of(counts, seed), found.to(torch.uint8)


def _network(encoder: Encoder, classes: int, size: Sequence[int]) -> FCN:
    side = min(encoder.preprocessing.size, *size)
    backbone = copy.deepcopy(encoder.backbone)
    return FCN(FeatureMap(backbone, dilate=True, size=max(side, 32)), classes)


def _fit(
    net: FCN, encoder: Encoder, train: Pairs, recipe: Recipe, seed: int, device: torch.device
) -> None:
    net.train()
    if recipe.frozen:
        net.features.requires_grad_(False).eval()
    crop = recipe.crop or min(train.images.shape[-2:])
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.SGD(
        [p for p in net.parameters() if p.requires_grad],
        lr=recipe.rate, momentum=0.9, weight_decay=recipe.decay,
    )  # fmt: skip
    for step in range(recipe.steps):
        done = step / recipe.steps
        optimizer.param_groups[0]["lr"] = (
            recipe.rate * (0.1 if done >= 0.7 else 1.0) * (0.1 if done >= 0.9 else 1.0)
        )
        rows = torch.randint(0, len(train), (recipe.batch,), generator=generator)
        cut = [
            crop_both(train.images[row], train.targets[row], crop, recipe.scales, generator)
            for row in rows.tolist()
        ]
        images, masks = (torch.stack(part) for part in zip(*cut, strict=True))
        logits = net(normalised(images, encoder, device))
        truth = masks.to(device).long()
        # A batch of void alone has no mean.
        loss = F.cross_entropy(logits, truth, ignore_index=VOID, reduction="sum")
        loss = loss / (truth != VOID).sum().clamp(min=1)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
    net.eval()


def crop_both(
    image: Tensor,
    mask: Tensor,
    side: int,
    scales: tuple[float, float],
    generator: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """One random scaling, crop and flip of an image and its mask.

    Args:
        image: uint8 ``[C, H, W]``; resampled bilinearly, antialiased.
        mask: uint8 ``[H, W]``; by the nearest pixel.
        side: of the crop; what lies outside the image is its mean, and void.
        scales: smallest and largest.
        generator: draws scale, corner and flip.

    Returns:
        uint8 ``[C, side, side]`` and ``[side, side]``.
    """
    draws = torch.rand(4, generator=generator).tolist()
    scale = scales[0] + draws[0] * (scales[1] - scales[0])
    size = [max(1, round(scale * edge)) for edge in mask.shape]
    pixels = F.interpolate(
        image[None].float(), size, mode="bilinear", antialias=True, align_corners=False
    )[0]
    labels = F.interpolate(mask[None, None].float(), size, mode="nearest-exact")[0, 0]
    short = [max(0, side - edge) for edge in size]
    pad = (0, short[1], 0, short[0])
    grey = pixels.mean()
    pixels = F.pad(pixels, pad, value=float(grey))
    labels = F.pad(labels, pad, value=VOID)
    top, left = (
        int(draw * (edge + more - side + 1))
        for draw, edge, more in zip(draws[1:3], size, short, strict=True)
    )
    pixels = pixels[:, top : top + side, left : left + side].round().clamp(0, 255).to(image.dtype)
    labels = labels[top : top + side, left : left + side].to(mask.dtype)
    if draws[3] < 0.5:
        pixels, labels = pixels.flip(-1), labels.flip(-1)
    return pixels, labels
