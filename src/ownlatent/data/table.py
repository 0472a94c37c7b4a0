"""Tables of numbers and categories: rows that are samples."""

import csv
import gzip
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar
from zipfile import BadZipFile

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from torch import Tensor

from ownlatent.data.columns import Columns, columns_of, plain_columns
from ownlatent.data.fingerprint import content_digests, data_fingerprint, sample_ids
from ownlatent.data.held import Held
from ownlatent.errors import UsageError

SUFFIXES = (".csv", ".tsv", ".csv.gz", ".tsv.gz")
LABEL_NAMES = ("label", "labels", "class", "target", "y")


@dataclass(frozen=True, kw_only=True)
class Table(Held):
    """Rows of numbers and categories.

    Attributes:
        values: float32 ``[N, C]``; see :meth:`Columns.values`.
        columns: what they mean.
        digests: uint8 ``[N, 16]``, of the rows' values.
    """

    kind: ClassVar[str] = "vectors"

    values: Tensor
    columns: Columns

    @property
    def content(self) -> Tensor:
        return self.values

    def summary(self) -> str:
        """One line: how many, and of what."""
        categories = sum(bool(each) for each in self.columns.categories)
        numbers = len(self.columns.names) - categories
        some = [f"{numbers} number{'s' * (numbers != 1)}"] if numbers else []
        if categories:
            some.append(f"{categories} {'category' if categories == 1 else 'categories'}")
        return f"{len(self):,} rows of {' and '.join(some)}"


def open_table(
    data: Any, *, columns: Columns | None = None, label: str | None = None, labelled: bool = False
) -> Table:
    """The rows of a table.

    Args:
        data: a ``.csv`` or ``.tsv`` file (``.gz`` too; a first row without a number is the
            header), a Parquet file, a ``.npy`` or ``.npz`` file or an array of numbers ``[N, C]``,
            a pandas ``DataFrame`` or an Arrow table.
        columns: those of an encoder; None: what the table has.
        label: the column that holds the labels, by name or number; None: ``label``, ``class``,
            ``target`` or ``y``. It is not a feature.
        labelled: labels are needed.

    Raises:
        UsageError: there is nothing there, no such column, or no label where needed.
    """
    name = str(data) if isinstance(data, str | Path) else "the table"
    read = _read(data, name)
    if isinstance(read, tuple):
        array, answers = read
        known = columns or plain_columns(array)
        if array.shape[1] != len(known.names):
            raise UsageError(
                f"{name} has {array.shape[1]} columns, and the encoder takes {len(known.names)}."
            )
        values, labels, classes = array, None, None
        if answers is not None:
            labels, classes = as_labels(pa.chunked_array([pa.array(answers)]))
    else:
        if read.num_rows == 0:
            raise UsageError(f"{name} holds no row: give it some.")
        column = label_column(read, label, name)
        labels, classes = (None, None) if column is None else as_labels(read[column])
        features = read if column is None else read.drop_columns([column])
        known = columns or columns_of(features, name)
        values = known.values(features, name)
    if len(values) == 0:
        raise UsageError(f"{name} holds no row: give it some.")
    if labelled and labels is None:
        raise UsageError(
            f"{name} has no labels: name the column that holds them, one of "
            f"{', '.join(LABEL_NAMES)}, or say which it is by --label."
        )
    values = np.ascontiguousarray(values, np.float32)
    names = [f"row:{row}" for row in range(len(values))]
    ids = sample_ids(names)
    digests = content_digests(row.tobytes() for row in values)
    return Table(
        values=torch.from_numpy(values),
        columns=known,
        ids=ids,
        labels=labels,
        classes=classes,
        names=names,
        digests=digests,
        fingerprint=data_fingerprint(ids.numpy(), digests),
    )


