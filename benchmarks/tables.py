"""Tables that benchmarks write into documents, between marks that stand there."""

import statistics
from collections.abc import Sequence
from pathlib import Path

DOCS = Path(__file__).parent.parent / "docs"


def spread(values: Sequence[float]) -> str:
    """Mean and standard deviation over seeds; of one value the value, of none a dash."""
    if len(values) < 2:
        return f"{values[0]:.1f}" if values else "-"
    return f"{statistics.mean(values):.1f} ± {statistics.stdev(values):.1f}"


def between(text: str, mark: str, lines: Sequence[str]) -> str:
    """``text`` with what stands between the marks called ``mark`` replaced."""
    begin, end = marks(mark)
    before, _, rest = text.partition(begin)
    _, _, after = rest.partition(end)
    return before + begin + "\n".join(lines) + "\n" + end + after


def marks(mark: str) -> tuple[str, str]:
    return f"<!-- {mark}: begin -->\n", f"<!-- {mark}: end -->"


def write(document: Path, mark: str, lines: Sequence[str]) -> None:
    """Replace what stands between the marks of a document."""
    document.write_text(between(document.read_text(), mark, lines))
