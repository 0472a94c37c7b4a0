"""LanceDB, which a store that ends in ``.lance`` is a table of."""

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from ownlatent.checks import damaged
from ownlatent.errors import UsageError

_ROWS = 8192
"""Read at a time."""


def lancedb() -> Any:
    """The library.

    Raises:
        UsageError: it is not installed.
    """
    os.environ.setdefault("RUST_LOG", "error")  # else it warns of each new table
    try:
        import lancedb
    except ImportError as error:
        raise UsageError(
            "Stores that end in .lance need LanceDB: pip install ownlatent[search], or take "
            ".parquet."
        ) from error
    return lancedb


def require_name(path: Path) -> None:
    """Refuse a name that LanceDB has no tables of."""
    if not re.fullmatch(r"[A-Za-z0-9_.-]+\.lance", path.name):
        raise UsageError(
            f"The name of a Lance table has letters from a to z, digits, _, - and . only, and ends "
            f"in .lance; got {path.name!r}: choose another, or take .parquet."
        )


def open_table(path: Path) -> Any:
    """The table in the folder ``path``.

    Raises:
        UsageError: there is none, its name cannot be one, or lancedb is not installed.
    """
    require_name(path)
    library = lancedb()
    try:
        return library.connect(path.resolve().parent).open_table(path.stem)
    except Exception as error:  # of many types
        raise damaged(path, "it is no Lance table, or not all of one") from error


def reading(table: Any, columns: Sequence[str], *, own: bool = False) -> Iterator[pa.RecordBatch]:
    """Some columns of every row, in order; with ``own``, LanceDB's own number of the row too."""
    query = table.search().select(list(columns)).with_row_id(own)
    yield from query.to_batches(batch_size=_ROWS)
