"""The parts of a drawing: round ticks, their text, and paths in a square of 1000 units.

The page stretches the square to the width at hand while its text keeps its size, so one drawing
serves a phone, a desktop and paper.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

UNIT = 1000  # the square's side in drawing units


@dataclass(frozen=True)
class Line:
    """One line of a panel, ready to draw: positions in per cent from the left and the bottom."""

    name: str  # empty where a panel has one line
    style: str  # a class of the style sheet: colour and dashes
    path: str
    band: str  # least to greatest value where points were averaged; empty when none were
    end: tuple[float, float]  # the last point, per cent
    last: str  # where it ended, in words


@dataclass(frozen=True)
class Panel:
    """One drawing with its axes."""

    title: str
    lines: list[Line]
    across: str  # what the horizontal axis counts
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]
    summary: str  # read out in place of the drawing


def ticks(low: float, high: float, *, count: int = 4, whole: bool = False) -> list[float]:
    """Round numbers, about ``count`` steps of 1, 2 or 5 times a power of ten, around the range.

    A range without width is widened, so that a constant has an axis too.
    """
    if high - low <= 1e-9 * max(abs(low), abs(high), 1e-30):
        room = abs(low) / 10 or 1.0
        low, high = low - room, high + room
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = power * next(factor for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    step = max(step, 1.0) if whole else step
    first, last = math.floor(low / step + 1e-6), math.ceil(high / step - 1e-6)
    return [index * step for index in range(first, last + 1)]


def writer(marks: Sequence[float], finer: int = 0) -> Callable[[float], str]:
    """How to write numbers beside an axis: the decimals its step needs, and ``finer`` more."""
    step = marks[1] - marks[0] if len(marks) > 1 else abs(marks[0]) if marks else 1.0
    if max(map(abs, marks), default=1.0) < 1e-3:
        return lambda value: f"{value:.{finer}e}".replace("e-0", "e-") if value else "0"
    decimals = max(0, -math.floor(math.log10(step or 1.0) + 1e-6)) + finer
    return lambda value: f"{value:,.{decimals}f}"


def labels(
    values: list[float], bounds: tuple[float, float], mark: str = ""
) -> list[tuple[float, str]]:
    """Ticks as (per cent along the axis, text)."""
    words = writer(values)
    places = (scaled(np.array(values), bounds) * 100).round(2).tolist()
    return [(place, words(value) + mark) for place, value in zip(places, values, strict=True)]


def steps_axis(low: float, high: float) -> list[tuple[float, str]]:
    """Whole numbers inside the range, as ticks."""
    marks = [mark for mark in ticks(low, high, whole=True) if low <= mark <= high]
    return labels(marks, (low, high))


def scaled(values: Any, bounds: tuple[float, float]) -> Any:
    """Values as fractions of the range; the middle where the range has no width."""
    low, high = bounds
    return (values - low) / (high - low) if high > low else np.full_like(values, 0.5)


def path(x: Any, y: Any) -> str:
    """A line through the points, lifted at NaN. A point alone is a line to itself: a round dot."""
    parts, drawing = [], False
    for left, up in zip(x.tolist(), y.tolist(), strict=True):
        if not math.isfinite(up):
            drawing = False
            continue
        place = f"{left * UNIT:.0f} {(1 - up) * UNIT:.0f}"
        parts.append(f"L{place}" if drawing else f"M{place}L{place}")
        drawing = True
    return "".join(parts)


def band(x: Any, least: Any, most: Any) -> str:
    """The area between two lines, one closed shape for each stretch without NaN."""
    shapes = []
    seen = np.flatnonzero(np.isfinite(least))
    for run in np.split(seen, np.flatnonzero(np.diff(seen) > 1) + 1):
        edge = [(i, most[i]) for i in run] + [(i, least[i]) for i in run[::-1]]
        points = [f"{x[i] * UNIT:.0f} {(1 - up) * UNIT:.0f}" for i, up in edge]
        shapes.append(f"M{'L'.join(points)}Z")
    return "".join(shapes)
