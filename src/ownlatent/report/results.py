"""Accuracies as big figures, and as a table drawn on one axis."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import Any, TypeAlias

from ownlatent.report.axes import ticks
from ownlatent.report.words import is_number, percent

Rows: TypeAlias = Sequence[Mapping[str, Any]]

BASELINES = (
    "random initialisation", "raw pixels", "raw features", "log-mel statistics", "bag of tokens"
)  # fmt: skip
_SETTING = {"n_train": "fitted on {:,} {noun}", "n_test": "scored on {:,}", "seed": "seed {}"}


def is_baseline(row: Mapping[str, Any]) -> bool:
    """Whether a row of the evaluation is there only to be compared with."""
    return str(row["features"]).lower() in BASELINES


def transferred(held: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A run's ``transfer.json`` as rows of an evaluation, a protocol for each data set."""
    return [
        {**row, "protocol": f"{PurePath(row['data']).name}, {row['metric']}",
         "accuracy": row["value"]}
        for row in held["results"]
    ]  # fmt: skip


def judged_by(protocols: Sequence[str]) -> str:
    """The protocol that speaks for a run: the linear probe, or the first there is."""
    return sorted(protocols, key=lambda protocol: "linear" not in protocol.lower())[0]


def figures(evaluation: Rows) -> Iterator[tuple[str, str, str, str]]:
    """The big numbers, as (figure, unit, meaning, remark).

    The learned features under each protocol, then their distance from each baseline under the
    linear probe (or the first protocol, without one).
    """
    rows = [row for row in evaluation if is_number(row["accuracy"])]
    learned: dict[str, Mapping[str, Any]] = {}
    for row in rows:
        if not is_baseline(row):
            learned.setdefault(row["protocol"], row)
    if not learned:
        return
    for protocol, row in learned.items():
        interval = f"{percent(row.get('low'))} to {percent(row.get('high'))}"
        sure = is_number(row.get("low")) and is_number(row.get("high"))
        yield percent(row["accuracy"]), "%", protocol, f"95 % interval {interval}" if sure else ""
    protocol = judged_by(list(learned))
    for row in rows:
        if is_baseline(row) and row["protocol"] == protocol:
            points = 100 * (learned[protocol]["accuracy"] - row["accuracy"])
            sign = "\N{MINUS SIGN}" if points <= -0.05 else "+"
            meaning = f"against {row['features']}"
            remark = f"{protocol}, {percent(row['accuracy'])} %"
            yield f"{sign}{abs(points):.1f}", "points", meaning, remark


def axis(evaluation: Rows) -> list[tuple[float, str]]:
    """Ticks from 0 % to a round number above every accuracy, placed in per cent of the width."""
    ends = [row.get(key) for row in evaluation for key in ("accuracy", "high")]
    highest = max((100 * end for end in ends if is_number(end)), default=100.0)
    marks = ticks(0.0, max(highest, 1.0))
    return [(100 * mark / marks[-1], f"{mark:g}") for mark in marks]


def protocols(evaluation: Rows, noun: str = "images") -> list[dict[str, Any]]:
    """The table's sections: rows under each protocol, with positions on the common axis.

    ``noun`` is what the samples are called. What all rows of a section share (noun, seed) is said
    once, in its heading. A row's ``style`` is a class of the style sheet, where it stands for one
    of several runs.
    """
    scale = 100 / float(axis(evaluation)[-1][1])
    sections: dict[str, list[Mapping[str, Any]]] = {}
    for row in evaluation:
        sections.setdefault(row["protocol"], []).append(row)
    result = []
    for protocol, rows in sections.items():
        given = [
            [
                text.format(row[key], noun=noun)
                for key, text in _SETTING.items()
                if row.get(key) is not None
            ]
            for row in rows
        ]
        shared = [text for text in given[0] if all(text in own for own in given)]
        lines = []
        for row, own in zip(rows, given, strict=True):
            at = {
                key: 100 * row[key] * scale if is_number(row.get(key)) else None
                for key in ("accuracy", "low", "high")
            }
            note = ", ".join(text for text in own if text not in shared)
            style = row.get("style", "")
            baseline = is_baseline(row) and not style
            lines.append(
                {
                    "row": row,
                    "name": " ".join(str(row[key]) for key in ("features", "of") if row.get(key)),
                    "at": at,
                    "note": note,
                    "baseline": baseline,
                    "style": style,
                }
            )
        result.append({"protocol": protocol, "shared": ", ".join(shared), "lines": lines})
    return result
