"""A source: samples that are named, identified, perhaps labelled, and read one at a time."""

import io
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from torch import Tensor

from ownlatent.data.decode import decode, probe
from ownlatent.data.fingerprint import content_digest, sample_ids
from ownlatent.data.pixels import Header, Pixels
from ownlatent.errors import UsageError


class Unreadable(Exception):
    """One sample that cannot be read, and why. It is named, counted and skipped."""

    def __init__(self, name: str, why: str) -> None:
        super().__init__(f"{name}: {why}")
        self.name = name
        self.why = why


class SourceFailed(OSError):
    """The data as a whole cannot be read any more: they changed, or do not answer; says which.

    Unlike a damaged sample it is not skipped, so that what a run sees stays a function of the data.
    """


def too_many(skipped: int, of: int) -> bool:
    """Whether so many unreadable samples of a data set are an error: over 10, and over 1 %."""
    return skipped > max(10, 0.01 * of)


class NoneReadable(UsageError):
    """Of a part of the data nothing can be read, but little of the whole.

    Attributes:
        skipped: name of and reason for each sample.
    """

    def __init__(self, message: str, skipped: list[tuple[str, str]]) -> None:
        super().__init__(message)
        self.skipped = skipped


class Source(ABC):
    """Samples in a fixed order.

    Attributes:
        name: what a person calls the data (its path, say).
        names: one name per sample; see `sample_id`.
        ids: int64 ``[N]``, the hashes of the names.
        labels: int64 ``[N]``, or None; -1 stands for "no label".
        classes: the class names by label, or None where they are not known.
    """

    def __init__(
        self,
        name: str,
        names: Sequence[str],
        labels: Tensor | None = None,
        classes: list[str] | None = None,
        ids: Tensor | None = None,
    ) -> None:
        self.name = name
        self.names = names
        self.ids = sample_ids(names) if ids is None else ids
        self.labels = labels
        self.classes = classes

    def __len__(self) -> int:
        return len(self.names)

    @property
    def of(self) -> int:
        """Samples of the whole that this is a part of."""
        return len(self)

    @abstractmethod
    def stamp(self) -> str:
        """What a cached copy is filed under: cheap, and different once the data differ."""

    def outline(self) -> str:
        """A fingerprint of the data that needs no content: of names and sizes, where it can be."""
        return self.stamp()

    @abstractmethod
    def _load(self, index: int) -> bytes | Pixels:
        """The encoded image, or its pixels ``[C, H, W]`` where nothing is encoded."""

    def _probe(self, index: int) -> Header:
        loaded = self._load(index)
        if isinstance(loaded, bytes):
            return probe(io.BytesIO(loaded))
        channels, height, width = loaded.shape
        return Header(height, width, channels, loaded.dtype.itemsize * 8)

    def header(self, index: int) -> Header:
        """Size, channels and depth without decoding. Raises `Unreadable`."""
        with self._naming(index):
            return self._probe(index)

    def read(self, index: int) -> Pixels:
        """The image as uint8 or uint16 ``[C, H, W]``. Raises `Unreadable`."""
        return self.read_with_digest(index)[0]

    def digest(self, index: int) -> bytes:
        """16 bytes that tell this sample's content; see `content_digest`. Raises `Unreadable`."""
        with self._naming(index):
            return content_digest(self._load(index))

    def read_with_digest(self, index: int, at_least: int | None = None) -> tuple[Pixels, bytes]:
        """`read` and `digest` from one access; ``at_least`` is `decode`'s."""
        with self._naming(index):
            loaded = self._load(index)
            pixels = decode(loaded, at_least=at_least) if isinstance(loaded, bytes) else loaded
            return pixels, content_digest(loaded)

    def read_with_header(self, index: int, floor: Callable[[Header], int]) -> tuple[Pixels, Header]:
        """`read` and `header` from one access; a JPEG that is at least twice ``floor`` on both axes
        is decoded smaller, but no smaller than that. ``floor`` may raise for a header it refuses.
        """
        with self._naming(index):
            loaded = self._load(index)
            if not isinstance(loaded, bytes):
                channels, height, width = loaded.shape
                header = Header(height, width, channels, loaded.dtype.itemsize * 8)
                floor(header)
                return loaded, header
            header = probe(io.BytesIO(loaded))
            least = floor(header)
            reduce = min(header.height, header.width) >= 2 * least
            return decode(loaded, at_least=least if reduce else None), header

    @contextmanager
    def _naming(self, index: int) -> Iterator[None]:
        try:
            yield
        except SourceFailed:
            raise
        # Decoders meet damaged files with exceptions of every type (IndexError, struct.error,
        # ZeroDivisionError, ...). One file's damage must not end a run, whatever its type.
        except Exception as error:
            why = " ".join(str(error).split()) or type(error).__name__
            raise Unreadable(self.names[index], why) from error
