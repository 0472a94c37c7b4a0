"""Results as a table for the terminal."""

from collections.abc import Mapping, Sequence
from typing import Any


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
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)
