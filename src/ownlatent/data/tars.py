"""Where each sample of a tar shard lies, so that it can be read without those before it."""

import io
import json
import os
import re
import tarfile
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ownlatent.data.blobs import Blob, LocalBlob
from ownlatent.data.fingerprint import sample_id
from ownlatent.data.source import SourceFailed
from ownlatent.errors import UsageError

IMAGE_KINDS = ("jpg", "jpeg", "png", "webp", "tif", "tiff", "bmp")
FORMAT = 1
"""Of an index; another number where other samples would be found."""
_LABEL_FIELDS = ("label", "cls", "class")
_NAME = re.compile(r"(?:\./)?((?:.*/|)[^./][^./]*)\.([^/]+)")  # key and extension, as WebDataset
_BLOCK, _END = 1 << 20, bytes(tarfile.BLOCKSIZE)
_LARGEST = (1 << 32) - 1


class Index(NamedTuple):
    """The samples of one shard, in the order in which they begin.

    Attributes:
        offsets: int64 ``[N]``, where each image begins, in bytes.
        sizes: uint32 ``[N]``, their bytes.
        labels: int64 ``[N]``, -1 where there is none.
        ids: int64 ``[N]``; see `sample_id`.
        keys: uint8 ``[K]``, the samples' keys without anything between them.
        ends: uint32 ``[N]``, where each key ends in ``keys``.
    """

    offsets: NDArray[np.int64]
    sizes: NDArray[np.uint32]
    labels: NDArray[np.int64]
    ids: NDArray[np.int64]
    keys: NDArray[np.uint8]
    ends: NDArray[np.uint32]


def stem(shard: str) -> str:
    """What a shard's samples are named after: its own name without folders and ``.tar``."""
    return re.split(r"[/\\]", shard)[-1][: -len(".tar")]


def sample_name(shard: str, key: bytes) -> str:
    """``shard/key``, the name of a sample."""
    return f"{stem(shard)}/{os.fsdecode(key)}"


def index_shard(blob: Blob) -> Index:
    """Read the headers of a tar file, and the labels between them, but no image.

    Members whose names agree up to the first dot of their last part are a sample; that is its key,
    and the rest the extension, as WebDataset has it. A sample's image is its member called
    ``.jpg``, ``.jpeg``, ``.png``, ``.webp``, ``.tif``, ``.tiff`` or ``.bmp``, the first there is in
    this order; else the first, by kind and name, that ends so (``.left.jpg``). Its label is the
    number in ``.cls``, else ``label``, ``cls`` or ``class`` in ``.json`` where that is a whole
    number. Samples without an image are left out.

    Raises:
        UsageError: it is no tar file, or ends early, or a ``.cls`` holds no number.
        SourceFailed: it cannot be read.
    """
    found: dict[str, tuple[tuple[int, int, str], int, int]] = {}
    numbers: dict[str, tuple[bool, int]] = {}
    with _opened(blob) as file:
        for member in _members(file, blob):
            named = _NAME.fullmatch(member.name) if member.isreg() and not member.sparse else None
            if named is None:
                continue
            key, extension = named[1], named[2].lower()
            kind = extension.rsplit(".", 1)[-1]
            if kind in IMAGE_KINDS:
                rank = (int("." in extension), IMAGE_KINDS.index(kind), extension)
                if member.size > _LARGEST:
                    raise UsageError(f"{member.name} in {blob.name} is larger than 4 GB")
                if key not in found or rank <= found[key][0]:
                    found[key] = rank, member.offset_data, member.size
            elif extension in ("cls", "json"):
                file.seek(member.offset_data)
                label = _label(file.read(member.size), extension, member.name, blob)
                sure = extension == "cls"
                if label is not None and (sure or not numbers.get(key, (False, 0))[0]):
                    numbers[key] = sure, label
    encoded = [os.fsencode(key) for key in found]
    return Index(
        offsets=np.array([at for _, at, _ in found.values()], np.int64),
        sizes=np.array([size for _, _, size in found.values()], np.uint32),
        labels=np.array([numbers.get(key, (False, -1))[1] for key in found], np.int64),
        ids=np.array([sample_id(sample_name(blob.name, key)) for key in encoded], np.int64),
        keys=np.frombuffer(b"".join(encoded), np.uint8),
        ends=np.cumsum([len(key) for key in encoded], dtype=np.uint32),
    )


