"""Tables of what the cells gave, in Markdown."""

import math
from collections import Counter

from benchmarks.ablations.axes import Axis
from benchmarks.ablations.results import Result, half_width, spread


def table(axis: Axis, results: list[Result], base: list[float]) -> list[str]:
    """A row per cell: linear accuracy, its distance from the label's first row, and print's."""
    deviation, freedom = spread(results)
    lines = [
        "| | | seeds | linear, % | against the first row | in print, % | in print, against it "
        "| kNN (k=20), % | verdict |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for result in results:
        row = result.row
        first = next(r for r in results if r.row.label == row.label)
        n = len(result.linear)
        if not n:
            gone = ", ".join(sorted(set(result.verdicts))) or "missing"
            lines.append(f"| {row.label} | {row.x} | 0 | {gone} | | {_figure(row.printed)} | | | |")
            continue
        half = half_width(deviation, freedom, n)
        apart = half_width(deviation, freedom, n, len(first.linear))
        change = (
            ""
            if result is first or not first.linear
            else _with(result.mean - first.mean, apart, "+.1f")
        )
        printed = ""
        if result is not first and row.printed is not None and first.row.printed is not None:
            printed = f"{row.printed - first.row.printed:+.1f}"
        knn = sum(result.knn) / len(result.knn) if result.knn else math.nan
        verdicts = ", ".join(
            word if count == n else f"{word} ({count})"
            for word, count in Counter(result.verdicts).items()
        )
        lines.append(
            f"| {row.label} | {row.x} | {n} | {_with(result.mean, half, '.1f')} | {change} "
            f"| {_figure(row.printed)} | {printed} | {knn:.1f} | {verdicts} |"
        )
    if base:
        mean = sum(base) / len(base)
        lines.append(f"| untrained network | | {len(base)} | {mean:.1f} | | | | | |")
    return lines


def _with(value: float, half: float, form: str) -> str:
    return format(value, form) + ("" if math.isnan(half) else f" ± {half:.1f}")


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"
