"""Tables for a terminal of any width, and for documents."""

from io import StringIO
from shutil import get_terminal_size
from typing import Any

_LONG = 24
"""Characters beyond which a cell is broken into lines."""


def page(rows: list[dict[str, Any]], width: int | None = None) -> str:
    """Rows for a terminal: as many columns side by side as fit, the others in further tables, each
    of which begins with the first column."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    width = width or get_terminal_size((200, 24)).columns
    (first, keys), *others = _columns(rows)
    console, room = Console(file=StringIO(), width=width), 0
    tables: list[tuple[Table, list[list[str]]]] = []
    for name, cells in others:
        if (needs := _needs(name, cells)) > room:
            tables.append((Table(first, box=SIMPLE_HEAD, padding=(0, 1), pad_edge=False), [keys]))
            room = width - _needs(first, keys) - 2  # the table's own edges
        room -= needs
        # Only long cells may take more: rich would take it from others' words.
        fixed = None if max(map(len, cells)) > _LONG else needs - 3
        tables[-1][0].add_column(name, width=fixed, min_width=needs - 3)
        tables[-1][1].append(cells)
    for table, columns in tables:
        for row in zip(*columns, strict=True):
            table.add_row(*row)
        console.print(table)
    return console.file.getvalue().rstrip()  # type: ignore[attr-defined, no-any-return]


def markdown(rows: list[dict[str, Any]]) -> str:
    """The same for a document."""
    columns = _columns(rows)
    lines = [[name for name, _ in columns], ["---"] * len(columns)]
    lines += map(list, zip(*(cells for _, cells in columns), strict=True))
    cells = ([cell.replace("|", r"\|") for cell in line] for line in lines)
    return "\n".join("| " + " | ".join(line) + " |" for line in cells)


def _columns(rows: list[dict[str, Any]]) -> list[tuple[str, list[str]]]:
    return [(name.replace("_", " "), [_text(row[name]) for row in rows]) for name in rows[0]]


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return " ".join(f"{k}={v}" for k, v in value.items())
    return str(value)


def _needs(name: str, cells: list[str]) -> int:
    """Width of a column that stays readable: short cells in one line, long ones in words."""
    words = " ".join([name, *cells]).split()
    return max(*map(len, words), min(max(map(len, cells)), _LONG)) + 3
