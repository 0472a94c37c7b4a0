"""Depth from one image: fast up-projection on the encoder, reverse Huber loss, the usual errors."""

import copy
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.transforms import v2

from ownlatent.encoder import Encoder
from ownlatent.errors import UsageError
from ownlatent.evaluation.dense.pairs import Pairs, normalised, open_pairs, opened, parts
from ownlatent.networks.maps import FeatureMap

WIDTHS = (512, 256, 128, 64)
"""Of the up-projections from stride 32 to 2; from a finer map on, the last ones."""
_LEAST = 1e-3
"""Metres: no prediction is nearer, so that ratios and logarithms are finite."""


@dataclass(frozen=True)
class Recipe:
    """BYOL's (appendix D.6) but for its length: 7,500 steps of 256.

    Attributes:
        steps: of the optimizer.
        batch: images of a step.
        rate: learning rate at a batch of 256, decayed by half a cosine.
        decay: L2 penalty.
    """

    steps: int = 300
    batch: int = 8
    rate: float = 0.16
    decay: float = 5e-4


class UpProjection(nn.Module):
    """Twice the side (Laina et al., 2016, section 3.2): a residual block on an unpooled map.

    Their fast form, without multiplying zeros: convolutions of 3x3, 2x3, 3x2 and 2x2 at the lower
    resolution, interleaved. A 5x5 convolution of the map with zeros between its places is the same.

    Args:
        inputs, outputs: channels.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = _Interleaved(inputs, outputs)
        self.norm = nn.BatchNorm2d(outputs)
        self.second = nn.Sequential(
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs)
        )
        self.shortcut = nn.Sequential(_Interleaved(inputs, outputs), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """``[B, inputs, h, w]`` to ``[B, outputs, 2h, 2w]``."""
        carried = self.second(torch.relu(self.norm(self.first(x))))
        return torch.relu(carried + self.shortcut(x))


class _Interleaved(nn.Module):
    """Four small convolutions whose outputs lie side by side: a 5x5 one after unpooling."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        sizes = ((3, 3), (3, 2), (2, 3), (2, 2))
        self.parts = nn.ModuleList(nn.Conv2d(inputs, outputs, size, bias=False) for size in sizes)

    def forward(self, x: Tensor) -> Tensor:
        made = []
        for conv in self.parts.children():
            height, width = conv.kernel_size  # type: ignore[misc]
            # An even kernel looks at the place itself and at the one after it.
            made.append(conv(F.pad(x, (int(width == 3), 1, int(height == 3), 1))))
        stacked = torch.stack(made, 2).flatten(1, 2)  # place within 2 x 2 varies faster
        return F.pixel_shuffle(stacked, 2)


