"""All images of a source through a pool of threads, in order, whatever the number of threads."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from ownlatent.data.canvas import CanvasShape, to_canvas
from ownlatent.data.fingerprint import DIGEST_BYTES
from ownlatent.data.pixels import Header, Pixels
from ownlatent.data.source import NoneReadable, Source, Unreadable, too_many
from ownlatent.errors import UsageError

Sink = Callable[[Pixels], None]  # takes the next canvases, [B, C, Hc, Wc]
Progress = Callable[[int, int], None]  # takes images done and in all

REDUCED = 2  # a JPEG may be decoded smaller, down to this many times the canvas side
_BLOCK_BYTES, _LARGEST_BLOCK, _SMALLEST_BLOCK = 16 << 20, 512, 32  # bytes: what a cache holds
_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class Decoded(NamedTuple):
    """What decoding tells apart from the pixels: rows kept, their digests, and what was skipped."""

    rows: NDArray[np.int64]  # [K], places in the source
    digests: NDArray[np.uint8]  # [K, 16]
    skipped: list[tuple[str, str]]  # name and reason


def cores() -> int:
    """How many this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def decoding_pool(workers: int | None) -> Iterator[ThreadPoolExecutor]:
    """Threads that decode one image each; by default one per core this process may use.

    Decoding, resizing and hashing let go of the interpreter's lock, so threads are enough. While
    they run torch starts no threads of its own, which would only compete with them.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(workers or cores(), thread_name_prefix="decode") as pool:
            yield pool
    finally:
        torch.set_num_threads(threads)


def scan(
    pool: ThreadPoolExecutor, source: Source
) -> tuple[dict[int, Header], list[tuple[str, str]]]:
    """The header of each row that has a readable one, and name and reason for the others."""

    def look(row: int) -> Header | Unreadable:
        try:
            return source.header(row)
        except Unreadable as error:
            return error

    found = in_parallel(pool, look, range(len(source)), chunk=64)
    skipped = [(each.name, each.why) for each in found if isinstance(each, Unreadable)]
    refuse_if_too_many(source, skipped)
    headers = {row: each for row, each in enumerate(found) if not isinstance(each, Unreadable)}
    return headers, skipped


def decode_onto(
    write: Sink,
    pool: ThreadPoolExecutor,
    source: Source,
    headers: Mapping[int, Header],
    shape: CanvasShape,
    progress: Progress,
) -> Decoded:
    """Decode the rows in ``headers``, giving ``write`` the canvases of those that can be, in order.

    A JPEG at least four times the canvas on both axes is decoded at a half, a quarter or an eighth
    of its size, never below twice the canvas (about 53 dB from decoding it whole).
    """
    rows = list(headers)
    block = max(_SMALLEST_BLOCK, min(_LARGEST_BLOCK, _BLOCK_BYTES // shape.bytes))
    staging = np.empty((block, shape.channels, shape.height, shape.width), shape.dtype)
    floor = REDUCED * max(shape.height, shape.width)

    def put(place: tuple[int, int]) -> bytes | Unreadable:
        slot, row = place
        reduce = min(headers[row].height, headers[row].width) >= 2 * floor
        try:
            pixels, digest = source.read_with_digest(row, floor if reduce else None)
            if pixels.dtype != shape.dtype or len(pixels) != headers[row].channels:
                raise Unreadable(source.names[row], "it changed while it was read")
            staging[slot] = to_canvas(pixels, shape)
        except Unreadable as error:
            return error
        return digest

    kept: list[int] = []
    digests: list[bytes] = []
    skipped: list[tuple[str, str]] = []
    for start in range(0, len(rows), block):
        part = rows[start : start + block]
        results = in_parallel(pool, put, list(enumerate(part)), chunk=4)
        good = []
        for slot, result in enumerate(results):
            if isinstance(result, Unreadable):
                skipped.append((result.name, result.why))
            else:
                good.append(slot)
                digests.append(result)
        kept += [part[slot] for slot in good]
        refuse_if_too_many(source, skipped)
        write(staging[: len(part)] if len(good) == len(part) else staging[good])
        progress(start + len(part), len(rows))
    digest_bytes = np.frombuffer(b"".join(digests), np.uint8).reshape(-1, DIGEST_BYTES)
    return Decoded(np.array(kept, np.int64), digest_bytes, skipped)


def refuse_if_too_many(source: Source, skipped: Sequence[tuple[str, str]]) -> None:
    """Raises UsageError where more than 10 and more than 1 % of the images, or all, are skipped."""
    few = not too_many(len(skipped), source.of)
    if few and len(skipped) < len(source):
        return
    first = "; ".join(f"{name}: {why}" for name, why in skipped[:3])
    count = "none" if len(skipped) == len(source) else f"only {len(source) - len(skipped):,}"
    said = (
        f"{count} of the {len(source):,} images in {source.name} can be read: "
        f"remove or repair the others ({first})"
    )
    if few and len(source) < source.of:
        raise NoneReadable(said, list(skipped))
    raise UsageError(said)


def in_parallel(
    pool: ThreadPoolExecutor,
    function: Callable[[_Item], _Result],
    items: Sequence[_Item],
    chunk: int,
) -> list[_Result]:
    """The results in the order of the items, a few items to a task to spare overhead."""
    parts = [items[start : start + chunk] for start in range(0, len(items), chunk)]
    done = pool.map(lambda part: [function(item) for item in part], parts)
    return [result for part in done for result in part]
