"""A few of the images that were scored, with what is known of them and what was found."""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ownlatent.evaluation.dense.boxes import Boxed
from ownlatent.evaluation.dense.pairs import Pairs

COUNT = 6
SURE = 0.5
"""Score from which on a box is worth showing."""

Examples = list[dict[str, Any]]
"""Of each image: ``image``, ``truth`` and ``found`` by features. Images, masks and depths are names
of PNG files; boxes are left, top, right, bottom, class, and of those found the score."""


def write_pairs(
    folder: Path, test: Pairs, found: Mapping[str, Tensor], form: Callable[[Tensor], Image.Image]
) -> Examples:
    """Write images, targets and predictions ``[N, H, W]``, each in the form that it has on disk."""
    _clear(folder)

    def write(picture: Image.Image, name: str) -> str:
        picture.save(folder / name)
        return name

    return [
        {
            "image": write(_image(test.images[row]), f"{number}-image.png"),
            "truth": write(form(test.targets[row]), f"{number}-truth.png"),
            "found": {
                features: write(form(each[row]), f"{number}-found-{place}.png")
                for place, (features, each) in enumerate(found.items())
            },
        }
        for number, row in enumerate(_rows(len(test)))
    ]


def write_boxes(
    folder: Path, test: Boxed, found: Mapping[str, list[dict[str, Tensor]]]
) -> Examples:
    """Write images; boxes are in what is returned."""
    _clear(folder)
    made = []
    for number, row in enumerate(_rows(len(test))):
        _image(test.images[row]).save(folder / f"{number}-image.png")
        truth = zip(test.boxes[row].tolist(), test.labels[row].tolist(), strict=True)
        made.append({
            "image": f"{number}-image.png",
            "truth": [[*box, label] for box, label in truth],
            "found": {features: _boxes(each[row]) for features, each in found.items()},
        })  # fmt: skip
    return made


def mask(values: Tensor) -> Image.Image:
    """Class numbers in one channel."""
    return Image.fromarray(values.to(torch.uint8).numpy())


def millimetres(metres: Tensor) -> Image.Image:
    """16 bit, 0 where nothing is known."""
    values = (metres.nan_to_num(0) * 1000).round().clamp(0, 2**16 - 1)
    return Image.fromarray(values.numpy().astype(np.uint16))


def _boxes(found: Mapping[str, Tensor]) -> list[list[float]]:
    sure = found["scores"] >= SURE
    numbers = [found["boxes"][sure], found["labels"][sure, None], found["scores"][sure, None]]
    rows: list[list[float]] = torch.cat([n.float() for n in numbers], 1).tolist()
    return rows


def _image(pixels: Tensor) -> Image.Image:
    return Image.fromarray(pixels.movedim(0, -1).contiguous().numpy())


def _rows(count: int) -> list[int]:
    """Spread evenly over the test set."""
    rows: list[int] = torch.linspace(0, count - 1, min(COUNT, count)).round().long().tolist()
    return rows


def _clear(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
