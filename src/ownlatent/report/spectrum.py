"""Singular values on a logarithmic scale: how many directions carry the variation."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

from ownlatent.report.axes import Line, Panel, path, scaled, steps_axis

FLOOR = 1e-6  # below this share of the largest nothing is told apart from rounding
SEEN = 0.01  # a direction counts in the caption when it has this share of the largest


def spectrum(title: str, lines: Iterable[tuple[str, str, Sequence[float]]]) -> Panel | None:
    """Spectra laid over one another; ``None`` where there is no positive number.

    Args:
        title: of the panel.
        lines: name, style (a class of the style sheet) and singular values divided by the
            largest, in descending order. NaN breaks a line; what is smaller than 1e-6 is drawn
            there, at the bottom.
    """
    given = [(name, style, np.array(values, np.float64)) for name, style, values in lines]
    given = [each for each in given if (np.isfinite(each[2]) & (each[2] > 0)).any()]
    if not given:
        return None
    longest = max(len(values) for _, _, values in given)
    positive = np.concatenate([values[values > 0] for _, _, values in given])
    positive = positive[np.isfinite(positive)]
    lowest = math.floor(math.log10(max(float(positive.min()), FLOOR)) + 1e-9)
    bounds = float(min(lowest, -1)), max(0.0, math.log10(float(positive.max())))
    drawn, told = [], []
    for name, style, values in given:
        values = np.where(np.isinf(values), np.nan, values)
        heights = scaled(np.log10(np.maximum(values, 10 ** bounds[0])), bounds)
        x = scaled(np.arange(1, len(values) + 1, dtype=np.float64), (1.0, float(longest)))
        last = int(np.flatnonzero(np.isfinite(heights))[-1])
        count = f"{int((values >= SEEN).sum())} of {len(values)}"
        told.append(f"{name}, {count}")
        end = round(float(x[last]) * 100, 2), round(float(heights[last]) * 100, 2)
        drawn.append(Line(name, style, path(x, heights), "", end, count))
    decades = {decade: scaled(float(decade), bounds) for decade in range(round(bounds[0]), 1)}
    return Panel(
        title=title,
        lines=drawn,
        across="k",
        x_ticks=steps_axis(1, longest),
        y_ticks=[
            (round(100 * at, 2), f"{10.0**decade:g}".replace("e-0", "e-"))
            for decade, at in decades.items()
        ],
        summary=f"{title}: directions with at least 1 % of the largest singular value: "
        f"{'; '.join(told)}.",
    )
