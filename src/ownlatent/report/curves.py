"""A run's log as curves: numbers scaled to a unit square, ticks, and a sentence for each.

The page stretches the square to the width at hand while its text keeps its size, so one drawing
serves a phone, a desktop and paper.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

BUCKETS = 240  # points kept of a curve; more than the eye can tell apart
_UNIT = 1000  # the square's side in drawing units


@dataclass(frozen=True)
class Curve:
    """One panel, ready to draw: positions in per cent from the left and the bottom."""

    title: str
    line: str  # an SVG path in a square of 1000 units
    band: str  # least to greatest value where points were averaged; empty when none were
    end: tuple[float, float]  # the last point, per cent
    last: str  # its value in words
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]
    summary: str  # read out in place of the drawing


PANELS = (  # key in the log, title, shown as a percentage
    ("loss", "Loss", False),
    ("tau", "Target momentum τ", False),
    ("probe_accuracy", "Online linear probe accuracy", True),
    ("lr", "Learning rate", False),
    ("feature_std", "Feature standard deviation", False),
    ("effective_rank", "Effective rank of the features", False),
)


def curves(log: Sequence[Mapping[str, Any]]) -> list[Curve]:
    """The panels for which the log has at least one finite number, in reading order."""
    drawn = (curve(log, key, title, percent) for key, title, percent in PANELS)
    return [panel for panel in drawn if panel is not None]


def curve(
    log: Sequence[Mapping[str, Any]], key: str, title: str, percent: bool = False
) -> Curve | None:
    """One panel of ``key`` against ``step``; ``None`` without a finite number.

    A row that lacks the key is passed over; one that holds NaN or infinity breaks the line. Above
    240 rows neighbours are averaged, and a band keeps their least and greatest value.
    """
    rows = [(row["step"], row[key]) for row in log if _given(row, "step") and _given(row, key)]
    table = np.array(rows, dtype=np.float64).reshape(-1, 2)
    table = table[np.isfinite(table[:, 0])]
    table[~np.isfinite(table[:, 1]), 1] = np.nan
    if not np.isfinite(table[:, 1]).any():
        return None
    if percent:
        table[:, 1] *= 100

    buckets = np.array_split(table, min(len(table), BUCKETS))
    steps, mean, least, most = np.array([_summed(bucket) for bucket in buckets]).T
    averaged = len(table) > BUCKETS
    x_ticks = ticks(float(steps[0]), float(steps[-1]), whole=True)
    low, high = float(np.nanmin(least)), float(np.nanmax(most))
    y_ticks = ticks(low, high)
    x_range = (float(steps[0]), float(steps[-1]))
    y_range = (min(low, y_ticks[0]), max(high, y_ticks[-1]))

    x, y = _scaled(steps, x_range), _scaled(mean, y_range)
    seen = np.flatnonzero(np.isfinite(mean))
    first, last = int(seen[0]), int(seen[-1])
    mark = " %" if percent else ""
    words = _writer(y_ticks, finer=1)
    ends = [words(float(mean[index])) + mark for index in (first, last)]
    return Curve(
        title=title,
        line=_path(x, y),
        band=_band(x, _scaled(least, y_range), _scaled(most, y_range)) if averaged else "",
        end=(round(float(x[last]) * 100, 2), round(float(y[last]) * 100, 2)),
        last=ends[1],
        x_ticks=_labels([t for t in x_ticks if x_range[0] <= t <= x_range[1]], x_range),
        y_ticks=_labels(y_ticks, y_range, mark),
        summary=f"{title}: {ends[0]} at step {steps[first]:,.0f}, "
        f"{ends[1]} at step {steps[last]:,.0f}; "
        f"least {words(low)}{mark}, greatest {words(high)}{mark}.",
    )


def not_finite(log: Sequence[Mapping[str, Any]]) -> list[int]:
    """The steps at which the logged loss was NaN or infinite."""
    return [
        int(row["step"])
        for row in log
        if _given(row, "step") and _given(row, "loss")
        if math.isfinite(row["step"]) and not math.isfinite(row["loss"])
    ]


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


def _writer(marks: Sequence[float], finer: int = 0) -> Callable[[float], str]:
    """How to write numbers beside an axis: the decimals its step needs, and ``finer`` more."""
    step = marks[1] - marks[0] if len(marks) > 1 else abs(marks[0]) if marks else 1.0
    if max(map(abs, marks), default=1.0) < 1e-3:
        return lambda value: f"{value:.{finer}e}".replace("e-0", "e-") if value else "0"
    decimals = max(0, -math.floor(math.log10(step or 1.0) + 1e-6)) + finer
    return lambda value: f"{value:,.{decimals}f}"


def _labels(
    values: list[float], bounds: tuple[float, float], mark: str = ""
) -> list[tuple[float, str]]:
    """Ticks as (per cent along the axis, text)."""
    words = _writer(values)
    places = (_scaled(np.array(values), bounds) * 100).round(2).tolist()
    return [(place, words(value) + mark) for place, value in zip(places, values, strict=True)]


def _given(row: Mapping[str, Any], key: str) -> bool:
    return row.get(key) is not None


def _summed(bucket: np.ndarray[Any, np.dtype[np.float64]]) -> tuple[float, float, float, float]:
    """Mean step, and mean, least and greatest finite value (NaN where there is none)."""
    finite = bucket[np.isfinite(bucket[:, 1])]
    if not len(finite):
        return float(bucket[:, 0].mean()), math.nan, math.nan, math.nan
    step, value = finite[:, 0], finite[:, 1]
    return float(step.mean()), float(value.mean()), float(value.min()), float(value.max())


def _scaled(values: Any, bounds: tuple[float, float]) -> Any:
    low, high = bounds
    return (values - low) / (high - low) if high > low else np.full_like(values, 0.5)


def _path(x: Any, y: Any) -> str:
    """A line through the points, lifted at NaN. A point alone is a line to itself: a round dot."""
    parts, drawing = [], False
    for left, up in zip(x.tolist(), y.tolist(), strict=True):
        if not math.isfinite(up):
            drawing = False
            continue
        place = f"{left * _UNIT:.0f} {(1 - up) * _UNIT:.0f}"
        parts.append(f"L{place}" if drawing else f"M{place}L{place}")
        drawing = True
    return "".join(parts)


def _band(x: Any, least: Any, most: Any) -> str:
    """The area between two lines, one closed shape for each stretch without NaN."""
    shapes = []
    seen = np.flatnonzero(np.isfinite(least))
    for run in np.split(seen, np.flatnonzero(np.diff(seen) > 1) + 1):
        edge = [(i, most[i]) for i in run] + [(i, least[i]) for i in run[::-1]]
        points = [f"{x[i] * _UNIT:.0f} {(1 - up) * _UNIT:.0f}" for i, up in edge]
        shapes.append(f"M{'L'.join(points)}Z")
    return "".join(shapes)
