"""``ownlatent embed``: an encoder's vectors of every sample, in a Parquet file or a Lance table."""

import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from ownlatent.checks import read_json
from ownlatent.data import Data, decode_canvases, open_source
from ownlatent.data.parts import Part
from ownlatent.data.patterns import absolute
from ownlatent.data.source import NoneReadable, Source, too_many
from ownlatent.embeddings import index
from ownlatent.embeddings.encoders import digest
from ownlatent.embeddings.lance import lancedb, require_name
from ownlatent.embeddings.store import FORMS, KEY
from ownlatent.encoder import Encoder
from ownlatent.errors import UsageError
from ownlatent.evaluation.features import embed
from ownlatent.evaluation.subjects import find_subjects
from ownlatent.kinds import KINDS
from ownlatent.networks.folded import folded

PART = 1024
"""Samples decoded, embedded and written at a time; what is lost where a run is killed."""
_REPEATED = ["label"]
"""Columns with a dictionary; one of the vectors' numbers would make reading four times as slow."""
_DTYPES = {"float32": np.float32, "float16": np.float16}


class Embedded(NamedTuple):
    """A finished file."""

    path: Path
    vectors: int
    dim: int
    skipped: list[str]
    """Samples that could not be read."""


class _Rows(NamedTuple):
    ids: Tensor
    names: list[str]
    labels: Tensor | None
    features: Tensor
    skipped: list[str]


def write_embeddings(
    run: str | Path,
    data: Data,
    *,
    out: str | Path,
    labelled: bool = False,
    label: str | None = None,
    network: str | None = None,
    backbone: str | None = None,
    dtype: str = "float32",
    precision: str = "fp32",
    device: str = "cpu",
    progress: Callable[[int, int], None] | None = None,
) -> Embedded:
    """Write a row for every sample, in the data's order: ``id`` int64, ``path``, ``label`` (its
    class, or number; null without labels) and ``vector``, a list of D numbers.

    Images are read, embedded and written 1,024 at a time, so memory does not grow with them. A run
    that was stopped goes on behind the last of these and ends with the same file.

    Args:
        run: an encoder, wherever it comes from; see :func:`ownlatent.evaluate`.
        data: samples of the encoder's kind.
        out: the Parquet file (``.parquet``) or the folder of a Lance table (``.lance``); it must be
            new. Unfinished parts lie beside it until it is whole.
        labelled: class folders are labels.
        label: the column of a table that holds the labels.
        network, backbone: see :func:`ownlatent.evaluate`.
        dtype: "float32" or "float16" of the vectors.
        precision: "fp32" or "bf16" of the network.
        device: where features are computed.
        progress: called with samples done and in all.

    Raises:
        UsageError: there is no encoder, the data cannot be read, ``out`` is there, or its parts are
            of another encoder or other data.
    """
    out = Path(out)
    if dtype not in _DTYPES:
        raise UsageError(f"Vectors are float32 or float16; got {dtype!r}.")
    if precision not in ("fp32", "bf16"):
        raise UsageError(f"The precision is fp32 or bf16; got {precision!r}.")
    if out.suffix not in FORMS:
        raise UsageError(f"Vectors go into a Parquet file or a Lance table: give --out a name "
                         f"ending in .parquet or .lance; got {out}.")  # fmt: skip
    if out.suffix == ".lance":
        require_name(out)
        lancedb()
    if out.exists():
        raise UsageError(f"{out} is there already; choose another --out or delete it.")
    subjects = find_subjects(
        run, network=network, backbone=backbone, baselines=False, seed=0, device=device
    )
    ((title, encoder),) = subjects.nets
    weights = digest(encoder)
    encoder.backbone = folded(encoder.backbone)
    stamp, classes, count, read, refuse = _reader(encoder, data, labelled, label, device)
    origin = {
        "encoder": title, "weights": weights, "backbone": encoder.name,
        "dim": encoder.num_features, "dtype": dtype, "precision": precision, "data": stamp,
        "kind": encoder.preprocessing.kind, "root": _place(data),
        "source": {"run": _place(run) if Path(run).exists() else str(run), "network": network,
                   "backbone": backbone},
    }  # fmt: skip
    reduced = torch.autocast(torch.device(device).type, torch.bfloat16, precision == "bf16")
    parts = out.with_name(out.name + ".parts")
    _begin(parts, origin | {"part": PART, "labelled": labelled, "label": label}, out)
    skipped: list[str] = []
    files = []
    for start in range(0, count, PART):
        stop = min(start + PART, count)
        file = parts / f"{start:012}.parquet"
        if not file.exists():
            with reduced:
                rows = read(range(start, stop))
            _write(file, rows, classes, _DTYPES[dtype], origin)
        held = json.loads(pq.read_schema(file).metadata[KEY])
        skipped += held["skipped"]
        refuse(skipped)
        files.append(file)
        if progress is not None:
            progress(stop, count)
    schema = pq.read_schema(files[0]).with_metadata(
        {KEY: json.dumps(origin | {"skipped": skipped}).encode()}
    )
    vectors = (_join_parquet if out.suffix == ".parquet" else _join_lance)(files, out, schema)
    shutil.rmtree(parts)
    return Embedded(out, vectors, encoder.num_features, skipped)


