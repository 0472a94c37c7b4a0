"""The report: one HTML file that needs nothing but itself."""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeGuard

from ownlatent.report.curves import curves, not_finite, ticks
from ownlatent.report.sheet import CAPTIONS, Pictures, data_uri, groups, writable

DASH = "\N{EN DASH}"  # stands where there is no value
BASELINES = ("random initialisation", "raw pixels")
_SETTING = {"n_train": "fitted on {:,} images", "n_test": "scored on {:,}", "seed": "seed {}"}


@dataclass(kw_only=True)
class Report:
    """Everything the page shows, as plain data; an empty part is left out of the page.

    Args:
        title: the run's name.
        headline: the result in one plain sentence.
        facts: (name, value) pairs, such as ``("images", "20,000")``.
        log: rows with ``step`` and any of ``loss``, ``tau``, ``lr``, ``feature_std``,
            ``effective_rank``, ``probe_accuracy`` (0 to 1); NaN is allowed.
        evaluation: rows with ``features``, ``protocol``, ``accuracy`` (0 to 1) and optionally
            ``low`` and ``high`` (95 % interval), ``n_train``, ``n_test``, ``seed``. Features called
            "random initialisation" and "raw pixels" are the baselines.
        views: (originals, views of each), uint8 as in ``contact_sheet``.
        captions: the name of the original, then of each kind of view.
        neighbours: per query ``query`` (uint8 ``[H, W, C]``), ``query_label``, and ``neighbours``:
            dicts of ``image``, ``similarity``, ``label``; a label may be ``None``.
        config: the run's settings, nested as they are.
    """

    title: str
    headline: str
    facts: Sequence[tuple[str, str]] = ()
    log: Sequence[Mapping[str, Any]] = ()
    evaluation: Sequence[Mapping[str, Any]] = ()
    views: tuple[Pictures, Sequence[Pictures]] | None = None
    captions: Sequence[str] = CAPTIONS
    neighbours: Sequence[Mapping[str, Any]] | None = None
    config: Mapping[str, Any] = field(default_factory=dict)


def write_report(out: str | Path, report: Report) -> Path:
    """Write the report to ``out`` and return its path.

    The file holds its pictures, drawings and style; it asks for nothing from outside, runs no
    script, and every string given is escaped.

    Raises:
        UsageError: ``out`` is a folder, or its folder cannot be made.
        ValueError: pictures that are not uint8 ``[H, W, C]``, or views that do not match.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    path = writable(out)
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["uri"] = data_uri
    environment.filters["percent"] = percent
    page = environment.get_template("report.html.jinja").render(
        report=report,
        figures=list(_figures(report.evaluation)),
        protocols=_protocols(report.evaluation),
        axis=_axis(report.evaluation),
        curves=curves(report.log),
        not_finite=not_finite(report.log),
        dash=DASH,
        columns=groups(report.captions, *report.views) if report.views else [],
        settings=list(_settings(report.config)),
    )
    path.write_text(page, encoding="utf-8")
    return path


def percent(fraction: float | None) -> str:
    """A fraction as a percentage with one decimal, or a dash where there is none."""
    return f"{100 * fraction:.1f}" if _number(fraction) else DASH


def _number(value: object) -> TypeGuard[float]:
    return isinstance(value, numbers.Real) and math.isfinite(value)


def is_baseline(row: Mapping[str, Any]) -> bool:
    """Whether a row of the evaluation is there only to be compared with."""
    return str(row["features"]).lower() in BASELINES


def _figures(evaluation: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str, str, str]]:
    """The big numbers, as (figure, unit, meaning, remark).

    The learned features under each protocol, then their distance from each baseline under the
    linear probe (or the first protocol, without one).
    """
    rows = [row for row in evaluation if _number(row["accuracy"])]
    learned: dict[str, Mapping[str, Any]] = {}
    for row in rows:
        if not is_baseline(row):
            learned.setdefault(row["protocol"], row)
    for protocol, row in learned.items():
        interval = f"{percent(row.get('low'))} to {percent(row.get('high'))}"
        sure = _number(row.get("low")) and _number(row.get("high"))
        yield percent(row["accuracy"]), "%", protocol, f"95 % interval {interval}" if sure else ""
    judged = sorted(learned, key=lambda protocol: "linear" not in protocol.lower())[:1]
    for protocol in judged:
        for row in rows:
            if is_baseline(row) and row["protocol"] == protocol:
                points = 100 * (learned[protocol]["accuracy"] - row["accuracy"])
                sign = "\N{MINUS SIGN}" if points <= -0.05 else "+"
                meaning = f"against {row['features']}"
                remark = f"{protocol}, {percent(row['accuracy'])} %"
                yield f"{sign}{abs(points):.1f}", "points", meaning, remark


def _axis(evaluation: Sequence[Mapping[str, Any]]) -> list[tuple[float, str]]:
    """Ticks from 0 % to a round number above every accuracy, placed in per cent of the width."""
    ends = [row.get(key) for row in evaluation for key in ("accuracy", "high")]
    highest = max((100 * end for end in ends if _number(end)), default=100.0)
    marks = ticks(0.0, max(highest, 1.0))
    return [(100 * mark / marks[-1], f"{mark:g}") for mark in marks]


def _protocols(evaluation: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The table's sections: rows under each protocol, with positions on the common axis.

    What all rows of a section share (images, seed) is said once, in its heading.
    """
    scale = 100 / float(_axis(evaluation)[-1][1])
    sections: dict[str, list[Mapping[str, Any]]] = {}
    for row in evaluation:
        sections.setdefault(row["protocol"], []).append(row)
    result = []
    for protocol, rows in sections.items():
        given = [
            [text.format(row[key]) for key, text in _SETTING.items() if row.get(key) is not None]
            for row in rows
        ]
        shared = [text for text in given[0] if all(text in own for own in given)]
        lines = []
        for row, own in zip(rows, given, strict=True):
            at = {
                key: 100 * row[key] * scale if _number(row.get(key)) else None
                for key in ("accuracy", "low", "high")
            }
            note = ", ".join(text for text in own if text not in shared)
            lines.append({"row": row, "at": at, "note": note, "baseline": is_baseline(row)})
        result.append({"protocol": protocol, "shared": ", ".join(shared), "lines": lines})
    return result


def _settings(config: Mapping[str, Any], depth: int = 0) -> Iterator[tuple[int, str, str | None]]:
    """The configuration line by line: (depth, name, value), ``None`` where a group begins."""
    for name, value in config.items():
        if isinstance(value, Mapping):
            yield depth, str(name), None
            yield from _settings(value, depth + 1)
        elif isinstance(value, list | tuple):
            yield depth, str(name), ", ".join(map(str, value)) or DASH
        else:
            yield depth, str(name), DASH if value is None else str(value)