class DepthNet(nn.Module):
    """The encoder's map, up-projections to half the image's side and a convolution:
    ``[B, 3, H, W]`` to metres ``[B, H, W]``."""

    def __init__(self, features: FeatureMap) -> None:
        super().__init__()
        self.features = features
        layers: list[nn.Module] = []
        inputs = features.channels
        count = max(0, round(math.log2(features.stride)) - 1)
        for width in WIDTHS[max(0, len(WIDTHS) - count) :]:
            layers.append(UpProjection(inputs, width))
            inputs = width
        self.head = nn.Sequential(*layers, nn.Conv2d(inputs, 1, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.head(self.features(x)).float()
        return F.interpolate(found, x.shape[2:], mode="bilinear", align_corners=False)[:, 0]


def berhu(found: Tensor, truth: Tensor, known: Tensor) -> Tensor:
    """Reverse Huber loss (Laina et al., equation 1): ``|e|`` up to c, ``(e^2 + c^2) / 2c`` beyond.

    c is a fifth of the largest error in the batch.

    Args:
        found, truth: float ``[B, H, W]``.
        known: bool, the pixels that count.

    Returns:
        Scalar, the mean; 0 where nothing is known or nothing is wrong.
    """
    error = (found - truth).abs().where(known, 0)
    c = error.detach().max() / 5
    wide = (error.square() + c.square()) / (2 * c.clamp(min=1e-12))
    return error.where(error <= c, wide).sum() / known.sum().clamp(min=1)


@dataclass(frozen=True)
class Errors:
    """Errors over all known pixels of a test set; n of them.

    Attributes:
        rel: mean of ``|d' - d| / d``.
        rms: root of the mean of ``(d' - d)^2``, in metres.
        log10: mean of ``|log10 d' - log10 d|``; BYOL does not report it.
        delta: shares with ``max(d' / d, d / d') < 1.25, 1.25^2, 1.25^3``.
        n: pixels.
    """

    rel: float
    rms: float
    log10: float
    delta: tuple[float, float, float]
    n: int

    @classmethod
    def of(cls, found: Tensor, truth: Tensor) -> "Errors":
        """From metres ``[N, H, W]``; what is not a number, not finite or not above 0 is unknown.

        Raises:
            UsageError: nothing is known.
        """
        known = truth.isfinite() & (truth > 0)
        if not bool(known.any()):
            raise UsageError("No pixel of the test set has a depth; check the folder and --unit.")
        a, b = found[known].double(), truth[known].double()
        ratio = torch.maximum(a / b, b / a)
        near, nearer, nearest = (
            (ratio < 1.25**power).double().mean().item() for power in (1, 2, 3)
        )
        return cls(
            rel=((a - b).abs() / b).mean().item(),
            rms=(a - b).square().mean().sqrt().item(),
            log10=(a.log10() - b.log10()).abs().mean().item(),
            delta=(near, nearer, nearest),
            n=len(a),
        )


def open_depth(
    images: str | Path, depth: str | Path, unit: float, size: tuple[int, int] | None
) -> Pairs:
    """Images and what was measured at each pixel: float32 metres, NaN where nothing was.

    Args:
        images, depth: folders; files go together by name. Depth is in one channel, 0 where unknown.
        unit: metres of a step: 0.001 for millimetres.
        size: height and width that both are brought to; depth by the nearest pixel.

    Raises:
        UsageError: see :func:`open_pairs`; or a depth image is in colour, or the unit not above 0.
    """
    if not 0 < unit < math.inf:
        raise UsageError(f"The unit is metres of a step, such as 0.001; got {unit}.")

    def read(file: Path, size: tuple[int, int]) -> np.ndarray:
        with opened(file) as image:
            if image.mode not in ("L", "I", "F") and not image.mode.startswith("I;16"):
                raise UsageError(f"{file} is in colour ({image.mode}); depth has one channel.")
            values = np.array(image).astype(np.float32) * unit
        values[~(values > 0)] = np.nan
        rows, columns = (
            ((np.arange(n) + 0.5) * old / n).astype(np.int64)
            for n, old in zip(size, values.shape, strict=True)
        )
        resized: np.ndarray = values[rows[:, None], columns]
        return resized

    return open_pairs(images, depth, size, read)


def estimate_depth(
    encoder: Encoder,
    train: Pairs,
    test: Pairs,
    *,
    recipe: Recipe = Recipe(),
    seed: int = 0,
    device: str | torch.device = "cpu",
) -> tuple[Errors, Tensor]:
    """Train a depth network that begins with the encoder, and score it once, at the last step.

    The encoder given stays as it is. Flips, and BYOL's colours: gray in 3 of 10, brightness within
    0.1255 (as a factor), saturation from 0.5 to 1.5, hue within a fifth of the circle.

    Returns:
        the errors, and what was found: float32 ``[N, H, W]`` metres.

    Raises:
        UsageError: the encoder has no map of places, or no pixel has a depth.
    """
    known = train.targets.isfinite()
    if not bool(known.any()):
        raise UsageError("No pixel of the training set has a depth; check the folder and --unit.")
    device = torch.device(device)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        side = max(32, min(encoder.preprocessing.size, *train.images.shape[-2:]))
        net = DepthNet(FeatureMap(copy.deepcopy(encoder.backbone), size=side))
        # It begins at the mean depth: the head has nothing to learn before it learns differences.
        last = net.head[-1]
        nn.init.constant_(last.bias, float(train.targets[known].mean()))  # type: ignore[arg-type]
        net.to(device)
        _fit(net, encoder, train, recipe, device)
    with torch.inference_mode():
        found = torch.cat([
            net(normalised(images, encoder, device)).cpu() for images in parts(test.images)
        ]).clamp(min=_LEAST)  # fmt: skip
    return Errors.of(found, test.targets), found


def _fit(
    net: DepthNet, encoder: Encoder, train: Pairs, recipe: Recipe, device: torch.device
) -> None:
    """With torch's generator, which is seeded."""
    net.train()
    colours = v2.Compose([
        v2.RandomGrayscale(0.3),
        v2.ColorJitter(brightness=0.1255, saturation=0.5, hue=0.2),
    ])  # fmt: skip
    optimizer = torch.optim.SGD(
        net.parameters(), lr=recipe.rate, momentum=0.9, weight_decay=recipe.decay
    )
    peak = recipe.rate * recipe.batch / 256
    for step in range(recipe.steps):
        optimizer.param_groups[0]["lr"] = peak * (
            0.5 + 0.5 * math.cos(math.pi * step / recipe.steps)
        )
        rows = torch.randint(0, len(train), (recipe.batch,))
        flips = torch.rand(recipe.batch) < 0.5
        images = torch.stack([colours(image) for image in train.images[rows]])
        truth = train.targets[rows]
        images = torch.where(flips.view(-1, 1, 1, 1), images.flip(-1), images)
        truth = torch.where(flips.view(-1, 1, 1), truth.flip(-1), truth).to(device)
        known = truth.isfinite()
        loss = berhu(net(normalised(images, encoder, device)), truth.where(known, 0), known)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
    net.eval()
