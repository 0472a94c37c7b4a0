"""Several runs side by side: who is ahead, and which settings differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ownlatent.report.curves import run_style
from ownlatent.report.results import is_baseline, judged_by
from ownlatent.report.words import DASH, is_number, setting

if TYPE_CHECKING:
    from ownlatent.report.page import Report

_IGNORED = (("asked", "out"), ("data", "summary"))  # the run's own place; said better elsewhere


def headline(reports: Sequence[Report]) -> str:
    """The comparison in one or two plain sentences."""
    scores = _scores(reports)
    if not scores:
        return f"{len(reports)} runs side by side, none of them evaluated."
    if len(scores) == 1:
        return f"{len(reports)} runs side by side; of these only {scores[0]['run']} is evaluated."
    best, *rest = scores
    others = ", ".join(f"{row['run']} for {row['accuracy']:.1%}" for row in rest[:4])
    more = f" and {len(rest) - 4} more below" if len(rest) > 4 else ""
    sentence = (
        f"Under the {best['protocol']} {best['run']} is right for {best['accuracy']:.1%} of test "
        f"{noun(reports)}, {others}{more}."
    )
    if is_number(best.get("low")) and is_number(rest[0].get("high")):
        near = best["low"] <= rest[0]["high"]
        sentence += " The intervals of the first two overlap." if near else ""
    return sentence


def evaluation(reports: Sequence[Report]) -> list[dict[str, Any]]:
    """The runs' accuracies under each protocol, the best first, then the baselines.

    A baseline that came out the same for all who measured it is given once.
    """
    learned, baselines = [], []
    for number, report in enumerate(reports):
        for row in report.evaluation:
            if is_baseline(row):
                baselines.append({**row, "run": report.title})
            else:
                learned.append({**row, "features": report.title, "style": run_style(number)})
    learned.sort(key=lambda row: -row["accuracy"] if is_number(row["accuracy"]) else 1.0)
    order = [row["protocol"] for report in reports for row in report.evaluation]
    rows: list[dict[str, Any]] = [*learned, *_once(baselines)]
    return sorted(rows, key=lambda row: order.index(row["protocol"]))


def noun(reports: Sequence[Report]) -> str:
    """What the samples of all runs are called."""
    nouns = {report.noun for report in reports}
    return nouns.pop() if len(nouns) == 1 else "samples"


def same_images(reports: Sequence[Report]) -> bool:
    """Whether all runs were scored on the same test images, as far as is known."""
    return len({row.get("images") for report in reports for row in report.evaluation}) <= 1


def differing(configs: Sequence[Mapping[str, Any]]) -> list[tuple[str, list[str]]]:
    """Settings that are not the same in all runs: (name, value in each run)."""
    flat = [dict(_flat(config)) for config in configs]
    names = list(dict.fromkeys(name for each in flat for name in each if name not in _IGNORED))
    rows = [(name, [each.get(name, DASH) for each in flat]) for name in names]
    return [(" \N{RIGHTWARDS ARROW} ".join(name), v) for name, v in rows if len(set(v)) > 1]


def _flat(
    config: Mapping[str, Any], above: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], str]]:
    for name, value in config.items():
        if isinstance(value, Mapping):
            yield from _flat(value, (*above, str(name)))
        else:
            yield (*above, str(name)), setting(value)


def _scores(reports: Sequence[Report]) -> list[dict[str, Any]]:
    """Each run's accuracy under the protocol that most of them share, the best first."""
    rows = [
        {**row, "run": report.title}
        for report in reports
        for row in report.evaluation
        if not is_baseline(row) and is_number(row["accuracy"])
    ]
    if not rows:
        return []
    measured = [row["protocol"] for row in rows]
    most = max(map(measured.count, measured))
    protocol = judged_by([name for name in measured if measured.count(name) == most])
    chosen = {row["run"]: row for row in rows if row["protocol"] == protocol}
    return sorted(chosen.values(), key=lambda row: -row["accuracy"])


def _once(baselines: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    same = ("features", "protocol", "accuracy", "n_train", "n_test", "seed", "images")
    distinct: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in baselines:
        distinct.setdefault(tuple(str(row.get(key)) for key in same), row)
    several = [(row["features"], row["protocol"]) for row in distinct.values()]
    for row in distinct.values():
        of = f"of {row['run']}" if several.count((row["features"], row["protocol"])) > 1 else ""
        yield {**row, "of": of}
