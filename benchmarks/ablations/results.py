"""What the cells gave, with intervals."""

import math
import statistics
from dataclasses import dataclass
from typing import Any

from scipy.stats import t as student

from benchmarks.ablations.axes import Axis, Row
from benchmarks.ablations.cells import name, rows, seeds
from benchmarks.ablations.scales import Scale

KNN = "kNN (k=20, T=0.07)"


@dataclass(frozen=True)
class Result:
    """One row: accuracies in percent by seed, and the last verdict of each."""

    row: Row
    linear: list[float]
    knn: list[float]
    verdicts: list[str]

    @property
    def mean(self) -> float:
        return statistics.mean(self.linear) if self.linear else math.nan


def read(record: dict[str, Any], axis: Axis, scale: Scale) -> list[Result]:
    return [_read(record, axis, row, scale) for row in rows(axis, scale)]


def _read(record: dict[str, Any], axis: Axis, row: Row, scale: Scale) -> Result:
    names = [name(scale.options(row.options, seed)) for seed in seeds(axis, row, scale)]
    given = [record[each] for each in names if each in record]
    return Result(
        row,
        [each["linear"] for each in given if "linear" in each],
        [each[KNN] for each in given if KNN in each],
        [each["verdict"] for each in given],
    )


def untrained(record: dict[str, Any]) -> list[float]:
    """Linear accuracies of the untrained network, in percent, one per seed."""
    given = {r["options"]["seed"]: r["random linear"] for r in record.values()
             if "random linear" in r}  # fmt: skip
    return list(given.values())


def spread(results: list[Result]) -> tuple[float, int]:
    """Standard deviation between seeds, pooled over the rows that have several, and its degrees
    of freedom: the rows are taken to scatter alike."""
    several = [r.linear for r in results if len(r.linear) > 1]
    freedom = sum(len(values) - 1 for values in several)
    if not freedom:
        return math.nan, 0
    squares = sum(statistics.variance(values) * (len(values) - 1) for values in several)
    return math.sqrt(squares / freedom), freedom


def half_width(deviation: float, freedom: int, *counts: int) -> float:
    """Half of the 95 % interval of a mean over ``counts[0]`` seeds, or of the difference of two."""
    if not freedom or not all(counts):
        return math.nan
    return float(student.ppf(0.975, freedom) * deviation * math.sqrt(sum(1 / n for n in counts)))
