"""One pass over images in constant memory: decoded part after part."""

from collections.abc import Iterator
from typing import Any

from ownlatent.data.build import decode_canvases
from ownlatent.data.canvases import Canvases
from ownlatent.data.pixels import Header, Pixels
from ownlatent.data.source import Source


def decode_parts(source: Source, images: int = 128, **options: Any) -> Iterator[Canvases]:
    """The canvases of ``source``, ``images`` at a time and in order.

    Each part is a data set of its own: it may have its own canvas shape. Too many unreadable images
    in it, for the whole, are an error.

    Args:
        images: in a part; the last one may hold fewer.
        **options: of `decode_canvases`.

    Raises:
        UsageError: see `decode_canvases`.
    """
    for start in range(0, len(source), images):
        part = Part(source, range(start, min(start + images, len(source))))
        yield decode_canvases(part, **options)


class Part(Source):
    """The samples of ``whole`` at ``rows``, with the names and labels they have there."""

    def __init__(self, whole: Source, rows: range) -> None:
        names = [whole.names[row] for row in rows]
        labels = None if whole.labels is None else whole.labels[rows.start : rows.stop]
        super().__init__(whole.name, names, labels, whole.classes)
        self._whole, self._rows = whole, rows

    @property
    def of(self) -> int:
        return len(self._whole)

    def stamp(self) -> str:
        return f"{self._whole.stamp()} {self._rows}"

    def _load(self, index: int) -> bytes | Pixels:
        return self._whole._load(self._rows[index])

    def _probe(self, index: int) -> Header:
        return self._whole._probe(self._rows[index])
