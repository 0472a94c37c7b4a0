"""What the views lose: against torchvision, against the reference pipeline, and by their canvas.

    python benchmarks/fidelity.py FOLDER_OF_PHOTOS [--out benchmarks/results/fidelity.md]

Differences are in grey levels, 255 to the range, over all pixels and channels. Nothing is timed.
"""

import argparse
import math
import os
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torchvision.transforms.v2.functional
from torch import Tensor

from ownlatent.data import decode_canvases, open_source
from ownlatent.data.canvas import CanvasShape, to_canvas
from ownlatent.demo import TEST
from ownlatent.training.provenance import processor
from ownlatent.views import RECIPES, Recipe, Views, recipes
from ownlatent.views.bands import banded_views
from ownlatent.views.colour import Colour, rotation
from ownlatent.views.draw import Draw, draw
from ownlatent.views.geometry import blur_radius, blurring, resampling

SIZE = 224
SIDES = (258, 314, 392)  # 1.15, 1.4 and 1.75 times the view
AREAS = ((0.08, 0.2), (0.2, 0.5), (0.5, 1.0))
CROPS = 2  # per photo and range of areas
EPOCHS = 2
BICUBIC = torchvision.transforms.InterpolationMode.BICUBIC
F: Any = torchvision.transforms.v2.functional


