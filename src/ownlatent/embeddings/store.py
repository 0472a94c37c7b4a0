"""A store of vectors, opened: what :func:`write_embeddings` wrote, in Parquet or in Lance."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray

from ownlatent.checks import damaged, require_within
from ownlatent.data.folder import SUFFIXES
from ownlatent.embeddings import index
from ownlatent.embeddings.lance import open_table, reading
from ownlatent.errors import UsageError

KEY = b"ownlatent"
"""Under which a store's schema says where the vectors come from, as JSON."""
FORMS = (".parquet", ".lance")
_COLUMNS = {"id": pa.types.is_int64, "path": pa.types.is_string, "label": pa.types.is_string}
_FILES = SUFFIXES | {".wav"}
_ROWS = 8192
"""Read at a time."""
_COSINES = 2**24
"""Held at once: 64 MiB."""

Batches = Callable[[Sequence[str]], Iterator[pa.RecordBatch]]
"""Some columns of every row, in order, some rows at a time."""


class Near(NamedTuple):
    """What lies nearest to each query, the nearest first."""

    rows: NDArray[np.int64]
    """``[Q, k]``"""
    similarity: NDArray[np.float32]
    """Cosines ``[Q, k]``."""


@dataclass
class Store:
    """Vectors of samples, with what is known of each; see :func:`open_store`.

    Attributes:
        path: where it is.
        ids: int64 ``[N]``; see `ownlatent.data.sample_id`.
        names: the samples' names: paths below the folder they came from, or "row:12".
        labels: class names, or None where there is none.
        dim: D, length of a vector.
        origin: the encoder and the data that the vectors are of, as they were written.
    """

    path: Path
    ids: NDArray[np.int64]
    names: list[str]
    labels: list[str | None]
    dim: int
    origin: dict[str, Any]
    _batches: Batches = field(repr=False)
    _ask: index.Ask | None = field(default=None, repr=False)
    _vectors: NDArray[np.float32] | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self.names)

    def vectors(self) -> NDArray[np.float32]:
        """All vectors, float32 ``[N, D]``, of unit length (one of zeros stays so). They are read
        once, and kept.

        Raises:
            UsageError: they cannot be read, or hold NaN or infinity.
        """
        if self._vectors is None:
            made = np.empty((len(self), self.dim), np.float32)
            start = 0
            for batch in _reading(self.path, self._batches(["vector"])):
                flat = batch.column(0).flatten().to_numpy(zero_copy_only=False)
                part = made[start : start + len(batch)]
                if flat.size != part.size:
                    raise damaged(self.path, "vectors are missing")
                part[:] = unit(flat.reshape(part.shape))
                start += len(batch)
            if start != len(self):
                raise damaged(self.path, "rows are missing")
            broken = int((~np.isfinite(made).all(axis=1)).sum())
            if broken:
                raise UsageError(
                    f"{broken:,} of {len(self):,} vectors in {self.path} hold NaN or infinity; "
                    "embed with a checkpoint from before the training diverged."
                )
            self._vectors = made
        return self._vectors

    def how(self, k: int = 1, *, exact: bool = False) -> str:
        """How ``k`` neighbours are found, and why; see `near`."""
        count = f"{len(self):,} vectors"
        if exact:
            return "exact, as asked"
        if self._asks(k):
            return f"{index.NAME}, for {count} ({index.LARGE:,} or more)"
        if self._ask is not None:
            return f"exact, for {k:,} neighbours (more than {index.MOST})"
        if len(self) < index.LARGE:
            return f"exact, for {count} (fewer than {index.LARGE:,})"
        return f"exact, for {count} without an index (embed into .lance to have one)"

    def _asks(self, k: int) -> bool:
        """Whether the index is asked for ``k`` neighbours."""
        return self._ask is not None and k <= index.MOST

    def near(self, queries: NDArray[Any], k: int, *, exact: bool = False) -> Near:
        """The ``k`` samples nearest to each query by cosine, the nearest first.

        Args:
            queries: ``[Q, D]``, of any length.
            k: from 1 to N.
            exact: compare with all, although there is an index.

        Raises:
            UsageError: the queries are of another dimension or not finite, or ``k`` is out of
                bounds.
        """
        require_within("k", k, 1, len(self))
        if queries.ndim != 2 or queries.shape[1] != self.dim:
            raise UsageError(
                f"Queries of {self.path} have {self.dim} dimensions; got {list(queries.shape)}: "
                "embed them with the store's encoder."
            )
        if not np.isfinite(queries).all():
            raise UsageError("A query holds NaN or infinity; embed it anew.")
        if not exact and self._ask is not None and self._asks(k):
            answers = [self._ask(query, k) for query in unit(queries)]
            found = [answer for answer in answers if answer is not None]
            if len(found) == len(queries):
                rows = np.array([own for own, _ in found]).reshape(-1, k)
                similarity = np.array([own for _, own in found], np.float32).reshape(-1, k)
                return Near(rows, similarity.clip(-1, 1))
        bank = torch.from_numpy(self.vectors())
        asked = torch.from_numpy(unit(queries))
        rows = np.empty((len(queries), k), np.int64)
        similarity = np.empty((len(queries), k), np.float32)
        step = max(1, _COSINES // len(self))
        for start in range(0, len(queries), step):
            part = slice(start, start + step)
            best = (asked[part] @ bank.T).topk(k, dim=1)
            rows[part], similarity[part] = best.indices.numpy(), best.values.numpy()
        return Near(rows, similarity.clip(-1, 1))

    def file(self, row: int) -> Path | None:
        """The file of the sample at ``row``: an image or a sound below the folder that was
        embedded, and None where there is none, or where the name or a link leads outside."""
        root = self.origin.get("root")
        if not isinstance(root, str):
            return None
        try:
            inside = Path(root).resolve(strict=True)
            file = (inside / self.names[row]).resolve(strict=True)
            name = Path(self.names[row])
            plain = not name.is_absolute() and ".." not in name.parts
            fits = plain and file.is_relative_to(inside) and file.suffix.lower() in _FILES
            return file if fits and file.is_file() else None
        except (OSError, ValueError, RuntimeError):  # not there; a NUL in its name; links in a ring
            return None


def open_store(path: str | Path) -> Store:
    """Open what ``ownlatent embed`` wrote. Vectors are read when they are first needed.

    Args:
        path: a ``.parquet`` file or a ``.lance`` folder.

    Raises:
        UsageError: it is absent, damaged, empty or of another make; or lancedb is not installed.
    """
    path = Path(path).expanduser()
    if path.suffix.lower() not in FORMS:
        raise UsageError(
            f"A store of vectors ends in .parquet or .lance; got {path}: make one with "
            "ownlatent embed."
        )
    if not path.exists():
        raise UsageError(f"There is no store {path}; make one with ownlatent embed RUN DATA --out.")
    ask = None
    if path.suffix.lower() == ".parquet":
        schema, batches = _parquet(path)
    else:
        table = open_table(path)
        schema, batches, ask = table.schema, partial(reading, table), index.asking(table)
    origin = _origin(path, schema)
    dim = _dim(path, schema)
    ids, names, labels = [], [], []
    for batch in _reading(path, batches(["id", "path", "label"])):
        if batch.column(0).null_count or batch.column(1).null_count:
            raise damaged(path, "an id or a path is missing")
        ids.append(batch.column(0).to_numpy())
        names += batch.column(1).to_pylist()
        labels += batch.column(2).to_pylist()
    if not names:
        raise UsageError(f"{path} holds no vectors; embed data that can be read.")
    return Store(path, np.concatenate(ids), names, labels, dim, origin, batches, ask)


def unit(vectors: NDArray[Any]) -> NDArray[np.float32]:
    """Rows ``[N, D]`` of unit length, float32; zeros stay."""
    rows = vectors.astype(np.float32)
    # First brought to 1 at most, so that squares of large and of small numbers are finite.
    largest = np.abs(rows).max(axis=1, keepdims=True, initial=0)
    rows /= np.where(largest > 0, largest, 1)
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    rows /= np.where(length > 0, length, 1)
    return rows


def _parquet(path: Path) -> tuple[pa.Schema, Batches]:
    try:
        schema = pq.read_schema(path)
    except (pa.ArrowException, OSError) as error:
        raise damaged(path, "it is no Parquet file, or not all of one") from error

    def batches(columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            yield from file.iter_batches(_ROWS, columns=list(columns))

    return schema, batches


def _reading(path: Path, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The same, where damage that only reading finds is told in a sentence."""
    try:
        yield from batches
    except (pa.ArrowException, OSError, RuntimeError, ValueError) as error:
        raise damaged(path, "its rows cannot be read") from error


def _origin(path: Path, schema: pa.Schema) -> dict[str, Any]:
    try:
        origin = json.loads((schema.metadata or {})[KEY])
        if not all(isinstance(origin[name], str) for name in ("encoder", "weights")):
            raise TypeError
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise UsageError(
            f"{path} does not say which encoder its vectors are of, as a store of ownlatent's "
            "does; make one with ownlatent embed."
        ) from error
    return dict(origin)


def _dim(path: Path, schema: pa.Schema) -> int:
    """Length of a vector, once every column is of its type."""
    for name, fits in _COLUMNS.items():
        if name not in schema.names or not fits(schema.field(name).type):
            raise damaged(path, f"its column {name!r} is missing or of another type")
    vector = schema.field("vector").type if "vector" in schema.names else pa.null()
    if not pa.types.is_fixed_size_list(vector) or not pa.types.is_floating(vector.value_type):
        raise damaged(path, "its column 'vector' is missing or of another type")
    return int(vector.list_size)
