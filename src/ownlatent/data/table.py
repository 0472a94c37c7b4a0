"""Tables of numbers and categories: rows that are samples."""

import csv
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple
from zipfile import BadZipFile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from torch import Tensor

from ownlatent.data.columns import Columns, as_text, columns_of, plain_columns
from ownlatent.data.fingerprint import content_digests, data_fingerprint, sample_ids
from ownlatent.data.held import Held
from ownlatent.data.opening import check_labels
from ownlatent.data.separated import read_separated
from ownlatent.errors import UsageError

SUFFIXES = (".csv", ".tsv", ".csv.gz", ".tsv.gz")
LABEL_NAMES = ("label", "labels", "class", "target", "y")
_FORMS = "a .csv, .tsv, .parquet, .npy or .npz file, an array [N, C] or a DataFrame"


@dataclass(frozen=True, kw_only=True)
class Table(Held):
    """Rows of numbers and categories.

    Attributes:
        values: float64 ``[N, C]``; see :meth:`Columns.values`.
        columns: what they mean.
        remarks: what else a person should know: of header, labels and odd columns.
        digests: uint8 ``[N, 16]``, of the rows' values.
    """

    kind: ClassVar[str] = "vectors"

    values: Tensor
    columns: Columns
    remarks: tuple[str, ...] = ()

    @property
    def content(self) -> Tensor:
        return self.values

    def summary(self) -> str:
        """One line: how many, of what, and what was made of the file."""
        categories = sum(bool(each) for each in self.columns.categories)
        numbers = len(self.columns.names) - categories
        some = [f"{numbers} number{'s' * (numbers != 1)}"] if numbers else []
        if categories:
            some.append(f"{categories} {'category' if categories == 1 else 'categories'}")
        return "; ".join([f"{len(self):,} rows of {' and '.join(some)}", *self.remarks])


def open_table(
    data: Any, *, columns: Columns | None = None, label: str | None = None, labelled: bool = False
) -> Table:
    """The rows of a table.

    Args:
        data: a ``.csv`` or ``.tsv`` file (``.gz`` too; for its header see
            :func:`ownlatent.data.separated.is_header`), a Parquet file, a ``.npy`` or ``.npz`` file
            or an array of numbers ``[N, C]``, a pandas ``DataFrame`` or an Arrow table.
        columns: those of an encoder; None: what the table has.
        label: the column that holds the labels, by name or number; None: ``label``, ``class``,
            ``target`` or ``y``. It is not a feature.
        labelled: labels are needed, one for every row.

    Raises:
        UsageError: there is nothing there, no such column, or no label where needed.
    """
    name = str(data) if isinstance(data, str | Path) else "the table"
    read = _read(data, name, columns, label)
    labels, classes, remarks = None, None, list(read.remarks)
    if isinstance(read.rows, np.ndarray):
        values = read.rows
        known = columns or plain_columns(values)
        if values.shape[1] != len(known.names):
            raise UsageError(
                f"{name} has {values.shape[1]} columns, and the encoder takes {len(known.names)}."
            )
        if columns is not None:
            columns.require_codes(torch.from_numpy(values.astype(np.float64)))
        if read.answers is not None:
            labels, classes = as_labels(pa.chunked_array([pa.array(read.answers)]))
    else:
        _require_distinct(read.rows.column_names, name)
        features = () if columns is None else columns.names
        column = label_column(read.rows, label, name, features)
        if column is not None:
            labels, classes = as_labels(read.rows[column])
            remarks.append(f"labels from {column!r}")
        rows = read.rows if column is None else read.rows.drop_columns([column])
        if len(rows) == 0:
            raise UsageError(f"{name} holds no row: give it some.")
        known, found = columns_of(rows, name) if columns is None else (columns, [])
        remarks += found
        values = known.values(rows, name)
    if len(values) == 0:
        raise UsageError(f"{name} holds no row: give it some.")
    if labelled and labels is None:
        raise UsageError(
            f"{name} has no labels: name the column that holds them, one of "
            f"{', '.join(LABEL_NAMES)}, or say which it is by --label."
        )
    if labelled:
        check_labels(name, labels)
    values = np.ascontiguousarray(values, np.float64)
    names = [f"row:{row}" for row in range(len(values))]
    ids = sample_ids(names)
    digests = content_digests(row.tobytes() for row in values)
    return Table(
        values=torch.from_numpy(values),
        columns=known,
        remarks=tuple(remarks),
        ids=ids,
        labels=labels,
        classes=classes,
        names=names,
        digests=digests,
        fingerprint=data_fingerprint(ids.numpy(), digests),
    )


