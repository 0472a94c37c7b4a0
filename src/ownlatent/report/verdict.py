"""The verdict on a run, as the page shows it: a word, a sentence, and what it rests on."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ownlatent.report.axes import Panel
from ownlatent.report.curves import run_style
from ownlatent.report.spectrum import spectrum
from ownlatent.report.words import figure, is_number

# A symbol and a tone for each word, so that colour is never alone in telling them apart.
_SIGNS = {
    "healthy": ("✓", "good"),
    "dimensional collapse": ("◐", "doubtful"),
    "at chance": ("≈", "doubtful"),
    "collapsed": ("✕", "bad"),
    "diverged": ("✕", "bad"),
}
_MEASURES = (
    ("std", "Spread", "1 spread evenly, 0 all alike"),
    ("effective_rank", "Effective rank", "directions that carry variation"),
    ("alignment", "Alignment", "0 when two views of an image agree"),
    ("uniformity", "Uniformity", "lower is more even; 0 all alike"),
)
NETWORKS = (("features", "features"), ("embeddings", "projections"))  # key, what it is called


@dataclass(frozen=True)
class Badge:
    """A verdict in a word."""

    word: str
    symbol: str
    tone: str

    @classmethod
    def of(cls, word: object) -> Badge:
        """The badge for a verdict; a word not known here gets a neutral one."""
        symbol, tone = _SIGNS.get(str(word), ("·", "unknown"))
        return cls(str(word), symbol, tone)


@dataclass(frozen=True)
class Stretch:
    """Checks in a row that came to one verdict."""

    badge: Badge
    first: int
    last: int  # equal to ``first`` for a single check
    share: float  # of all steps, per cent


@dataclass(frozen=True)
class Judgement:
    """A verdict, ready to show.

    ``stretches`` is empty where the verdict never changed. ``measures`` are (name, meaning, values
    of the features and then of the projections), each at the checks named in ``when``.
    """

    badge: Badge
    why: str
    advice: str
    at_chance: str
    stretches: list[Stretch]
    when: list[str]
    measures: list[tuple[str, str, list[str]]]
    spectra: list[Panel]


def judge(verdict: Mapping[str, Any] | None, log: Sequence[Mapping[str, Any]]) -> Judgement | None:
    """What ``verdict.json`` holds, for the page; ``None`` where it names no verdict.

    What is missing or of another kind is left out, and a number that is not finite is a dash.
    """
    if not isinstance(verdict, Mapping) or not isinstance(verdict.get("verdict"), str):
        return None
    checks = [row for row in _list(verdict.get("checks")) if isinstance(row, Mapping)]
    chance = verdict.get("at_chance")
    return Judgement(
        badge=Badge.of(verdict["verdict"]),
        why=_text(verdict.get("why")),
        advice=_text(verdict.get("advice")),
        at_chance="" if chance == "not applicable" else _text(chance),
        stretches=_stretches(checks or log),
        when=[_when(check) for check in _ends(checks)],
        measures=_measures(checks),
        spectra=spectra([("", verdict)]),
    )


def spectra(verdicts: Sequence[tuple[str, Mapping[str, Any] | None]]) -> list[Panel]:
    """Spectra of features and of projections: one run's against untrained, or several runs'.

    Several are laid over one another as they are now, each in the style of its place.
    """
    panels = []
    for key, name in NETWORKS:
        lines = []
        for number, (run, verdict) in enumerate(verdicts):
            given = _mapping(_mapping(_mapping(verdict).get("spectra")).get(key))
            now = _numbers(given.get("now"))
            if len(verdicts) == 1:
                lines.append(("untrained", "before", _numbers(given.get("untrained"))))
                lines.append(("now", "", now))
            else:
                lines.append((run, run_style(number), now))
        panels.append(spectrum(f"Singular values of the {name}", lines))
    return [panel for panel in panels if panel is not None]


def _stretches(rows: Sequence[Mapping[str, Any]]) -> list[Stretch]:
    seen = sorted(
        (int(row["step"]), str(row["verdict"]))
        for row in rows
        if is_number(row.get("step")) and row.get("verdict") is not None
    )
    joined: list[tuple[str, int, int]] = []
    for step, word in seen:
        if joined and joined[-1][0] == word:
            joined[-1] = word, joined[-1][1], step
        else:
            joined.append((word, step, step))
    if len(joined) < 2:
        return []
    # A verdict holds from its first check until the next verdict's.
    whole = max(seen[-1][0] - seen[0][0], 1)
    ends = [first for _, first, _ in joined[1:]] + [seen[-1][0]]
    return [
        Stretch(Badge.of(word), first, last, round(100 * (end - first) / whole, 2))
        for (word, first, last), end in zip(joined, ends, strict=True)
    ]


def _measures(checks: Sequence[Mapping[str, Any]]) -> list[tuple[str, str, list[str]]]:
    rows = []
    for key, name, meaning in _MEASURES:
        values = [
            _mapping(check.get(network)).get(key)
            for network, _ in NETWORKS
            for check in _ends(checks)
        ]
        if any(is_number(value) for value in values):
            rows.append((name, meaning, [figure(value) for value in values]))
    return rows


def _ends(checks: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The first check and the latest."""
    return [*checks[:1], *checks[1:][-1:]]


def _when(check: Mapping[str, Any]) -> str:
    step = check.get("step")
    return f"step {step:,.0f}" if is_number(step) else "a check"


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _numbers(value: object) -> list[float]:
    """The list's numbers, in place; NaN stands for what is none."""
    return [each if isinstance(each, int | float) else math.nan for each in _list(value)]
