"""Logs as curves: one run's, or several laid over one another."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ownlatent.report.axes import Line, Panel, band, labels, path, scaled, steps_axis, ticks, writer

Log: TypeAlias = Sequence[Mapping[str, Any]]

BUCKETS = 240  # points kept of a curve; more than the eye can tell apart

PANELS = (  # key in the log, title, shown as a percentage
    ("loss", "Loss", False),
    ("tau", "Target momentum τ", False),
    ("probe_accuracy", "Online linear probe accuracy", True),
    ("lr", "Learning rate", False),
    ("feature_std", "Feature standard deviation", False),
    ("effective_rank", "Effective rank of the features", False),
)


def curves(logs: Sequence[tuple[str, Log]]) -> list[Panel]:
    """The panels for which some log has a finite number, in reading order."""
    drawn = (curve(logs, key, title, percent) for key, title, percent in PANELS)
    return [panel for panel in drawn if panel is not None]


def curve(
    logs: Sequence[tuple[str, Log]], key: str, title: str, percent: bool = False
) -> Panel | None:
    """``key`` against ``step``, a line for each named log; ``None`` without a finite number.

    A row that lacks the key is passed over; one that holds NaN or infinity breaks the line. Above
    240 rows neighbours are averaged, and a band keeps their least and greatest value. A log keeps
    the style of its place among ``logs``, so that it looks the same in every panel.
    """
    tables = [_table(log, key, 100 if percent else 1) for _, log in logs]
    there = [number for number, table in enumerate(tables) if np.isfinite(table[:, 1]).any()]
    if not there:
        return None
    summed = {
        number: np.array([_summed(b) for b in np.array_split(table, min(len(table), BUCKETS))]).T
        for number in there
        for table in [tables[number]]
    }
    steps = np.concatenate([summed[number][0] for number in there])
    low = min(float(np.nanmin(summed[number][2])) for number in there)
    high = max(float(np.nanmax(summed[number][3])) for number in there)
    y_ticks = ticks(low, high)
    x_range = float(steps.min()), float(steps.max())
    y_range = min(low, y_ticks[0]), max(high, y_ticks[-1])
    words, mark = writer(y_ticks, finer=1), " %" if percent else ""

    lines, told = [], []
    for number in there:
        at, mean, least, most = summed[number]
        x, y = scaled(at, x_range), scaled(mean, y_range)
        first, last = np.flatnonzero(np.isfinite(mean))[[0, -1]]
        begun, ended = (words(float(mean[index])) + mark for index in (first, last))
        averaged = len(tables[number]) > BUCKETS and len(there) == 1  # bands would hide lines
        lines.append(
            Line(
                name=logs[number][0],
                style=run_style(number) if len(logs) > 1 else "",
                path=path(x, y),
                band=band(x, scaled(least, y_range), scaled(most, y_range)) if averaged else "",
                end=(round(float(x[last]) * 100, 2), round(float(y[last]) * 100, 2)),
                last=ended,
            )
        )
        told.append(
            (f"{logs[number][0]} " if len(logs) > 1 else "")
            + f"{begun} at step {at[first]:,.0f}, {ended} at step {at[last]:,.0f}"
        )
    return Panel(
        title=title,
        lines=lines,
        across="step",
        x_ticks=steps_axis(*x_range),
        y_ticks=labels(y_ticks, y_range, mark),
        summary=f"{title}: {'; '.join(told)}; "
        f"least {words(low)}{mark}, greatest {words(high)}{mark}.",
    )


def run_style(number: int) -> str:
    """The class of the style sheet for run ``number``: ten looks, told apart without colour too."""
    return f"run-{number % 10}"


def not_finite(log: Log) -> list[int]:
    """The steps at which the logged loss was NaN or infinite."""
    return [
        int(row["step"])
        for row in log
        if _given(row, "step") and _given(row, "loss")
        if math.isfinite(row["step"]) and not math.isfinite(row["loss"])
    ]


def _table(log: Log, key: str, times: float) -> NDArray[np.float64]:
    """Steps and values ``[N, 2]``: steps finite, values finite or NaN."""
    rows = [(row["step"], row[key]) for row in log if _given(row, "step") and _given(row, key)]
    table = np.array(rows, dtype=np.float64).reshape(-1, 2)
    table = table[np.isfinite(table[:, 0])]
    table[~np.isfinite(table[:, 1]), 1] = np.nan
    table[:, 1] *= times
    return table


def _given(row: Mapping[str, Any], key: str) -> bool:
    return row.get(key) is not None


def _summed(bucket: NDArray[np.float64]) -> tuple[float, float, float, float]:
    """Mean step, and mean, least and greatest finite value (NaN where there is none)."""
    finite = bucket[np.isfinite(bucket[:, 1])]
    if not len(finite):
        return float(bucket[:, 0].mean()), math.nan, math.nan, math.nan
    step, value = finite[:, 0], finite[:, 1]
    return float(step.mean()), float(value.mean()), float(value.min()), float(value.max())
