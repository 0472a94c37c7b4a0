"""Small pictures of a store's images, made when they are first asked for."""

import io
import threading
from collections import OrderedDict

from ownlatent.data.decode import decode, probe
from ownlatent.data.folder import SUFFIXES
from ownlatent.embeddings.store import Store

SIDES = {"thumbnail": 96, "picture": 640}
"""Pixels of the longer side, by what it is for."""
ROOM = 64 << 20
"""Bytes of pictures kept."""
_LARGEST = 100_000_000  # pixels; more would take the memory of the machine
_AT_ONCE = threading.Semaphore(2)  # images being decoded

Key = tuple[int, str]


class Thumbnails:
    """Pictures by row; those longest not asked for make room for new ones.

    Args:
        store: whose files they are.
        room: bytes kept.
    """

    def __init__(self, store: Store, room: int = ROOM) -> None:
        self.store, self.room, self.held = store, room, 0
        self._kept: OrderedDict[Key, tuple[bytes, str]] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, row: int, use: str) -> tuple[bytes, str] | None:
        """A picture and its media type; None where the row has no image that can be read."""
        key = (row, use)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        with _AT_ONCE:
            made = self._make(row, SIDES[use])
        if made is not None:
            self._keep(key, made)
        return made

    def _keep(self, key: Key, made: tuple[bytes, str]) -> None:
        with self._lock:
            if key in self._kept:
                return
            self._kept[key] = made
            self.held += len(made[0])
            while self.held > self.room:
                _, (picture, _) = self._kept.popitem(last=False)
                self.held -= len(picture)

    def _make(self, row: int, side: int) -> tuple[bytes, str] | None:
        file = self.store.file(row)
        if file is None or file.suffix.lower() not in SUFFIXES:
            return None
        try:
            content = file.read_bytes()
            header = probe(io.BytesIO(content))
            if header.height * header.width > _LARGEST:
                return None
            return _encoded(content, side)
        except Exception:  # decoders raise whatever they like
            return None


def _encoded(content: bytes, side: int) -> tuple[bytes, str]:
    """A PNG of its own pixels up to 64 of them, else a JPEG."""
    import numpy as np
    from PIL import Image

    pixels = decode(content, at_least=side)
    if pixels.dtype != np.uint8:
        pixels = (pixels // 257).astype(np.uint8)
    array = np.ascontiguousarray(pixels.transpose(1, 2, 0))
    image = Image.fromarray(array[:, :, 0] if array.shape[2] == 1 else array)
    exact = max(image.size) <= 64
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    if exact:
        image.save(out, format="PNG")
    else:
        image.save(out, format="JPEG", quality=85)
    return out.getvalue(), "image/png" if exact else "image/jpeg"
