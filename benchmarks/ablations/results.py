"""What the cells gave, with intervals."""

import json
import math
import statistics
from dataclasses import dataclass
from pathlib import Path

from scipy.stats import t as student

from benchmarks.ablations.axes import Axis, Row
from benchmarks.ablations.cells import folders, rows
from benchmarks.ablations.scales import Scale


@dataclass(frozen=True)
class Result:
    """One row: accuracies in percent by seed, and the last verdict of each."""

    row: Row
    linear: list[float]
    knn: list[float]
    verdicts: list[str]
    missing: int

    @property
    def mean(self) -> float:
        return statistics.mean(self.linear) if self.linear else math.nan


def read(root: Path, axis: Axis, scale: Scale) -> list[Result]:
    return [_read(row, folders(root, axis, row, scale)) for row in rows(axis, scale)]


def _read(row: Row, places: list[Path]) -> Result:
    linear, knn, verdicts = [], [], []
    for place in places:
        if (place / "verdict.json").is_file():
            verdicts.append(json.loads((place / "verdict.json").read_text())["verdict"])
        if (place / "evaluation.json").is_file():
            found = json.loads((place / "evaluation.json").read_text())["results"]
            linear += [100 * r["accuracy"] for r in found if r["protocol"].startswith("linear")]
            knn += [100 * r["accuracy"] for r in found if "k=20," in r["protocol"]]
    return Result(row, linear, knn, verdicts, len(places) - len(linear))


def random(root: Path) -> list[float]:
    """Linear accuracies of the untrained network, in percent, by seed."""
    return [
        100 * json.loads(path.read_text())["accuracy"] for path in sorted(root.glob("random-*"))
    ]


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
