"""Lists of samples, written for other tools and read back."""

import csv
import io
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO, Any

from ownlatent.errors import UsageError

FORMS = (".csv", ".txt", ".json")


def require_list(out: str | Path) -> Path:
    """The path of a list that is to be written.

    Raises:
        UsageError: it is of no known form, or there already.
    """
    out = Path(out).expanduser()
    if out.suffix.lower() not in FORMS:
        raise UsageError(f"A list ends in .csv, .txt (paths alone) or .json; got {out}.")
    if out.exists():
        raise UsageError(f"{out} is there already; choose another --out or delete it.")
    return out


def write_list(out: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write rows as a table (.csv), as objects (.json) or their column "path" alone (.txt); whole
    or not at all.

    Raises:
        UsageError: it cannot be written.
    """
    fresh = out.with_name(out.name + ".tmp")
    form = out.suffix.lower()
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        # Names of files need not be valid UTF-8.
        with fresh.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
            if form == ".csv":
                write_table(file, columns, rows)
            elif form == ".txt":
                place = list(columns).index("path")
                file.writelines(f"{row[place]}\n" for row in rows)
            else:
                listed = [dict(zip(columns, row, strict=True)) for row in rows]
                file.write(json.dumps(listed, indent=1) + "\n")
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(out)
    except OSError as error:
        fresh.unlink(missing_ok=True)
        raise UsageError(f"{out} cannot be written ({error.strerror}); choose another.") from error


def write_table(file: IO[str], columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write rows as CSV in which a spreadsheet finds no formula."""
    table = csv.writer(file)
    table.writerow(columns)
    table.writerows([_safe(cell) for cell in row] for row in rows)


def _safe(cell: Any) -> Any:
    """A cell that no spreadsheet takes for a formula: a name that begins like one is quoted."""
    if not isinstance(cell, str) or cell[:1] not in tuple("=+-@\t\r"):
        return cell
    try:
        float(cell)
    except ValueError:
        return "'" + cell
    return cell


def _as_it_was(cell: str) -> str:
    """Undo `_safe`."""
    return cell[1:] if cell[:1] == "'" and cell[1:2] in tuple("=+-@\t\r") else cell


def read_labels(path: str | Path) -> dict[str, str]:
    """Labels by path from a ``.csv`` with columns "path" and "label"; empty ones are left out.

    Raises:
        UsageError: it cannot be read, a column is missing, a path has two labels, or all labels
            are empty.
    """
    path = Path(path).expanduser()
    try:
        # Spreadsheets write a byte order mark, and semicolons where commas are decimal.
        text = path.read_bytes().decode("utf-8-sig", "surrogateescape")
        head = text.split("\n", 1)[0]
        delimiter = ";" if head.count(";") > head.count(",") else ","
        rows = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter)
        if not {"path", "label"} <= set(rows.fieldnames or ()):
            raise UsageError(
                f"{path} needs columns called path and label; make it with ownlatent select."
            )
        labels: dict[str, str] = {}
        for row in rows:
            name, label = _as_it_was(row["path"] or ""), _as_it_was((row["label"] or "").strip())
            if not name or not label:
                continue
            if labels.setdefault(name, label) != label:
                raise UsageError(
                    f"{path} calls {name} both {labels[name]!r} and {label!r}; keep one."
                )
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror}); give a .csv.") from error
    except csv.Error as error:
        raise UsageError(f"{path} is no table ({error}); give a .csv.") from error
    if not labels:
        raise UsageError(f"No label is filled in in {path}; write a class beside each path.")
    return labels
