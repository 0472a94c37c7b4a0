"""Rows in a text file: what parts their values, whether names stand first, and the values."""

import csv
import gzip
import itertools
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv

MISSING = ("", "?", "NA", "NaN", "nan")
"""What stands for a value that is not there."""
_HEAD = 100  # lines that tell whether the first row is a header


def opened(path: Path, errors: str = "strict") -> Any:
    """The file as UTF-8 text, unpacked where its name ends in ``.gz``."""
    how: Any = gzip.open if path.name.lower().endswith(".gz") else open
    return how(path, "rt", newline="", encoding="utf-8-sig", errors=errors)


def rows_of(file: Any, path: Path) -> tuple[Iterator[list[str]], str]:
    """The rows of an opened file, and what parts their values: a tab in ``.tsv``; elsewhere a
    comma, or a semicolon or tab where the first line has one and no comma."""
    line = file.readline()
    delimiter = ","
    if path.name.lower().removesuffix(".gz").endswith(".tsv"):
        delimiter = "\t"
    elif "," not in line:
        delimiter = next((each for each in ";\t" if each in line), ",")
    lines = itertools.chain([line] if line else [], file)
    return csv.reader(lines, delimiter=delimiter, skipinitialspace=True), delimiter


def read_separated(
    path: Path, texts: Collection[str] = (), names: Collection[str] = ()
) -> tuple[pa.Table, bool]:
    """The rows, and whether the first one is a header; without one a column is called
    ``column <its number>``.

    Args:
        texts: columns that are read as texts, whatever they look like.
        names: cells that are names where they stand in the first row only.

    Raises:
        OSError, ValueError, EOFError, csv.Error, pa.ArrowException: it cannot be read.
    """
    with opened(path) as file:
        rows, delimiter = rows_of(file, path)
        head = list(itertools.islice(rows, _HEAD))
    blank = next((place for place, row in enumerate(head) if row), None)
    if blank is None:
        raise ValueError("it is empty")
    first = [cell.strip() for cell in head[blank]]
    header = is_header(first, head[blank + 1 :], names)
    called = first if header else [f"column {number}" for number in range(len(first))]
    packed = "gzip" if path.name.lower().endswith(".gz") else None
    with pa.input_stream(str(path), compression=packed) as stream:
        table = pyarrow.csv.read_csv(
            stream,
            read_options=pyarrow.csv.ReadOptions(
                column_names=called, skip_rows_after_names=blank + 1 if header else 0
            ),
            parse_options=pyarrow.csv.ParseOptions(delimiter=delimiter),
            convert_options=pyarrow.csv.ConvertOptions(
                null_values=[pad + each for each in MISSING for pad in ("", " ")],
                strings_can_be_null=True,
                column_types={each: pa.string() for each in called if each in texts},
            ),
        )
    if any(pa.types.is_binary(kind) for kind in table.schema.types):
        raise UnicodeError("it holds bytes that are no text")
    return table, header


def is_header(
    first: Sequence[str], others: Sequence[Sequence[str]], names: Collection[str]
) -> bool:
    """Whether a first row holds names: none of it is a number, or one of it is a text above
    numbers only, or one of ``names`` that does not come again in its column."""
    if not any(map(is_number, first)):
        return True
    for place, cell in enumerate(first):
        if cell in MISSING or is_number(cell):
            continue
        column = (row[place].strip() for row in others if place < len(row))
        below = {each for each in column if each not in MISSING}
        if (below and all(map(is_number, below))) or (cell in names and cell not in below):
            return True
    return False


def is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return "_" not in text  # Python takes 1_000, and files mean a name by it
