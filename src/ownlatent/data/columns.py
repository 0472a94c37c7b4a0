"""What the columns of a table mean, and a row as numbers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from ownlatent.data.separated import is_number
from ownlatent.errors import UsageError

MOST_CATEGORIES = 256
"""A column of texts with more different values than this is no category."""


@dataclass(frozen=True)
class Columns:
    """The columns of the table that an encoder was trained on.

    Attributes:
        names: of the C columns.
        categories: of each column its values as texts, sorted; () for a column of numbers.
        mean, std: of each column of numbers where it has one; 0 and 1 elsewhere.
    """

    names: tuple[str, ...]
    categories: tuple[tuple[str, ...], ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    kind: str = "vectors"

    @property
    def channels(self) -> int:
        """Length D of an encoded row: 1 for a number, the number of values for a category."""
        return sum(max(1, len(values)) for values in self.categories)

    def values(self, table: pa.Table, name: str) -> NDArray[np.float64]:
        """A table's rows as float64 ``[N, C]``: numbers as they are, NaN where one is missing, and
        categories by their place; -1 is a missing value, or one that was not there in training.

        Double precision, because timestamps and the like differ in their last digits only.

        Raises:
            UsageError: a column is missing, or holds texts where numbers are wanted.
        """
        absent = [each for each in self.names if each not in table.column_names]
        if absent:
            raise UsageError(
                f"{name} has no column {absent[0]!r}, which the encoder was trained on: give a "
                f"table with the columns {', '.join(self.names)}."
            )
        return np.stack(
            [
                _codes(table[each], known) if known else _numbers(table[each], each, name)
                for each, known in zip(self.names, self.categories, strict=True)
            ],
            axis=1,
        )

    def require_codes(self, rows: Tensor) -> None:
        """Raises UsageError where rows ``[B, C]`` hold what is no place of a category."""
        for place, known in enumerate(self.categories):
            codes = rows[:, place].nan_to_num(-1) if known else rows[:0, place]
            wrong = codes[(codes < -1) | (codes >= len(known)) | (codes != codes.floor())]
            if len(wrong):
                raise UsageError(
                    f"Column {self.names[place]!r} is a category of {len(known)} values and cannot "
                    f"be {wrong[0].item():g}: give their places from 0 to {len(known) - 1}, -1 for "
                    "an unknown one, or a table of the values themselves."
                )


def columns_of(table: pa.Table, name: str) -> tuple[Columns, list[str]]:
    """What the columns of a table to train on are, and what a person should know of them.

    Texts, dictionaries and booleans are categories; all else are numbers. Columns that hold nothing
    are left out.

    Raises:
        UsageError: a column of texts has too many values, or one is neither.
    """
    names, categories, moments, remarks = [], [], [], []
    for each in table.column_names:
        column = table[each]
        known: tuple[str, ...] = ()
        mean, std = 0.0, 1.0
        if _is_category(column.type):
            held = [text for text in map(as_text, column.to_pylist()) if text is not None]
            known, empty = tuple(sorted(set(held))), not held
            odd = next((text for text in held if not is_number(text)), None)
            if len(known) > MOST_CATEGORIES:
                raise UsageError(
                    f"Column {each!r} of {name} has {len(known):,} different texts"
                    + (f", such as {odd!r}" if odd else "")
                    + f", more than the {MOST_CATEGORIES} of a category: leave it out, or make "
                    "numbers of it."
                )
            numbers = sum(map(is_number, held))
            if odd is not None and 2 * numbers >= len(held):
                remarks.append(
                    f"{each!r} is a category and not a number, as it holds {odd!r} (a typing "
                    "error?)"
                )
        else:
            values = _numbers(column, each, name)
            empty = bool(np.isnan(values).all())
            mean, std = _moments(values)
        if empty:
            remarks.append(f"{each!r} is left out, as it holds nothing")
            continue
        names.append(each)
        categories.append(known)
        moments.append((mean, std))
    if not names:
        raise UsageError(f"{name} has no column that holds anything: give it some.")
    means, deviations = zip(*moments, strict=True)
    return Columns(tuple(names), tuple(categories), means, deviations), remarks


def plain_columns(values: NDArray[Any]) -> Columns:
    """The columns of an array of numbers ``[N, C]``, named by their place."""
    width = values.shape[1]
    moments = [_moments(column) for column in values.T.astype(np.float64)]
    return Columns(
        names=tuple(f"column {number}" for number in range(width)),
        categories=((),) * width,
        mean=tuple(mean for mean, _ in moments),
        std=tuple(std for _, std in moments),
    )


def _moments(values: NDArray[np.float64]) -> tuple[float, float]:
    """Mean and deviation of what is finite; a deviation of 1 where it is none but rounding."""
    there = values[np.isfinite(values)]
    if not len(there):
        return 0.0, 1.0
    shifted = there - there[0]  # so that equal values have no deviation at all, however many
    mean, std = float(there[0] + shifted.mean()), float(shifted.std())
    return mean, std if std > np.finfo(np.float64).eps * abs(mean) else 1.0


class Encode(nn.Module):
    """Rows ``[B, C]`` as :meth:`Columns.values` gives them to float32 ``[B, D]``: numbers
    standardised in double precision, missing ones at the mean; categories one-hot, unknown ones all
    zeros."""

    mean: Tensor
    std: Tensor

    def __init__(self, columns: Columns) -> None:
        super().__init__()
        self.sizes = [len(values) for values in columns.categories]
        self.register_buffer(
            "mean", torch.tensor(columns.mean, dtype=torch.float64), persistent=False
        )
        self.register_buffer(
            "std", torch.tensor(columns.std, dtype=torch.float64), persistent=False
        )

    def forward(self, rows: Tensor) -> Tensor:
        scaled = ((rows - self.mean) / self.std).float().nan_to_num(0.0, 0.0, 0.0)
        if not any(self.sizes):
            return scaled
        parts = []
        for place, size in enumerate(self.sizes):
            if not size:
                parts.append(scaled[:, place : place + 1])
                continue
            codes = rows[:, place].nan_to_num(-1.0).to(torch.int64) + 1
            parts.append(F.one_hot(codes, size + 1)[:, 1:].to(scaled.dtype))
        return torch.cat(parts, 1)

    @property
    def owners(self) -> Tensor:
        """int64 ``[D]``: the column that each encoded number belongs to."""
        return torch.repeat_interleave(torch.tensor([max(1, size) for size in self.sizes]))


def _is_category(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_dictionary(kind)
        or pa.types.is_boolean(kind)
    )


def as_text(value: Any) -> str | None:
    """A category's or a class's value as a text, alike from files of every kind; None is none."""
    if isinstance(value, float):
        if value != value:
            return None
        value = int(value) if value.is_integer() else value  # missing ones make floats of numbers
    if value is None:
        return None
    text = str(value).strip()
    return text.lower() if text in ("True", "False") else text or None


def _numbers(column: pa.ChunkedArray, each: str, name: str) -> NDArray[np.float64]:
    kind = column.type
    if pa.types.is_null(kind):
        return np.full(len(column), np.nan)
    if pa.types.is_boolean(kind):
        column = pc.cast(column, pa.uint8())
    elif _is_category(kind):
        texts = [as_text(value) for value in column.to_pylist()]
        odd = next((text for text in texts if text is not None and not is_number(text)), None)
        if odd is not None:
            raise UsageError(
                f"Column {each!r} of {name} holds {odd!r}, where the encoder takes numbers: "
                "correct it, or leave it empty."
            )
        return np.array([np.nan if text is None else float(text) for text in texts])
    elif not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
        raise UsageError(
            f"Column {each!r} of {name} holds {kind}, which is neither number nor text: leave it "
            "out."
        )
    values = pc.cast(column, pa.float64(), safe=False)  # safe refuses whole numbers beyond 2^53
    return np.asarray(values.to_numpy(zero_copy_only=False), np.float64)


def _codes(column: pa.ChunkedArray, known: Sequence[str]) -> NDArray[np.float64]:
    places = {as_text(value): place for place, value in enumerate(known)}
    places[None] = -1
    return np.array([places.get(as_text(v), -1) for v in column.to_pylist()], np.float64)
