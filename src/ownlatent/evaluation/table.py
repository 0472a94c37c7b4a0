"""Results as a table for the terminal."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ownlatent.checks import damaged, read_json
from ownlatent.columns import columns

_TEXTS = ("features", "protocol")
_NUMBERS = ("accuracy", "low", "high", "n_train", "n_test")


def read_results(path: Path) -> list[dict[str, Any]]:
    """The results in an ``evaluation.json``.

    Raises:
        UsageError: the file is damaged.
    """
    results: Any = read_json(path).get("results")
    try:
        for row in results:
            if not all(type(row[name]) in (int, float) for name in _NUMBERS):
                raise TypeError("numbers are missing")
            if not all(isinstance(row[name], str) for name in _TEXTS):
                raise TypeError("names are missing")
    except (KeyError, TypeError) as error:
        raise damaged(path, str(error)) from error
    return list(results)


def table(results: Sequence[Mapping[str, Any]]) -> str:
    """One line per result: features, protocol, accuracy in per cent and its 95 % interval."""
    rows = [("features", "protocol", "accuracy", "95 % interval", "fitted on", "scored on")]
    for result in results:
        rows.append(
            (
                str(result["features"]),
                str(result["protocol"]),
                f"{result['accuracy']:.1%}",
                f"{result['low']:.1%} - {result['high']:.1%}",
                f"{result['n_train']:,}",
                f"{result['n_test']:,}",
            )
        )
    return columns(rows)


_SAID = ("features", "protocol", "seed", "n_train", "n_test", "details", "by class", "pixels")


def dense_table(results: Sequence[Mapping[str, Any]]) -> str:
    """One line per network: what segmentation, depth or detection measured.

    Shares are in per cent; rel, rms (metres) and log10 are errors.
    """
    errors = ("rel", "rms", "log10")
    names = [n for n in results[0] if n not in (*_SAID, "low", "high")]
    interval = ["95 % interval"] if "low" in results[0] else []
    rows = [("features", *names, *interval, "trained on", "scored on")]
    for result in results:
        figures = [f"{result[n]:.3f}" if n in errors else f"{100 * result[n]:.1f} %" for n in names]
        ends = [f"{100 * result['low']:.1f} - {100 * result['high']:.1f} %"] if interval else []
        counts = f"{result['n_train']:,}", f"{result['n_test']:,}"
        rows.append((str(result["features"]), *figures, *ends, *counts))
    return columns(rows)


def transfer_table(report: Mapping[str, Any]) -> str:
    """A line per data set and network, and the means."""
    rows = [("data", "features", "metric", "value", "95 % interval", "fitted on", "scored on")]
    for r in report["results"]:
        ends = "" if r["low"] is None else f"{r['low']:.1%} - {r['high']:.1%}"
        counts = f"{r['n_train']:,}", f"{r['n_test']:,}"
        rows.append((r["data"], r["features"], r["metric"], f"{r['value']:.1%}", ends, *counts))
    for features, value in report["means"].items():
        rows.append(("mean", features, "", f"{value:.1%}", "", "", ""))
    return columns(rows)