def _require_distinct(names: list[str], name: str) -> None:
    twice = next((each for place, each in enumerate(names) if each in names[:place]), None)
    if twice is not None:
        raise UsageError(
            f"{name} has several columns called {twice!r}: give each a name of its own, in a first "
            "row of names if it has none."
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
        if path.suffix.lower() == ".npy":
            return bool(np.load(path, mmap_mode="r").ndim == 2)
        if path.suffix.lower() == ".npz":
            with np.load(path) as loaded:
                return "x" in loaded and loaded["x"].ndim == 2
        if path.suffix.lower() == ".parquet":
            kinds = pq.read_schema(path).types
            return not any(map(_may_hold_more, kinds))
    except (OSError, ValueError, EOFError, BadZipFile, pa.ArrowException):
        pass  # who opens it as images says what is wrong
    return False


def _may_hold_more(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or
                pa.types.is_nested(kind))  # fmt: skip


class _Read(NamedTuple):
    """An Arrow table or an array of numbers, labels beside an array, and what to say of it."""

    rows: "pa.Table | NDArray[Any]"
    answers: "NDArray[Any] | None" = None
    remarks: tuple[str, ...] = ()


def _read(data: Any, name: str, columns: Columns | None, label: str | None) -> _Read:
    if isinstance(data, pa.Table):
        return _Read(data)
    if type(data).__module__.startswith("pandas."):
        _require_distinct([str(each) for each in getattr(data, "columns", [])], name)
        try:
            return _Read(pa.Table.from_pandas(data, preserve_index=False))
        except pa.ArrowException as error:
            why = str(error).split("\n")[0].rstrip(".")
            raise UsageError(f"The DataFrame has a column of several types: {why}.") from error
    if isinstance(data, Tensor):
        data = data.detach().cpu().numpy()
    if isinstance(data, np.ndarray):
        return _Read(_numeric(data, name))
    if not isinstance(data, str | Path):
        raise UsageError(f"A table cannot be a {type(data).__name__}: give {_FORMS}.")
    path = Path(data).expanduser()
    try:
        return _read_file(path, name, columns, label)
    except FileNotFoundError as error:
        raise UsageError(f"{path} does not exist: give {_FORMS}.") from error
    except IsADirectoryError as error:
        raise UsageError(f"{path} is a folder: give {_FORMS}.") from error
    except UnicodeError as error:
        raise UsageError(
            f"{path} is not UTF-8: save it as UTF-8, by iconv or a spreadsheet's export say."
        ) from error
    except (OSError, ValueError, EOFError, BadZipFile, csv.Error, pa.ArrowException) as error:
        why = str(error).split("\n")[0].rstrip(".")
        raise UsageError(f"{path} is not a readable table ({why}): write it again.") from error


def _read_file(path: Path, name: str, columns: Columns | None, label: str | None) -> _Read:
    suffix = path.suffix.lower()
    if suffix == ".npz":
        with np.load(path) as loaded:
            if "x" not in loaded:
                raise UsageError(f"{path} has no array 'x': call the rows by that name.")
            array, answers = _numeric(loaded["x"], name), loaded.get("y")
        if answers is not None and answers.shape != array.shape[:1]:
            raise UsageError(
                f"The labels 'y' in {path} are {list(answers.shape)}: give one for each of the "
                f"{len(array)} rows."
            )
        return _Read(array, answers)
    if suffix == ".npy":
        return _Read(_numeric(np.load(path), name))
    if suffix == ".parquet":
        return _Read(pq.read_table(path))
    known = dict(zip(columns.names, columns.categories, strict=True)) if columns else {}
    texts = [each for each, values in known.items() if values]
    asked = [] if label is None else [label]
    table, header = read_separated(path, texts, [*LABEL_NAMES, *asked, *known])
    return _Read(table, remarks=("the first row is the header" if header else "no header",))


def _numeric(array: NDArray[Any], name: str) -> NDArray[Any]:
    if array.ndim != 2 or array.dtype.kind not in "fiub":
        raise UsageError(
            f"{name} holds {array.dtype} {list(array.shape)}: give an array of numbers [N, C]."
        )
    return array


def label_column(
    table: pa.Table, label: str | None, name: str, features: Collection[str] = ()
) -> str | None:
    """The column that holds the labels; see :func:`open_table`. ``features`` are an encoder's
    columns, and none of them holds labels."""
    names: list[str] = table.column_names
    if label is None:
        return next((each for each in LABEL_NAMES if each in names and each not in features), None)
    if label in names:
        found = label
    elif re.fullmatch("-?[0-9]+", label) and -len(names) <= int(label) < len(names):
        found = names[int(label)]
    else:
        raise UsageError(f"{name} has no column {label!r}; it has {', '.join(names)}.")
    if found in features:
        raise UsageError(
            f"The encoder was trained with {found!r} as a feature, so that it knows these labels: "
            f"pretrain anew with --label {found}."
        )
    return found


def as_labels(column: pa.ChunkedArray) -> tuple[Tensor, list[str]]:
    """Numbers by the sorted order of the values; -1 where there is none, NaN included."""
    values = [v.strip() if isinstance(v, str) else v for v in column.to_pylist()]
    values = [v if as_text(v) is not None else None for v in values]
    known = sorted({v for v in values if v is not None}, key=lambda v: (str(type(v)), v))
    places = {value: place for place, value in enumerate(known)}
    return torch.tensor([places.get(v, -1) for v in values]), [str(as_text(v)) for v in known]
