"""Segmentation, depth and detection: their figures, and what was found drawn over the images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from ownlatent.checks import damaged, read_json
from ownlatent.evaluation.dense.run import DENSE
from ownlatent.evaluation.dense.segmentation import VOID
from ownlatent.report.pictures import Picture, heat
from ownlatent.report.words import is_number

_SAID = {"features", "protocol", "seed", "n_train", "n_test", "details", "by class", "pixels"}
_METRES = ("rms",)
_PLAIN = ("rel", "log10")
_SIDE = 360  # pixels of a picture's longer side, at least: lines over it are to stay thin
_OPAQUE = 0.6

Colour = tuple[int, int, int]

_COLOURS: list[Colour] = [
    (214, 69, 65), (52, 101, 196), (240, 180, 40), (46, 160, 110), (150, 80, 190), (40, 190, 210),
    (235, 120, 40), (235, 110, 190), (140, 190, 50), (120, 80, 50), (110, 120, 135), (20, 90, 90),
]  # fmt: skip


@dataclass(frozen=True)
class Places:
    """One dense protocol.

    Attributes:
        protocol: its name.
        details: how its heads were trained.
        header, rows: a table: features, then figures.
        captions: of the columns of pictures.
        pictures: rows of them.
        legend: (class, colour in hex).
        scale: what the ends of the colours of depth mean, in metres.
    """

    protocol: str
    details: str
    header: list[str]
    rows: list[list[str]]
    captions: list[str]
    pictures: list[list[Picture]]
    legend: list[tuple[str, str]]
    scale: tuple[float, float] | None


def read_places(run: Path) -> list[Places]:
    """Of every dense protocol that the run was measured by.

    Raises:
        UsageError: a file is damaged.
    """
    made = []
    for protocol in DENSE:
        path = run / f"evaluation-{protocol}.json"
        if path.is_file():
            try:
                made.append(_places(protocol, read_json(path), path.with_suffix("")))
            except (KeyError, TypeError, ValueError, IndexError, OSError) as error:
                raise damaged(path, str(error)) from error
    return made


def colour(number: int) -> Colour:
    """Of a class: twelve colours, then the same lighter, and lighter again."""
    light = 1 - 0.6 ** (number // len(_COLOURS))
    red, green, blue = (
        round(part + light * (255 - part)) for part in _COLOURS[number % len(_COLOURS)]
    )
    return red, green, blue


def masked(image: Picture, mask: NDArray[np.uint8]) -> Picture:
    """Classes' colours over a grey image ``[H, W, 3]``; void ``[H, W]`` is dark."""
    grey = image.mean(axis=2, keepdims=True)
    table = np.array([colour(number) for number in range(256)], dtype=np.float64)
    table[VOID] = 0
    mixed = (1 - _OPAQUE) * grey + _OPAQUE * table[mask]
    return _filled(mixed.round().astype(np.uint8))


def boxed(image: Picture, boxes: Sequence[Sequence[float]]) -> Picture:
    """Boxes: left, top, right, bottom, class, in pixels of the image ``[H, W, 3]``."""
    larger = Image.fromarray(_filled(image))
    scale = larger.width / image.shape[1]
    draw = ImageDraw.Draw(larger)
    for left, top, right, bottom, number, *_ in boxes:
        draw.rectangle([scale * end for end in (left, top, right, bottom)],
                       outline=colour(int(number)), width=2)  # fmt: skip
    return np.asarray(larger)


def ranged(depth: NDArray[np.float64], low: float, high: float) -> Picture:
    """Near is dark and far is light; black where nothing is known (0): ``[H, W]`` metres."""
    strength = np.clip((depth - low) / max(high - low, 1e-9), 0, 1)
    drawn = heat(0.1 + 0.9 * strength)
    drawn[depth <= 0] = 0
    return _filled(drawn.round().astype(np.uint8))


def _places(protocol: str, held: Any, folder: Path) -> Places:
    results, examples = held["results"], held.get("examples", [])
    if not folder.is_dir():  # its pictures were taken away, the figures stand
        examples = []
    names = [name for name in results[0] if name not in _SAID | {"low", "high"}]
    captions = ["image", "truth", *(examples[0]["found"] if examples else ())]
    draw, scale = _drawing(protocol, examples, folder)
    classes: list[str] = held.get("classes", []) if examples else []
    return Places(
        protocol=protocol,
        details=results[0]["details"],
        header=["features", *names, "trained on", "scored on"],
        rows=[
            [
                row["features"], *(_figure(row, name) for name in names),
                f"{row['n_train']:,}", f"{row['n_test']:,}",
            ]
            for row in results
        ],
        captions=captions,
        pictures=[
            [
                _filled(image),
                *(draw(image, each) for each in (example["truth"], *example["found"].values())),
            ]
            for example in examples
            for image in [_read(folder / example["image"])]
        ],
        legend=[(name, "#{:02x}{:02x}{:02x}".format(*colour(n))) for n, name in enumerate(classes)],
        scale=scale,
    )  # fmt: skip


def _drawing(
    protocol: str, examples: list[Any], folder: Path
) -> tuple[Callable[[Picture, Any], Picture], tuple[float, float] | None]:
    """How a target or a prediction is drawn over its image."""
    if protocol == "segmentation":
        return lambda image, file: masked(image, _read(folder / file)), None
    if protocol == "detection":
        return boxed, None

    def metres(file: str) -> NDArray[np.float64]:
        values: NDArray[np.float64] = _read(folder / file).astype(np.float64) / 1000
        return values

    known = [metres(example["truth"]) for example in examples]
    known = [values[values > 0] for values in known if (values > 0).any()]
    low = min((float(values.min()) for values in known), default=0.0)
    high = max((float(values.max()) for values in known), default=1.0)
    return lambda _, file: ranged(metres(file), low, high), (low, high)


def _figure(row: dict[str, Any], name: str) -> str:
    value = row[name]
    if not is_number(value):
        return "\N{EN DASH}"
    if name in _METRES:
        return f"{value:.3f} m"
    if name in _PLAIN:
        return f"{value:.3f}"
    interval = f" ({100 * row['low']:.1f} to {100 * row['high']:.1f})" if name == "mIoU" else ""
    return f"{100 * value:.1f} %{interval}"


def _read(file: Path) -> Any:
    with Image.open(file) as image:
        return np.array(image)


def _filled(array: Picture) -> Picture:
    """Enlarged by a whole number, so that what is drawn over it is thin and pixels stay pixels."""
    times = max(1, -(-_SIDE // max(array.shape[:2])))
    larger: Picture = array.repeat(times, axis=0).repeat(times, axis=1)
    return larger
