"""Which classes are taken for which."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ownlatent.checks import damaged, read_json
from ownlatent.report.results import judged_by

MOST = 20
"""Classes that a matrix has room for."""
_NAMED = 8


@dataclass(frozen=True)
class Mistakes:
    """The confusion matrix of one protocol.

    Attributes:
        protocol: what was scored.
        classes: K names.
        matrix: of each class, the share of its samples taken for each; none for more than
            :data:`MOST` classes.
        sizes: samples of each class.
        worst: (class, taken for, how often, share), the most frequent first.
    """

    protocol: str
    classes: list[str]
    matrix: list[list[float]]
    sizes: list[int]
    worst: list[tuple[str, str, int, float]]


def read_mistakes(path: Path) -> Mistakes | None:
    """From a run's ``confusion.json``; None where there is none, or no protocol in it.

    Raises:
        UsageError: the file is damaged.
    """
    if not path.is_file():
        return None
    held: Any = read_json(path)
    try:
        if not held["confusion"]:
            return None
        protocol = judged_by(list(held["confusion"]))
        return mistakes(protocol, held["confusion"][protocol], held["classes"])
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise damaged(path, str(error)) from error


def mistakes(protocol: str, cells: list[list[int]], names: list[str] | None) -> Mistakes:
    """
    Args:
        cells: ``[class, taken for, how often]``.
        names: of the classes; None: their numbers.
    """
    counts = {(true, found): count for true, found, count in cells}
    numbers = sorted({number for pair in counts for number in pair})
    called = {number: names[number] if names else str(number) for number in numbers}
    sizes: Counter[int] = Counter()
    for (true, _), count in counts.items():
        sizes[true] += count
    wrong = sorted((pair for pair in counts if pair[0] != pair[1]), key=lambda p: (-counts[p], p))
    return Mistakes(
        protocol=protocol,
        classes=[called[number] for number in numbers],
        matrix=[
            [counts.get((true, found), 0) / max(1, sizes[true]) for found in numbers]
            for true in numbers
        ]
        if len(numbers) <= MOST
        else [],
        sizes=[sizes[number] for number in numbers],
        worst=[
            (called[true], called[found], count, count / sizes[true])
            for true, found in wrong[:_NAMED]
            for count in [counts[true, found]]
        ],
    )