def pack(index: Index, blob: Blob) -> bytes:
    """An index as the bytes of a file, which says of what it is one."""
    file = io.BytesIO()
    of, called = np.array([FORMAT, blob.size]), np.array(stem(blob.name))
    np.savez(file, allow_pickle=False, of=of, called=called, **index._asdict())
    return file.getvalue()


def unpack(content: bytes, blob: Blob) -> Index | None:
    """What `pack` packed; None where that was something else, or of another shard.

    The ids are those of the shard's name, which may not be the name it had.
    """
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as saved:
            if saved["of"].tolist() != [FORMAT, blob.size]:
                return None
            arrays = [saved[name] for name in Index._fields]
            called = str(saved["called"])
    except Exception:  # zip, zlib and NumPy each have their own
        return None
    index = Index(*arrays)
    kinds = zip(arrays, ("<i8", "<u4", "<i8", "<i8", "<u1", "<u4"), strict=True)
    one = len({len(each) for each in (*arrays[:4], index.ends)}) == 1
    if not one or any(array.dtype != kind or array.ndim != 1 for array, kind in kinds):
        return None
    inside = bool((index.offsets >= 0).all() and (index.offsets + index.sizes <= blob.size).all())
    last = int(index.ends[-1]) if len(index.ends) else 0
    whole = last == len(index.keys) and bool((np.diff(index.ends.astype(np.int64)) > 0).all())
    if not (inside and whole):
        return None
    return index if called == stem(blob.name) else _renamed(index, blob.name)


def _renamed(index: Index, shard: str) -> Index:
    starts = [0, *index.ends.tolist()]
    keys = index.keys.tobytes()
    names = [sample_name(shard, keys[a:b]) for a, b in pairwise(starts)]
    return index._replace(ids=np.array([sample_id(name) for name in names], np.int64))


def _opened(blob: Blob) -> Any:
    if isinstance(blob, LocalBlob):
        try:
            return open(blob.name, "rb")
        except OSError as error:
            raise SourceFailed(f"{blob.name} cannot be read ({error.strerror})") from error
    return io.BufferedReader(_Blocks(blob), _BLOCK)


def _members(file: Any, blob: Blob) -> Any:
    """The members of a tar, which must end as tars do: `tarfile` alone takes a damaged header for
    the end."""
    advice = "fetch or write it again"
    try:
        with tarfile.open(fileobj=file, mode="r:", errors="surrogateescape") as tar:
            yield from tar
            file.seek(tar.offset)
            ended = file.read(len(_END)) == _END
    except (tarfile.TarError, ValueError, EOFError) as error:
        if blob.size == 0:
            raise UsageError(f"{blob.name} is empty: {advice}") from error
        kind = "ends early" if "unexpected end" in str(error) else "is no tar file, or compressed"
        raise UsageError(f"{blob.name} {kind} ({error}): {advice}") from error
    if not ended:
        raise UsageError(
            f"{blob.name} ends early or is damaged (at byte {tar.offset:,} there is neither a file "
            f"nor the end): {advice}"
        )


def _label(content: bytes, extension: str, member: str, blob: Blob) -> int | None:
    if extension == "cls":
        try:
            number = int(content)
        except ValueError:
            number = -1
        if not 0 <= number < 1 << 62:
            raise UsageError(
                f"{member} in {blob.name} is no label ({content[:20]!r}): number the classes 0, 1, "
                "2, ..."
            )
        return number
    try:
        values = json.loads(content)
    except (ValueError, RecursionError):
        return None
    if not isinstance(values, dict):
        return None
    held = (values.get(name) for name in _LABEL_FIELDS)
    return next((each for each in held if type(each) is int and 0 <= each < 1 << 62), None)


class _Blocks(io.RawIOBase):
    """A blob as a file. Behind a buffer of 1 MB it is read block after block, but for members
    larger than that, which are passed over."""

    def __init__(self, blob: Blob) -> None:
        self._blob, self._at = blob, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        start = (0, self._at, self._blob.size)[whence]
        self._at = start + offset
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any, /) -> int:
        count = max(0, min(len(buffer), self._blob.size - self._at))
        if count:
            buffer[:count] = self._blob.read(self._at, count)
            self._at += count
        return count
