"""The report: one HTML file that needs nothing but itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ownlatent.report import comparison
from ownlatent.report.curves import curves, not_finite, run_style
from ownlatent.report.map import Map
from ownlatent.report.results import axis, figures, protocols
from ownlatent.report.sheet import CAPTIONS, Pictures, data_uri, groups, writable
from ownlatent.report.verdict import judge, spectra
from ownlatent.report.words import DASH, percent, settings

if TYPE_CHECKING:
    from ownlatent.report.mistakes import Mistakes
    from ownlatent.report.oddities import Oddities
    from ownlatent.report.places import Places


@dataclass(kw_only=True)
class Report:
    """Everything the page shows, as plain data; an empty part is left out of the page.

    Args:
        title: the run's name.
        headline: the result in one plain sentence.
        noun: what the samples are called.
        facts: (name, value) pairs, such as ``("images", "20,000")``.
        log: rows with ``step`` and any of ``loss``, ``tau``, ``lr``, ``feature_std``,
            ``effective_rank``, ``probe_accuracy`` (0 to 1), ``verdict``; NaN is allowed.
        evaluation: rows with ``features``, ``protocol``, ``accuracy`` (0 to 1) and optionally
            ``low`` and ``high`` (95 % interval), ``n_train``, ``n_test``, ``seed``, ``images`` (a
            fingerprint of the test images). Features called "random initialisation", "raw
            pixels" and the like are the baselines.
        mistakes: which classes are taken for which.
        elsewhere: rows as of ``evaluation``, of other data sets.
        places: segmentation, depth and detection.
        oddities: what a look at the features found in the data.
        verdict: what ``verdict.json`` holds.
        views: (originals, views of each), uint8 as in ``contact_sheet``.
        captions: the name of the original, then of each kind of view.
        neighbours: per query ``query`` (uint8 ``[H, W, C]``), ``query_label``, and ``neighbours``:
            dicts of ``image``, ``similarity``, ``label``; a label may be ``None``.
        map: thumbnails laid out by their features.
        config: the run's settings, nested as they are.
    """

    title: str
    headline: str
    noun: str = "images"
    facts: Sequence[tuple[str, str]] = ()
    log: Sequence[Mapping[str, Any]] = ()
    evaluation: Sequence[Mapping[str, Any]] = ()
    mistakes: Mistakes | None = None
    elsewhere: Sequence[Mapping[str, Any]] = ()
    places: Sequence[Places] = ()
    oddities: Oddities | None = None
    verdict: Mapping[str, Any] | None = None
    views: tuple[Pictures, Sequence[Pictures]] | None = None
    captions: Sequence[str] = CAPTIONS
    neighbours: Sequence[Mapping[str, Any]] | None = None
    map: Map | None = None
    config: Mapping[str, Any] = field(default_factory=dict)


def write_report(out: str | Path, report: Report) -> Path:
    """Write the report to ``out`` and return its path.

    The file holds its pictures, drawings and style; it asks for nothing from outside, runs no
    script, and every string given is escaped.

    Raises:
        UsageError: ``out`` is a folder, or its folder cannot be made.
        ValueError: pictures that are not uint8 ``[H, W, C]``, or views that do not match.
    """
    return _write(
        out,
        "report.html.jinja",
        title=report.title,
        report=report,
        figures=list(figures(report.evaluation)),
        judged=judge(report.verdict, report.log),
        protocols=protocols(report.evaluation, report.noun),
        axis=axis(report.evaluation),
        elsewhere=protocols(report.elsewhere, report.noun),
        elsewhere_axis=axis(report.elsewhere),
        curves=curves([("", report.log)]),
        not_finite=not_finite(report.log),
        columns=groups(report.captions, *report.views) if report.views else [],
        settings=list(settings(report.config)),
    )


def write_comparison(out: str | Path, reports: Sequence[Report]) -> Path:
    """Write one page that compares the reports' runs, under the same promises as a report.

    Their titles must differ. Where neighbours are shown, all must have the same queries.

    Raises:
        UsageError: ``out`` is a folder, or its folder cannot be made.
    """
    rows = comparison.evaluation(reports)
    judgements = [judge(report.verdict, report.log) for report in reports]
    return _write(
        out,
        "comparison.html.jinja",
        title="Comparison",
        reports=reports,
        styles=[run_style(number) for number in range(len(reports))],
        headline=comparison.headline(reports),
        judgements=judgements,
        shared=[fact for fact in reports[0].facts if all(fact in r.facts for r in reports)],
        protocols=protocols(rows, comparison.noun(reports)),
        noun=comparison.noun(reports),
        axis=axis(rows),
        same_images=comparison.same_images(reports),
        curves=curves([(report.title, report.log) for report in reports]),
        not_finite=[(r.title, steps) for r in reports if (steps := not_finite(r.log))],
        spectra=spectra([(report.title, report.verdict) for report in reports]),
        queries=list(zip(*(report.neighbours or () for report in reports), strict=False)),
        differing=comparison.differing([report.config for report in reports]),
    )


def _write(out: str | Path, template: str, **content: Any) -> Path:
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
    path.write_text(environment.get_template(template).render(dash=DASH, **content), "utf-8")
    return path
