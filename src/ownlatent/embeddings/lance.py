"""LanceDB, which a store that ends in ``.lance`` is a table of."""

import os
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


def open_table(path: Path) -> Any:
    """The table in the folder ``path``.

    Raises:
        UsageError: there is none, or lancedb is not installed.
    """
    library = lancedb()
    try:
        return library.connect(path.resolve().parent).open_table(path.stem)
    except Exception as error:  # of many types
        raise damaged(path, "it is no Lance table, or not all of one") from error


def reading(table: Any, columns: Sequence[str], *, own: bool = False) -> Iterator[pa.RecordBatch]:
    """Some columns of every row, in order; with ``own``, LanceDB's own number of the row too."""
    query = table.search().select(list(columns)).with_row_id(own)
    yield from query.to_batches(batch_size=_ROWS)