def is_table(data: Any) -> bool:
    """Whether ``data`` are rows of a table, and not images."""
    if isinstance(data, pa.Table) or type(data).__module__.startswith("pandas."):
        return True
    if isinstance(data, np.ndarray | Tensor):
        return data.ndim == 2
    if not isinstance(data, str | Path):
        return False
    path = Path(data).expanduser()
    if path.name.lower().endswith(SUFFIXES):
        return True
    try:
        if path.suffix == ".npy":
            return bool(np.load(path, mmap_mode="r").ndim == 2)
        if path.suffix == ".npz":
            with np.load(path) as loaded:
                return "x" in loaded and loaded["x"].ndim == 2
        if path.suffix == ".parquet":
            kinds = pq.read_schema(path).types
            return not any(map(_may_hold_more, kinds))
    except (OSError, ValueError, EOFError, BadZipFile, pa.ArrowException):
        pass  # who opens it as images says what is wrong
    return False


def _may_hold_more(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or
                pa.types.is_nested(kind))  # fmt: skip


def _read(data: Any, name: str) -> "pa.Table | tuple[NDArray[Any], NDArray[Any] | None]":
    """An Arrow table, or an array of numbers and perhaps labels."""
    if isinstance(data, pa.Table):
        return data
    if type(data).__module__.startswith("pandas."):
        return pa.Table.from_pandas(data, preserve_index=False)
    if isinstance(data, Tensor):
        data = data.detach().cpu().numpy()
    if isinstance(data, np.ndarray):
        return _numeric(data, name), None
    path = Path(data).expanduser()
    try:
        if path.suffix == ".npz":
            with np.load(path) as loaded:
                return _numeric(loaded["x"], name), loaded.get("y")
        if path.suffix == ".npy":
            return _numeric(np.load(path), name), None
        if path.suffix == ".parquet":
            return pq.read_table(path)
        return _read_csv(path)
    except (OSError, ValueError, EOFError, BadZipFile, pa.ArrowException) as error:
        why = str(error).split("\n")[0].rstrip(".")
        raise UsageError(f"{path} is not a readable table ({why}): write it again.") from error


def _numeric(array: NDArray[Any], name: str) -> NDArray[Any]:
    if array.ndim != 2 or array.dtype.kind not in "fiub":
        raise UsageError(
            f"{name} holds {array.dtype} {list(array.shape)}: give an array of numbers [N, C]."
        )
    return array


def _read_csv(path: Path) -> pa.Table:
    delimiter = "\t" if ".tsv" in path.name.lower() else ","
    opened: Any = gzip.open if path.name.lower().endswith(".gz") else open
    with opened(path, "rt", newline="", encoding="utf-8", errors="replace") as file:
        first = next(csv.reader(file, delimiter=delimiter, skipinitialspace=True), [])
    header = not any(map(_is_number, first))
    names = None if header else [f"column {number}" for number in range(len(first))]
    return pyarrow.csv.read_csv(
        path,
        read_options=pyarrow.csv.ReadOptions(column_names=names),
        parse_options=pyarrow.csv.ParseOptions(delimiter=delimiter),
        convert_options=pyarrow.csv.ConvertOptions(
            null_values=["", "?", "NA", "NaN", "nan", " ?"], strings_can_be_null=True
        ),
    )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def label_column(table: pa.Table, label: str | None, name: str) -> str | None:
    """The column that holds the labels; see :func:`open_table`."""
    names: list[str] = table.column_names
    if label is None:
        return next((each for each in LABEL_NAMES if each in names), None)
    if label in names:
        return label
    if label.lstrip("-").isdigit() and -len(names) <= int(label) < len(names):
        return names[int(label)]
    raise UsageError(f"{name} has no column {label!r}; it has {', '.join(names)}.")


def as_labels(column: pa.ChunkedArray) -> tuple[Tensor, list[str]]:
    """Numbers by the sorted order of the values; -1 where there is none."""
    values = column.to_pylist()
    known = sorted({v for v in values if v is not None}, key=lambda v: (str(type(v)), v))
    places = {value: place for place, value in enumerate(known)}
    return torch.tensor([places.get(v, -1) for v in values]), [str(v).strip() for v in known]
