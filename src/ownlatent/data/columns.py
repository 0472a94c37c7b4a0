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

    def values(self, table: pa.Table, name: str) -> NDArray[np.float32]:
        """A table's rows as float32 ``[N, C]``: numbers as they are, NaN where one is missing, and
        categories by their place; -1 is a value that was not there in training.

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
                _codes(table[each], known) if known else _numbers(table[each], f"{name}: {each}")
                for each, known in zip(self.names, self.categories, strict=True)
            ],
            axis=1,
        )


def columns_of(table: pa.Table, name: str) -> Columns:
    """What the columns of a table to train on are.

    Texts, dictionaries and booleans are categories; all else are numbers.

    Raises:
        UsageError: a column of texts has too many values, or one is neither.
    """
    names, categories, means, deviations = [], [], [], []
    for each in table.column_names:
        column, mean, std = table[each], 0.0, 1.0
        known: tuple[str, ...] = ()
        if _is_category(column.type):
            known = tuple(sorted(str(v) for v in pc.unique(column.drop_null()).to_pylist()))
            if len(known) > MOST_CATEGORIES:
                raise UsageError(
                    f"Column {each!r} of {name} has {len(known):,} different texts, more than the "
                    f"{MOST_CATEGORIES} of a category: leave it out, or make numbers of it."
                )
        else:
            values = _numbers(column, f"{name}: {each}").astype(np.float64)
            there = values[np.isfinite(values)]
            if len(there):
                mean, std = float(there.mean()), float(there.std()) or 1.0
        if known or not _is_category(column.type):  # a column of nulls says nothing
            names.append(each)
            categories.append(known)
            means.append(mean)
            deviations.append(std)
    if not names:
        raise UsageError(f"{name} has no column that holds anything: give it some.")
    return Columns(tuple(names), tuple(categories), tuple(means), tuple(deviations))


def plain_columns(values: NDArray[Any]) -> Columns:
    """The columns of an array of numbers ``[N, C]``, named by their place."""
    values = values.astype(np.float64)
    there = np.isfinite(values)
    count = np.maximum(there.sum(0), 1)
    mean = np.where(there, values, 0).sum(0) / count
    std = np.sqrt(np.where(there, (values - mean) ** 2, 0).sum(0) / count)
    width = values.shape[1]
    return Columns(
        names=tuple(f"column {number}" for number in range(width)),
        categories=((),) * width,
        mean=tuple(mean.tolist()),
        std=tuple((each or 1.0) for each in std.tolist()),
    )


class Encode(nn.Module):
    """Rows ``[B, C]`` as :meth:`Columns.values` gives them to float32 ``[B, D]``: numbers
    standardised, missing ones at the mean; categories one-hot, unknown ones all zeros."""

    mean: Tensor
    std: Tensor

    def __init__(self, columns: Columns) -> None:
        super().__init__()
        self.sizes = [len(values) for values in columns.categories]
        self.register_buffer("mean", torch.tensor(columns.mean), persistent=False)
        self.register_buffer("std", torch.tensor(columns.std), persistent=False)

    def forward(self, rows: Tensor) -> Tensor:
        scaled = ((rows - self.mean) / self.std).nan_to_num(0.0, 0.0, 0.0)
        if not any(self.sizes):
            return scaled
        parts = []
        for place, size in enumerate(self.sizes):
            if not size:
                parts.append(scaled[:, place : place + 1])
                continue
            codes = rows[:, place].to(torch.int64) + 1
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


def _numbers(column: pa.ChunkedArray, name: str) -> NDArray[np.float32]:
    kind = column.type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
        if pa.types.is_boolean(kind):
            return np.asarray(pc.cast(column, pa.uint8()).to_numpy(), np.float32)
        raise UsageError(f"{name} holds {kind}, which is neither number nor text: leave it out.")
    values = pc.cast(column, pa.float64()).to_numpy(zero_copy_only=False)
    return np.asarray(values, np.float32)


def _codes(column: pa.ChunkedArray, known: Sequence[str]) -> NDArray[np.float32]:
    places = {value: place for place, value in enumerate(known)}
    return np.array([places.get(str(v), -1) for v in column.to_pylist()], np.float32)
