"""Doubles and oddities that a look at the features has found in the data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ownlatent.checks import damaged, read_json
from ownlatent.report.pictures import Picture
from ownlatent.report.words import figure, is_number, percent

_MEASURES = {
    "rankme": ("RankMe", "effective number of directions"),
    "effective_rank": ("RankMe, centred", "without their mean"),
    "lidar": ("LiDAR", "directions that tell images apart under augmentation"),
    "uniformity": ("uniformity", "0: all in one direction"),
    "alignment": ("alignment", "0: views of an image are one"),
    "feature_std": ("spread", "1: evenly; 0: all in one direction"),
    "purity": ("purity, %", "of the 10 nearest neighbours, with the same label"),
}
_SHOWN = 8


@dataclass(frozen=True)
class Oddities:
    """What ``diagnostics.json`` holds, with the images that it names.

    Attributes:
        samples: how many there are.
        measures: (name, meaning, figure).
        count: pairs of doubles.
        doubles: (image, image, names, cosine), the nearest first.
        outliers: (image, name, mean cosine to its neighbours), the least first.
    """

    samples: int
    measures: list[tuple[str, str, str]]
    count: int
    doubles: list[tuple[Picture, Picture, str, float]]
    outliers: list[tuple[Picture, str, float]]


def read_oddities(
    path: Path, data: str | None, named: Callable[[str], Picture | None]
) -> Oddities | None:
    """From a run's ``diagnostics.json``; None where there is none.

    Args:
        data: fingerprint of the images at hand; pictures are shown only of the same.
        named: an image by its name.

    Raises:
        UsageError: the file is damaged.
    """
    if not path.is_file():
        return None
    held: Any = read_json(path)
    same = data == held.get("data")
    try:
        pairs = held["doubles"]["nearest"][: _SHOWN if same else 0]
        doubles = [(named(a), named(b), f"{a}, {b}", cosine) for a, b, cosine in pairs]
        outliers = [
            (named(name), name, cosine)
            for name, cosine in held["outliers"][: _SHOWN if same else 0]
        ]
        return Oddities(
            samples=held["features"][0],
            measures=[
                (name, meaning, percent(value) if key == "purity" else figure(value))
                for key, (name, meaning) in _MEASURES.items()
                if is_number(value := held.get(key))
            ],
            count=held["doubles"]["count"],
            doubles=[(a, b, n, c) for a, b, n, c in doubles if a is not None and b is not None],
            outliers=[(image, n, c) for image, n, c in outliers if image is not None],
        )
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise damaged(path, str(error)) from error