def _reader(
    encoder: Encoder, data: Data, labelled: bool, label: str | None, device: str
) -> tuple[str, list[str] | None, int, Callable[[range], _Rows], Callable[[list[str]], None]]:
    """What the data are, their classes, how many there are, what embeds some of them, and what
    raises UsageError where too many have been skipped so far."""
    settings = encoder.preprocessing
    if settings.kind == "images":
        source = open_source(data, labelled=labelled)
        _require_text(source.names)

        def images(rows: range) -> _Rows:
            try:
                some = decode_canvases(Part(source, rows), view_size=settings.size, place="host")
            except NoneReadable as error:
                none = torch.empty(0, dtype=torch.int64)
                features = torch.empty(0, encoder.num_features)
                return _Rows(none, [], None, features, [name for name, _ in error.skipped])
            features = embed(encoder, some, device=device)
            skipped = [name for name, _ in some.skipped]
            return _Rows(some.ids, some.names, some.labels, features, skipped)

        return source.stamp(), source.classes, len(source), images, partial(_refuse, source)
    samples = KINDS[settings.kind].open(
        data, size=getattr(settings, "size", 0), labelled=labelled, label=label, like=settings
    )

    def others(rows: range) -> _Rows:
        places = torch.arange(rows.start, rows.stop)
        content, sizes, ids = samples.batch(places, device)
        with torch.inference_mode():
            features = encoder(content, sizes).float().cpu()
        names = [samples.names[row] for row in rows]
        labels = None if samples.labels is None else samples.labels[places]
        skipped = [name for name, _ in samples.skipped] if rows.start == 0 else []
        return _Rows(ids.cpu(), names, labels, features, skipped)

    # Opened, these have been judged already.
    return samples.fingerprint, samples.classes, len(samples), others, lambda skipped: None


def _refuse(source: Source, skipped: list[str]) -> None:
    if too_many(len(skipped), len(source)) or len(skipped) == len(source):
        raise UsageError(
            f"{len(skipped):,} of the {len(source):,} images in {source.name} cannot be read: "
            f"remove or repair them ({'; '.join(skipped[:3])})"
        )


def _require_text(names: Sequence[str]) -> None:
    for name in names:
        try:
            name.encode()
        except UnicodeEncodeError as error:
            raise UsageError(
                f"{name!r} is no text that a table can hold; rename that file."
            ) from error


def _begin(parts: Path, wanted: dict[str, Any], out: Path) -> None:
    """Make the folder of parts, or see that the one there is of the same making."""
    begun = parts / "begun.json"
    if begun.is_file():
        if read_json(begun) != wanted:
            raise UsageError(
                f"{parts} holds a part of {out.name} of another encoder, other data, labels or "
                "precision; delete it or choose another --out."
            )
        return
    try:
        parts.mkdir(parents=True, exist_ok=True)
        fresh = begun.with_suffix(".tmp")
        fresh.write_text(json.dumps(wanted))
        fresh.replace(begun)
    except OSError as error:
        raise UsageError(f"{out} cannot be written ({error.strerror}); choose another.") from error


def _write(
    file: Path, rows: _Rows, classes: list[str] | None, dtype: Any, origin: dict[str, Any]
) -> None:
    dim = rows.features.shape[1]
    vectors = rows.features.numpy().astype(dtype)
    if np.isinf(vectors).any() and bool(rows.features.isfinite().all()):
        raise UsageError(
            f"Features reach {float(rows.features.abs().max()):.3g}, more than float16 holds; "
            "leave --dtype float16 out."
        )
    flat = pa.array(vectors.reshape(-1))
    labels: list[str | None] = [None] * len(rows.names)
    if rows.labels is not None:
        labels = [_called(number, classes) for number in rows.labels.tolist()]
    table = pa.table(
        {
            "id": pa.array(rows.ids.numpy()),
            "path": pa.array(rows.names, pa.string()),
            "label": pa.array(labels, pa.string()),
            "vector": pa.FixedSizeListArray.from_arrays(flat, dim),
        },
        metadata={KEY: json.dumps(origin | {"skipped": rows.skipped}).encode()},
    )
    fresh = file.with_suffix(".tmp")
    with fresh.open("wb") as held:
        pq.write_table(table, held, use_dictionary=_REPEATED)
        held.flush()
        os.fsync(held.fileno())
    fresh.replace(file)


def _called(number: int, classes: list[str] | None) -> str | None:
    if number < 0:
        return None
    return classes[number] if classes else str(number)


def _join_parquet(files: list[Path], out: Path, schema: pa.Schema) -> int:
    """One file of all parts, written whole or not at all."""
    fresh = out.with_name(out.name + ".tmp")
    count = 0
    with pq.ParquetWriter(
        fresh, schema, use_dictionary=_REPEATED, write_page_checksum=True
    ) as writer:
        for table in _tables(files, schema):
            writer.write_table(table)
            count += len(table)
    with fresh.open("rb") as held:
        os.fsync(held.fileno())
    fresh.replace(out)
    return count


def _join_lance(files: list[Path], out: Path, schema: pa.Schema) -> int:
    """One table of all parts, which is in its place once it is whole."""
    fresh = files[0].parent / "joined"
    shutil.rmtree(fresh, ignore_errors=True)
    batches = (batch for table in _tables(files, schema) for batch in table.to_batches())
    table = (
        lancedb()
        .connect(fresh)
        .create_table(out.stem, pa.RecordBatchReader.from_batches(schema, batches))
    )
    count = int(table.count_rows())
    if count >= index.LARGE:
        index.build(table)
    for file in fresh.rglob("*"):
        if file.is_file():
            with file.open("rb") as held:
                os.fsync(held.fileno())
    (fresh / out.name).rename(out)
    return count


def _tables(files: list[Path], schema: pa.Schema) -> Iterator[pa.Table]:
    for file in files:
        yield pq.read_table(file).replace_schema_metadata(schema.metadata)


def _place(path: Any) -> str | None:
    """Absolute, where it is a path; an address as it is."""
    return absolute(str(path)) if isinstance(path, str | Path) else None
