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


def standing(document: Path, mark: str, lines: Sequence[str]) -> list[str]:
    """``lines``, where a row that says "missing" is replaced by the document's row of that name.

    A row's name is what comes before "missing", up to a count of seeds.
    """
    begin, end = marks(mark)
    _, _, rest = document.read_text().partition(begin)
    old = rest.partition(end)[0].splitlines()
    return [_older(line, old) if " missing |" in line else line for line in lines]


def _older(line: str, old: Sequence[str]) -> str:
    lead = line.partition(" missing |")[0].removesuffix(" - |").rstrip() + " "
    return next((row for row in old if row.startswith(lead)), line)
