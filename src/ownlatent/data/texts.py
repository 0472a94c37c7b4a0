"""Sentences as a person has them, and where their column is."""

import csv
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ownlatent.data.separated import opened, rows_of
from ownlatent.data.table import label_column
from ownlatent.errors import UsageError

TEXT_NAMES = ("text", "sentence")
"""Names of the column that holds sentences."""
_LONGEST_FIELD = 2**24  # bytes; a cell that is longer is a quotation mark that never closes


def is_text(data: Any) -> bool:
    """Whether ``data`` are sentences: a list of them, a file of lines, or a table with a column of
    texts called ``text`` or ``sentence``."""
    if isinstance(data, pa.Table):
        return _text_column(data.schema) is not None
    if type(data).__module__.startswith("pandas."):
        return any(name in TEXT_NAMES for name in getattr(data, "columns", ()))
    if not isinstance(data, str | Path):
        return isinstance(data, list | tuple) and len(data) > 0 and isinstance(data[0], str)
    path = Path(data).expanduser()
    suffix = _suffix(path)
    try:
        if suffix in (".csv", ".tsv"):
            with opened(path, errors="replace") as file:
                header = next(rows_of(file, path)[0], [])
            return any(name.strip() in TEXT_NAMES for name in header)
        if suffix == ".parquet":
            schema = pq.read_schema(path)
            held = any(
                pa.types.is_binary(each) or pa.types.is_nested(each) for each in schema.types
            )
            return not held and _text_column(schema) is not None  # images may have captions
    except (OSError, ValueError, EOFError, csv.Error, pa.ArrowException):
        return False  # who opens it as something else says what is wrong
    return suffix in (".txt", ".jsonl")


def read_texts(
    data: Any, name: str, label: str | None = None
) -> tuple[list[Any], pa.ChunkedArray | None]:
    """The sentences as they stand, None where there is none, and the labels if there are any.

    Args:
        data: a ``.txt`` file (a sentence per line), a ``.jsonl``, ``.csv`` or ``.tsv`` file (all of
            these ``.gz`` too) or a Parquet file, an Arrow table or a ``DataFrame``, or a list of
            texts.
        name: what it is called in a sentence of complaint.
        label: the column of the labels; see :func:`ownlatent.data.table.open_table`.

    Raises:
        UsageError: it cannot be read, or has no such column.
    """
    if isinstance(data, list | tuple):
        return list(data), None
    if isinstance(data, pa.Table):
        table = data
    elif type(data).__module__.startswith("pandas."):
        table = pa.Table.from_pandas(data, preserve_index=False)
    else:
        path = Path(data).expanduser()
        try:
            table = _read(path, name)
        except FileNotFoundError as error:
            raise UsageError(f"{name} does not exist: give a file of sentences.") from error
        except UnicodeDecodeError as error:
            raise UsageError(
                f"{name} is not UTF-8 ({error.reason}): write it again in UTF-8, by iconv say."
            ) from error
        except (
            OSError,
            ValueError,
            EOFError,
            OverflowError,
            csv.Error,
            pa.ArrowException,
        ) as error:
            why = str(error).split("\n")[0].rstrip(".")
            raise UsageError(f"{name} is not readable ({why}): write it again.") from error
    column = _text_column(table.schema)
    if column is None:
        raise UsageError(
            f"{name} has no column of texts called {' or '.join(TEXT_NAMES)}; it has "
            f"{', '.join(table.column_names) or 'none'}: rename the one that holds the sentences."
        )
    labels = label_column(table, label, name)
    return table[column].to_pylist(), None if labels is None else table[labels]


def _read(path: Path, name: str) -> pa.Table:
    suffix = _suffix(path)
    if suffix == ".parquet":
        return pq.read_table(path)
    with opened(path) as file:
        if suffix == ".txt":
            return pa.table({"text": pa.array([line.rstrip("\r\n") for line in file], pa.string())})
        if suffix == ".jsonl":
            return _columns(_objects(file, name))
        csv.field_size_limit(_LONGEST_FIELD)
        rows, _ = rows_of(file, path)
        header = [each.strip() for each in next(rows, [])]
        return _columns([dict(zip(header, row, strict=False)) for row in rows if row])


def _objects(file: Any, name: str) -> list[dict[str, Any]]:
    found = []
    for number, line in enumerate(file, start=1):
        if not line.strip():
            continue
        try:
            each = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise UsageError(f"Line {number} of {name} is no JSON: write it again.") from error
        if not isinstance(each, dict):
            raise UsageError(f"Line {number} of {name} is no JSON object: give one per line.")
        found.append(each)
    return found


def _columns(rows: Sequence[dict[str, Any]]) -> pa.Table:
    """Texts and labels as columns, all other columns by name only: nothing reads them."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    return pa.table({name: pa.array(list(_values(rows, name))) for name in names})


def _values(rows: Sequence[dict[str, Any]], name: str) -> Iterator[Any]:
    """The column's values; as texts where it holds several types, or none that is plain."""
    kinds = {type(row[name]) for row in rows if row.get(name) is not None}
    plain = len(kinds) == 1 and kinds <= {str, int, float, bool}
    for row in rows:
        value = row.get(name)
        yield value if value is None or plain else str(value)


def _text_column(schema: pa.Schema) -> str | None:
    for name in TEXT_NAMES:
        place = schema.get_field_index(name)
        if place >= 0:
            kind = schema.field(place).type
            if pa.types.is_string(kind) or pa.types.is_large_string(kind):
                return name
    return None


def _suffix(path: Path) -> str:
    return Path(path.name.lower().removesuffix(".gz")).suffix
