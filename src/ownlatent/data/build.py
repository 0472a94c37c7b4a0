"""A source decoded once, in parallel, onto canvases."""

import hashlib
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from ownlatent.data.arrays import ArraySource
from ownlatent.data.cache import as_tensor, default_cache_dir, map_or_decode
from ownlatent.data.canvas import CanvasShape, canvas_shape
from ownlatent.data.canvases import Canvases
from ownlatent.data.decoding import (
    Decoded,
    Progress,
    Sink,
    decode_onto,
    decoding_pool,
    refuse_if_too_many,
    scan,
)
from ownlatent.data.fingerprint import data_fingerprint
from ownlatent.data.pixels import Pixels
from ownlatent.data.placement import Place, choose_place, gigabytes
from ownlatent.data.source import Source
from ownlatent.errors import UsageError
from ownlatent.memory import room

_FORMAT = 1  # of cached canvases; to be raised when the same data would give other pixels
_log = logging.getLogger(__name__)


def decode_canvases(
    source: Source,
    *,
    side: int | None = None,
    view_size: int = 224,
    workers: int | None = None,
    place: Literal["auto"] | Place = "auto",
    device: str | torch.device = "cpu",
    cache_dir: str | Path | None = None,
    progress: Progress | None = None,
) -> Canvases:
    """Every image of ``source`` on a canvas, decoded once.

    Args:
        side: the canvas side in pixels; see `canvas_shape` for the default and for when images
            keep their size.
        view_size: the side in pixels of the largest view that will be cut.
        workers: threads; by default one per core this process may use. They change nothing else.
        place: see `choose_place`. On disk, canvases are kept in ``cache_dir`` and used again while
            no file changes.
        device: where the training will be.
        cache_dir: see `default_cache_dir`.
        progress: called with images done and in all.

    Raises:
        UsageError: too many unreadable images (more than 10 and than 1 %, or all of them), 8 and
            16 bit mixed, or no room.
    """
    for name, value in (("side", side), ("view_size", view_size), ("workers", workers)):
        if value is not None and value < 1:
            raise UsageError(f"{name} is {value}: it must be at least 1")
    device = torch.device(device)
    report = progress or (lambda done, total: None)
    with decoding_pool(workers) as pool:
        headers, unreadable = scan(pool, source)
        names = [source.names[row] for row in headers]
        shape = canvas_shape(list(headers.values()), names, side=side, view_size=view_size)
        size = shape.bytes * len(headers)
        place, as_it_is = _settle(source, shape, size, place, device)
        _log.info("%s: canvases take %s, place: %s", source.name, gigabytes(size), place)

        def fill(write: Sink) -> Decoded:
            return decode_onto(write, pool, source, headers, shape, report)

        if as_it_is is not None:
            pixels, decoded = as_tensor(as_it_is), fill(lambda canvases: None)
        elif place == "disk":
            folder = Path(cache_dir).expanduser() if cache_dir else default_cache_dir()
            key = _key(source, shape)
            pixels, decoded = map_or_decode(folder, key, shape, len(headers), fill)
        else:
            pixels, decoded = _in_memory(shape, len(headers), place, device, fill)
    skipped = unreadable + decoded.skipped
    refuse_if_too_many(source, skipped)
    rows, kept = decoded.rows.tolist(), torch.from_numpy(decoded.rows)
    return Canvases(
        pixels=pixels,
        sizes=torch.tensor([headers[row][:2] for row in rows], dtype=torch.int32),
        ids=source.ids[kept],
        labels=None if source.labels is None else source.labels[kept],
        classes=source.classes,
        names=[source.names[row] for row in rows],
        digests=decoded.digests,
        fingerprint=data_fingerprint(source.ids[kept].numpy(), decoded.digests),
        skipped=skipped,
        place=place,
    )


def _settle(
    source: Source,
    shape: CanvasShape,
    size: int,
    place: Literal["auto"] | Place,
    device: torch.device,
) -> tuple[Place, Pixels | None]:
    """The place, and the array that is already there and needs no copy, if so."""
    size_kept = (shape.height, shape.width)
    if not isinstance(source, ArraySource) or source.pixels.shape[2:] != size_kept:
        return choose_place(size, place, device), None
    already: Place = "disk" if source.on_disk else "host"
    chosen = already if place == already else choose_place(size, place, device)
    if place == "auto" and chosen == "disk":
        chosen = already  # what is in memory need not go to disk
    return chosen, source.pixels if chosen == already else None


def is_cached(source: Source, shape: CanvasShape) -> bool:
    """Whether the default cache folder holds these canvases."""
    return (default_cache_dir() / _key(source, shape)).is_dir()


def _key(source: Source, shape: CanvasShape) -> str:
    content = f"{_FORMAT} {source.stamp()} {shape}"
    return hashlib.blake2b(content.encode(), digest_size=16).hexdigest()


def _in_memory(
    shape: CanvasShape,
    count: int,
    place: Place,
    device: torch.device,
    fill: Callable[[Sink], Decoded],
) -> tuple[Tensor, Decoded]:
    dimensions = (count, shape.channels, shape.height, shape.width)
    dtype = torch.uint8 if shape.bits == 8 else torch.int16  # uint16 hardly moves in torch
    if place == "device":
        words = torch.empty(dimensions, dtype=dtype, device=device)
    else:
        words = room(dimensions, dtype)
    written = 0

    def write(canvases: Pixels) -> None:
        nonlocal written
        signed = canvases.view(np.int16) if shape.bits == 16 else canvases
        words[written : written + len(canvases)] = torch.from_numpy(signed).to(words.device)
        written += len(canvases)

    decoded = fill(write)
    kept = words[:written]
    return (kept.view(torch.uint16) if shape.bits == 16 else kept), decoded