class Photo(NamedTuple):
    """An image as decoded, uint8 ``[3, H, W]``."""

    pixels: Tensor

    @property
    def aspect(self) -> float:
        height, width = self.pixels.shape[1:]
        return max(height, width) / min(height, width)

    def strip(self) -> "Photo":
        """The middle third of its height, or of its width if that is the shorter: near 3:1."""
        long, short = max(self.pixels.shape[1:]), min(self.pixels.shape[1:])
        axis = 1 if self.pixels.shape[1] == short else 2
        kept = max(1, long // 3)
        return Photo(self.pixels.narrow(axis, (short - kept) // 2, kept))


def read(folder: Path) -> list[Photo]:
    source = open_source(folder)
    images = (torch.from_numpy(source.read(row)).contiguous() for row in range(len(source)))
    return [Photo(image.repeat(3 // len(image), 1, 1)) for image in images]


def one_box(photo: Photo, number: int, count: int = 1) -> Draw:
    """Views of BYOL's T drawn for an image in its own size."""
    size = tuple(photo.pixels.shape[1:])
    return draw(
        recipes("byol")[0],
        0,
        torch.arange(count) + 1000 * number,
        torch.tensor(size).expand(count, 2),
        (size[0], size[1]),
        epoch=torch.tensor(0),
        seed=torch.tensor(0),
    )


class Differences:
    """Absolute differences in grey levels, gathered."""

    def __init__(self) -> None:
        self.levels: list[Tensor] = []

    def add(self, a: Tensor, b: Tensor, scale: float = 255.0) -> None:
        self.levels.append((a - b).abs().flatten() * scale)

    def mean(self) -> float:
        return float(torch.cat(self.levels).mean())

    def rms(self) -> float:
        return float(torch.cat(self.levels).square().mean().sqrt())

    def most(self) -> float:
        return float(torch.cat(self.levels).max())

    def p99(self) -> float:
        return float(np.quantile(torch.cat(self.levels).numpy(), 0.99))


def table(heads: list[str], rows: list[list[str]]) -> str:
    lines = [heads, [":--"] + ["--:"] * (len(heads) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


# 1. Geometry and blur.


def against_torchvision(photos: list[Photo]) -> str:
    kinds = ("crop, resize, flip: dense", "crop, resize, flip: banded", "blur of 23 taps")
    found = {kind: Differences() for kind in kinds}
    every = torch.tensor([torch.inf])
    as_they_are = Colour(torch.eye(3)[None], torch.zeros(1, 3, 3), torch.zeros(1, 3))
    for number, photo in enumerate(photos):
        d, image = one_box(photo, number), photo.pixels.float()
        box = [round(float(x)) for x in (d.top, d.left, d.height, d.width)]
        expected = F.resized_crop(image, *box, [SIZE, SIZE], BICUBIC, antialias=True)
        expected = F.horizontal_flip(expected) if d.flip else expected
        y = resampling(d.top, d.height, None, SIZE, image.shape[1])[0]
        x = resampling(d.left, d.width, d.flip, SIZE, image.shape[2])[0]
        found[kinds[0]].add(y @ image @ x.T, expected, 1)
        sharp = d._replace(sigma=0 * d.sigma, solarize=d.solarize & False)
        (banded,) = banded_views(photo.pixels[None], sharp, as_they_are, SIZE, -every, every)
        found[kinds[1]].add(banded, expected, 1)
        taps, matrix = 2 * blur_radius(SIZE) + 1, blurring(d.sigma, SIZE)[0]
        blurred = F.gaussian_blur(expected, [taps, taps], [float(d.sigma)] * 2)
        found[kinds[2]].add(matrix @ expected @ matrix.T, blurred, 1)
    rows = [[kind, f"{each.mean():.6f}", f"{each.most():.5f}"] for kind, each in found.items()]
    return table([f"against torchvision, {SIZE} px", "mean", "largest"], rows)


# 2. One clamp and a linear hue, against a clamp after every operation and the hue of HSV.


def only_clamp(recipe: Recipe) -> Recipe:
    return replace(recipe, hue=0.0, solarize=0.0)


def only_hue(recipe: Recipe) -> Recipe:
    return replace(
        recipe, brightness=0.0, contrast=0.0, saturation=0.0, grayscale=0.0, solarize=0.0
    )


def as_it_is(recipe: Recipe) -> Recipe:
    return recipe


def against_reference(photos: Path) -> str:
    large = decode_canvases(open_source(photos), side=SIDES[0]).pixels
    small = decode_canvases(open_source(TEST)).pixels[:500]
    rows = []
    for name, canvases, size in (("byol", large, SIZE), ("cifar-byol", small, 32)):
        for change in (only_clamp, only_hue, as_it_is):
            changed = [change(recipe) for recipe in RECIPES[name]]
            found, moved = Differences(), []
            for epoch in range(EPOCHS):
                for part in torch.arange(len(canvases)).split(50):
                    fast, slow = (
                        torch.cat(Views(changed, size, reference=r)(canvases[part], part, epoch, 0))
                        for r in (False, True)
                    )
                    found.add(fast, slow)
                    moved.append((fast - slow).mean(dim=(2, 3)).abs().mean() * 255)
            cells = [found.mean(), found.p99(), float(torch.stack(moved).mean())]
            label = change.__name__.replace("_", " ")
            rows.append([f"{name}, {size} px: {label}", *(f"{cell:.2f}" for cell in cells)])
    return table(["fast against reference", "mean", "99th percentile", "a channel's mean"], rows)


def bases() -> dict[str, Tensor]:
    """Rows: luma and two chroma axes. The hue turns in the plane of the last two."""
    gray = [[3**-0.5] * 3, [(2 / 3) ** 0.5, -(6**-0.5), -(6**-0.5)], [0.0, -(2**-0.5), 2**-0.5]]
    luma = [0.299, 0.587, 0.114]
    return {
        "the grey axis (1, 1, 1)": torch.tensor(gray),
        "YCbCr": torch.tensor([luma, [0.5, -0.4187, -0.0813], [-0.1687, -0.3313, 0.5]]),
        "YIQ": torch.tensor([luma, [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]]),
    }


def turned(basis: Tensor) -> Callable[[float], Tensor]:
    def matrix(turns: float) -> Tensor:
        cos, sin = math.cos(turns * math.tau), math.sin(turns * math.tau)
        turn = torch.tensor([[1.0, 0.0, 0.0], [0.0, cos, sin], [0.0, -sin, cos]])
        return torch.linalg.inv(basis) @ turn @ basis

    return matrix


def hues(photos: list[Photo]) -> str:
    images = torch.stack([F.resize(photo.pixels, [96, 96]) for photo in photos]).float() / 255
    kinds = {"none": lambda turns: torch.eye(3)} | {
        f"a rotation about {name}" if "axis" in name else f"a rotation in {name}": turned(basis)
        for name, basis in bases().items()
    }
    rows = []
    for name, matrix in kinds.items():
        found = Differences()
        for turns in (-0.1, -0.075, -0.05, -0.025, 0.025, 0.05, 0.075, 0.1):
            linear = torch.einsum("ij,bjhw->bihw", matrix(turns), images).clamp(0, 1)
            found.add(linear, F.adjust_hue(images, turns))
        used = torch.allclose(matrix(0.07), rotation(torch.tensor([0.07]))[0], atol=1e-3)
        label = name + (" (used here)" if used else "")
        rows.append([label, f"{found.mean():.2f}", f"{found.rms():.2f}"])
    return table(["hue turned by -0.1 to 0.1, against HSV", "mean", "root mean square"], rows)


# 3. The canvas, against cropping the original.


def boxes(photo: Photo, number: int) -> Iterator[tuple[int, list[Tensor]]]:
    """For each range of areas some boxes, each as (range, [top, height, left, width])."""
    d = one_box(photo, number, 200)
    area = d.height * d.width / photo.pixels[0].numel()
    for which, (low, high) in enumerate(AREAS):
        for index in ((area >= low) & (area <= high)).nonzero().flatten()[:CROPS]:
            yield which, [x[index : index + 1] for x in (d.top, d.height, d.left, d.width)]


def cut(image: Tensor, box: list[Tensor]) -> Tensor:
    y = resampling(box[0], box[1], None, SIZE, image.shape[1])[0]
    x = resampling(box[2], box[3], None, SIZE, image.shape[2])[0]
    return (y @ image.float() @ x.T).clamp(0, 255)


def canvas_cost(photos: list[Photo]) -> str:
    groups = {
        "squarer than 1.6:1": [photo for photo in photos if photo.aspect < 1.6],
        "longer than 1.6:1": [photo for photo in photos if photo.aspect >= 1.6],
        "3:1 strips cut from all": [photo.strip() for photo in photos],
    }
    rows = []
    for name, group in groups.items():
        found: dict[tuple[int, int], list[float]] = defaultdict(list)
        for number, photo in enumerate(group):
            canvases = {
                side: torch.from_numpy(
                    to_canvas(photo.pixels.numpy(), CanvasShape(3, side, side, 8)).copy()
                )
                for side in SIDES
            }
            scale = [1 / photo.pixels.shape[1]] * 2 + [1 / photo.pixels.shape[2]] * 2
            for which, box in boxes(photo, number):
                original = cut(photo.pixels, box)
                for side, canvas in canvases.items():
                    squeezed = [x * each * side for x, each in zip(box, scale, strict=True)]
                    error = (cut(canvas, squeezed) - original).square().mean()
                    found[which, side].append(10 * math.log10(255**2 / max(float(error), 1e-4)))
        for which, (low, high) in enumerate(AREAS):
            cells = [f"{np.mean(found[which, side]):.1f}" for side in SIDES]
            rows.append([f"{name} ({len(group)}), crop {low:g} to {high:g}", *cells])
    heads = [f"canvas {side} ({side / SIZE:.2f} x)" for side in SIDES]
    return table(["PSNR in dB, mean over crops", *heads], rows)


TEXT = """# Fidelity of the views

`python benchmarks/fidelity.py FOLDER` on {count} photos (one of each of as many ImageNet classes, \
as published) and, at 32 px, on 500 test images of the CIFAR-10 sample; {machine}. Grey levels are \
of 255.

## Geometry and blur
{geometry}
## One clamp, linear hue
The fast path clamps once and turns the hue by a matrix; the reference clamps after every \
operation and turns the hue of HSV. The same drawn parameters, {epochs} epochs, both views; \
"only clamp" has no hue and no solarize, "only hue" nothing else but crop, flip and blur.

{reference}
{hues}
## Canvas
A {size} px view cut from a square canvas, against the same crop cut from the original.

{canvas}"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("photos", type=Path)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/fidelity.md"))
    options = parser.parse_args()
    photos = read(options.photos)
    text = TEXT.format(
        count=len(photos),
        machine=f"{os.cpu_count()} cores ({processor()}), torch {torch.__version__}",
        epochs=EPOCHS,
        size=SIZE,
        geometry=against_torchvision(photos),
        reference=against_reference(options.photos),
        hues=hues(photos),
        canvas=canvas_cost(photos),
    )
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(text)
    print(text)


if __name__ == "__main__":
    main()
