"""Images that are kept nowhere: decoded for every batch, ahead of the step that wants them."""

import logging
import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Barrier, Lock
from typing import ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ownlatent.data.canvas import CanvasShape, canvas_shape, to_canvas
from ownlatent.data.decoding import REDUCED, cores, decoding_pool, in_parallel, refuse_if_too_many
from ownlatent.data.fingerprint import DIGEST_BYTES
from ownlatent.data.pixels import Header, Pixels
from ownlatent.data.source import Source, SourceFailed, Unreadable, too_many
from ownlatent.data.statistics import channel_statistics, spread_rows
from ownlatent.errors import UsageError
from ownlatent.memory import to_device

AHEAD = 512 << 20
"""Bytes of canvases that may wait for their step; one batch always may."""
BATCHES = 4
"""And so many batches, the one that is asked for next included."""
_TASK = 4  # images, to spare overhead
_log = logging.getLogger(__name__)


class Streamed:
    """Every image of a data set on a canvas of one shape, while it is wanted.

    What a batch holds is a function of the data and its rows: with the same shape, the same pixels
    as `Canvases` hold. The shape comes from at most 1,024 images evenly spread over the data; later
    ones of other size are resized to it, and one that has more channels, or another depth, cannot
    be read. In the place of an image that cannot be read stands the next one that can, with its id
    and label; more than 10 such images and more than 1 % of the data end the run.

    Attributes:
        shape: of the canvases.
        largest: the longest side in pixels among the images looked at.
        ids, labels, classes, names: see `Canvases`; of all N samples, read or not.
        digests: uint8 ``[K, 16]``, of the images looked at.
        fingerprint: of names and sizes, so that it needs no reading.
        skipped: name of and reason for each image found unreadable so far.
    """

    kind: ClassVar[str] = "images"
    place: ClassVar[Literal["stream"]] = "stream"

    def __init__(
        self,
        source: Source,
        shape: CanvasShape,
        largest: int,
        digests: NDArray[np.uint8],
        unreadable: dict[int, Unreadable],
        workers: int | None = None,
    ) -> None:
        self.shape, self.largest, self.digests = shape, largest, digests
        self.ids, self.classes, self.names = source.ids, source.classes, source.names
        self.labels = None if source.labels is None else source.labels.clone()
        self.fingerprint = source.outline()
        self.skipped = [(each.name, each.why) for each in unreadable.values()]
        self._source, self._unreadable = source, set(unreadable)
        self._lock = Lock()
        self._batches: dict[bytes, _Batch] = {}
        self._pool = _quiet_pool(workers or max(1, cores() // _neighbours()))

    def __len__(self) -> int:
        return len(self.ids)

    def expect(self, coming: Iterator[Tensor]) -> None:
        """Begin to decode what the next calls of `batch` will ask for, as far as there is room."""
        held = sum(each.canvases.nbytes for each in self._batches.values())
        for rows in coming:
            key = rows.numpy().tobytes()
            if key in self._batches:
                continue
            need = len(rows) * self.shape.bytes
            if len(self._batches) == BATCHES or (self._batches and held + need > AHEAD):
                return
            self._batches[key] = self._begin(rows)
            held += need

    def batch(self, rows: Tensor, device: str | torch.device) -> tuple[Tensor, Tensor, Tensor]:
        """See `Canvases.batch`.

        Raises:
            SourceFailed: the data have changed or do not answer, or too many cannot be read.
        """
        batch = self._batches.pop(rows.numpy().tobytes(), None) or self._begin(rows)
        for done in batch.tasks:
            done.result()
        seen = torch.from_numpy(batch.seen)
        if self.labels is not None:
            self.labels[rows] = self.labels[seen]
        words = batch.canvases.view(np.int16) if self.shape.bits == 16 else batch.canvases
        chosen, device = torch.from_numpy(words), torch.device(device)
        chosen = to_device(chosen, device)
        pixels = chosen.view(torch.uint16) if self.shape.bits == 16 else chosen
        sizes = torch.from_numpy(batch.sizes)
        return pixels, to_device(sizes, device), to_device(self.ids[seen], device)

    def channel_statistics(self) -> tuple[Tensor, Tensor]:
        """See `ownlatent.data.statistics.channel_statistics`."""
        return channel_statistics(self)

    def summary(self) -> str:
        """One line: how many, of what shape, and that none is kept."""
        skipped = f"; {len(self.skipped)} unreadable so far" if self.skipped else ""
        return (
            f"{len(self):,} images, {self.shape.summary()}, decoded anew for every batch{skipped}"
        )

    def _begin(self, rows: Tensor) -> "_Batch":
        batch = _Batch(len(rows), self.shape)
        wanted = rows.tolist()

        def put(start: int) -> None:
            for slot in range(start, min(start + _TASK, len(wanted))):
                seen, canvas, size = self._read(wanted[slot])
                batch.canvases[slot], batch.sizes[slot], batch.seen[slot] = canvas, size, seen

        batch.tasks = [self._pool.submit(put, start) for start in range(0, len(wanted), _TASK)]
        return batch

    def _read(self, wanted: int) -> tuple[int, Pixels, tuple[int, int]]:
        """The row itself or the next that can be read, its canvas, and the original's size."""
        row = wanted
        while True:
            if row not in self._unreadable:
                try:
                    pixels, header = self._source.read_with_header(row, self._fits)
                    return row, to_canvas(pixels, self.shape), header[:2]
                except Unreadable as error:
                    self._leave_out(row, error)
            row = (row + 1) % len(self)

    def _fits(self, header: Header) -> int:
        """The side that a reduced image may not go below; see `decode_onto`."""
        if header.bits != self.shape.bits or header.channels > self.shape.channels:
            raise ValueError(
                f"it has {header.channels} channels of {header.bits} bit where others have "
                f"{self.shape.channels} of {self.shape.bits}"
            )
        return REDUCED * max(self.shape.height, self.shape.width)

    def _leave_out(self, row: int, error: Unreadable) -> None:
        with self._lock:
            if row in self._unreadable:
                return
            self._unreadable.add(row)
            self.skipped.append((error.name, error.why))
            many = too_many(len(self.skipped), len(self))
        if many:
            raise SourceFailed(
                f"{len(self.skipped):,} images of {self._source.name} cannot be read, and not all "
                f"have been looked at: remove or repair them ({error})"
            )
        _log.warning("unreadable  %s; the next image stands for it", error)


class _Batch:
    """Canvases that are being decoded."""

    def __init__(self, count: int, shape: CanvasShape) -> None:
        size = (count, shape.channels, shape.height, shape.width)
        self.canvases = np.empty(size, shape.dtype)
        self.sizes = np.empty((count, 2), np.int32)
        self.seen = np.empty(count, np.int64)  # the rows that stand there
        self.tasks: list[Future[None]] = []


def stream(
    source: Source, *, side: int | None = None, view_size: int = 224, workers: int | None = None
) -> Streamed:
    """``source`` with nothing kept of it; the arguments are those of `decode_canvases`.

    Raises:
        UsageError: 8 and 16 bit mixed, or too many unreadable among those looked at: all, more than
            a tenth, or, where all are looked at, more than 10 and than 1 %.
    """

    def look(row: int) -> tuple[int, Header, bytes] | tuple[int, Unreadable, bytes]:
        try:
            return row, source.header(row), source.digest(row)
        except Unreadable as error:
            return row, error, b""

    rows = spread_rows(len(source)).tolist()
    with decoding_pool(workers) as pool:
        found = in_parallel(pool, look, rows, chunk=_TASK)
    unreadable = {row: each for row, each, _ in found if isinstance(each, Unreadable)}
    headers = {row: each for row, each, _ in found if isinstance(each, Header)}
    skipped = [(each.name, each.why) for each in unreadable.values()]
    refuse_if_too_many(source, skipped)
    if len(unreadable) > max(10, 0.1 * len(rows)):
        raise UsageError(
            f"{len(unreadable):,} of {len(rows):,} images of {source.name} that were looked at "
            f"cannot be read: remove or repair them ({skipped[0][0]}: {skipped[0][1]})"
        )
    names = [source.names[row] for row in headers]
    shape = canvas_shape(list(headers.values()), names, side=side, view_size=view_size)
    return Streamed(
        source,
        shape,
        largest=max(max(header[:2]) for header in headers.values()),
        digests=np.frombuffer(
            b"".join(digest for row, _, digest in found if row in headers), np.uint8
        ).reshape(-1, DIGEST_BYTES),
        unreadable=unreadable,
        workers=workers,
    )


def _neighbours() -> int:
    """How many processes of this run share this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def _quiet_pool(workers: int) -> ThreadPoolExecutor:
    """Threads in which torch starts no threads of its own, as it goes on to do elsewhere."""
    threads, all_there = torch.get_num_threads(), Barrier(workers)

    def begin() -> None:
        torch.set_num_threads(1)
        torch.get_num_threads()  # a thread takes the number over when it first asks for it
        all_there.wait()

    pool = ThreadPoolExecutor(workers, thread_name_prefix="decode")
    for done in [pool.submit(begin) for _ in range(workers)]:
        done.result()
    torch.set_num_threads(threads)  # of this thread, and of those still to come
    return pool
