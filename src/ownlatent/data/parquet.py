"""Parquet tables with a column of encoded images, as Hugging Face writes them."""

import hashlib
import json
import os
from bisect import bisect_right
from collections import OrderedDict
from itertools import accumulate
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch
from torch import Tensor

from ownlatent.data.folder import stamp_files
from ownlatent.data.source import Source
from ownlatent.errors import UsageError

_IMAGE_NAMES = ("image", "img")
_LABEL_NAMES = ("label", "labels", "fine_label")
_GROUPS_KEPT = 2  # reading goes in order, so threads are at most one row group apart


class _Group(NamedTuple):
    """One row group of one file: what a reader gets in one piece."""

    file: pq.ParquetFile
    number: int
    rows: int


class ParquetSource(Source):
    """The rows of one or more Parquet files, one after another; sample ``i`` is ``row:<i>``.

    The image column is the one that the ``huggingface`` metadata of the schema calls an image,
    else ``image`` or ``img``, else the only column that can hold encoded images: binary, or a
    struct with a binary field ``bytes``. Labels are read from ``label``, ``labels`` or
    ``fine_label`` if there is such a column of integers (a null becomes -1); class names come from
    the metadata.
    """

    def __init__(self, root: Path, files: list[str]) -> None:
        self._root, self._files = root, files
        opened = [_open(root / file) for file in files]
        schema = opened[0].schema_arrow
        features = _features(schema)
        self._column = _image_column(str(root / files[0]), schema, features)
        label = _label_column(schema)
        for file, table in zip(files, opened, strict=True):
            for column in filter(None, (self._column, label)):
                if column not in table.schema_arrow.names:
                    raise UsageError(
                        f"{root / file} has no column {column!r}, unlike {files[0]}: "
                        f"give files of one table"
                    )
        self._groups = [
            _Group(table, number, table.metadata.row_group(number).num_rows)
            for table in opened
            for number in range(table.num_row_groups)
        ]
        self._ends = list(accumulate(group.rows for group in self._groups))
        self._kept: OrderedDict[int, pa.Array] = OrderedDict()
        self._lock = Lock()
        count = self._ends[-1] if self._ends else 0
        if count == 0:
            raise UsageError(f"{root / files[0]} holds no row: give it images")
        names = [f"row:{row}" for row in range(count)]
        labels = None if label is None else _read_labels(opened, label)
        classes = features.get(label or "", {}).get("names")
        name = str(root / files[0]) if len(files) == 1 else str(root)
        super().__init__(name, names, labels, classes)

    def stamp(self) -> str:
        return stamp_files(self._root, self._files)

    def outline(self) -> str:
        files = (f"{each}\0{(self._root / each).stat().st_size}" for each in self._files)
        return hashlib.sha256(os.fsencode("\0".join(files))).hexdigest()

    def _load(self, index: int) -> bytes:
        group = bisect_right(self._ends, index)
        start = self._ends[group] - self._groups[group].rows
        encoded = self._encoded(group)[index - start].as_py()
        if encoded is None:
            raise ValueError("the row holds no image bytes: embed the images in the table")
        return bytes(encoded)

    def _encoded(self, group: int) -> pa.Array:
        with self._lock:  # neither the reader nor the ordered dict may be used by two threads
            if group not in self._kept:
                file, number, _ = self._groups[group]
                table = file.read_row_group(number, columns=[self._column], use_threads=False)
                column = table[self._column].combine_chunks()
                is_struct = pa.types.is_struct(column.type)
                self._kept[group] = pc.struct_field(column, "bytes") if is_struct else column
                if len(self._kept) > _GROUPS_KEPT:
                    self._kept.popitem(last=False)
            self._kept.move_to_end(group)
            return self._kept[group]


def _open(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path, memory_map=True)
    except (OSError, pa.ArrowException) as error:
        why = str(error).split("\n")[0].rstrip(".")
        raise UsageError(
            f"{path} is not a readable Parquet file ({why}): write or download it again"
        ) from error


def _features(schema: pa.Schema) -> dict[str, Any]:
    """The Hugging Face feature of each column, as its metadata tells it."""
    metadata = (schema.metadata or {}).get(b"huggingface", b"{}")
    try:
        features = json.loads(metadata)["info"]["features"]
    except (ValueError, KeyError, TypeError):
        return {}
    return {name: feature for name, feature in features.items() if isinstance(feature, dict)}


def _image_column(path: str, schema: pa.Schema, features: dict[str, Any]) -> str:
    able = [field.name for field in schema if _can_hold_images(field.type)]
    said = [name for name in able if features.get(name, {}).get("_type") == "Image"]
    for choice in (said, able):
        named = [name for name in _IMAGE_NAMES if name in choice]
        if named or len(choice) == 1:
            return (named or choice)[0]
    raise UsageError(
        f"{path} has the columns {', '.join(schema.names)}, and which of them holds the encoded "
        f"images is not clear: name it 'image'"
    )


def _can_hold_images(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        at = kind.get_field_index("bytes")
        return at >= 0 and _can_hold_images(kind.field(at).type)
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _label_column(schema: pa.Schema) -> str | None:
    able = [field.name for field in schema if pa.types.is_integer(field.type)]
    return next((name for name in _LABEL_NAMES if name in able), None)


def _read_labels(files: list[pq.ParquetFile], column: str) -> Tensor:
    parts = [file.read(columns=[column])[column].cast(pa.int64()) for file in files]
    values = pa.chunked_array([chunk for part in parts for chunk in part.chunks], type=pa.int64())
    return torch.from_numpy(pc.fill_null(values, -1).to_numpy().copy())
