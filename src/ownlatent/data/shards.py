"""WebDataset shards: tar files of samples, here or behind an address, read by index."""

import hashlib
import logging
import os
from bisect import bisect_right
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import overload

import numpy as np
import torch
from numpy.typing import NDArray

from ownlatent.data.blobs import Blob, LocalBlob, fetch, open_blob
from ownlatent.data.cache import default_cache_dir
from ownlatent.data.fingerprint import sizes_fingerprint
from ownlatent.data.joined import SHARED, Joined, join, mapped, share
from ownlatent.data.source import Source, SourceFailed
from ownlatent.data.tars import FORMAT, Index, index_shard, pack, sample_name, stem, unpack
from ownlatent.errors import UsageError
from ownlatent.memory import give_back_freed

SIDECAR = ".index"
_AT_ONCE = 16  # requests that ask servers about their shards
_log = logging.getLogger(__name__)


class ShardSource(Source):
    """The samples of tar shards, one shard after another; see `index_shard` for what is one.

    A sample is called by its shard's name without folders and ``.tar``, and its key: ``0012.jpg``
    in ``data/train-03.tar`` is ``train-03/0012``. So shards may move, and may not share a name.

    What lies where is read once from the headers and kept in the cache folder. A shard behind an
    address is read whole for that, unless `write_index` has put a file beside it. All of it takes
    32 bytes a sample and the key's own; from a million samples on these are memory that the
    processes of a machine share.

    Raises:
        UsageError: a shard is missing, damaged, or called like another, or none holds an image.
    """

    def __init__(self, name: str, shards: Sequence[str]) -> None:
        twice = _twice([stem(each) for each in shards])
        if twice is not None:
            raise UsageError(
                f"Two shards of {name} are called {twice}.tar, and samples are named after their "
                "shard: rename one, or give one folder"
            )
        try:
            self._blobs, joined = _open_all(name, shards)
        except SourceFailed as error:
            raise UsageError(str(error)) from error
        self._starts, index = joined.starts.tolist(), joined.samples
        if not self._starts[-1]:
            raise UsageError(
                f"{name} holds no image in {len(shards):,} shard(s): members must be called "
                "KEY.jpg, KEY.png or KEY.webp, say"
            )
        self._offsets, self._sizes = index.offsets, index.sizes
        labels, ids = torch.from_numpy(index.labels), torch.from_numpy(index.ids)
        names = _Names(list(shards), self._starts, index.keys, joined.bases.tolist(), index.ends)
        give_back_freed()
        super().__init__(name, names, labels if bool((labels >= 0).any()) else None, ids=ids)

    def stamp(self) -> str:
        parts = [f"{each.name}\0{each.size}\0{each.tag}" for each in self._blobs]
        return hashlib.blake2b(os.fsencode("\0".join(parts)), digest_size=16).hexdigest()

    def outline(self) -> str:
        return sizes_fingerprint(self.ids.numpy(), self._sizes)

    def _load(self, index: int) -> bytes:
        blob = self._blobs[bisect_right(self._starts, index) - 1]
        return blob.read(int(self._offsets[index]), int(self._sizes[index]))


class _Names(Sequence[str]):
    """Names of samples, made when asked for: as texts 10 million would take a gigabyte."""

    def __init__(
        self,
        shards: list[str],
        starts: list[int],
        keys: NDArray[np.uint8],
        bases: list[int],
        ends: NDArray[np.uint32],
    ) -> None:
        self._shards, self._starts = shards, starts
        self._keys, self._bases, self._ends = keys, bases, ends

    def __len__(self) -> int:
        return len(self._ends)

    @overload
    def __getitem__(self, at: int) -> str: ...
    @overload
    def __getitem__(self, at: slice) -> list[str]: ...
    def __getitem__(self, at: int | slice) -> str | list[str]:
        if isinstance(at, slice):
            return [self[row] for row in range(*at.indices(len(self)))]
        row = range(len(self))[at]
        shard = bisect_right(self._starts, row) - 1
        start = 0 if row == self._starts[shard] else int(self._ends[row - 1])
        base, end = self._bases[shard], int(self._ends[row])
        key = self._keys[base + start : base + end].tobytes()
        return sample_name(self._shards[shard], key)


def write_index(shard: str | Path) -> Path:
    """Write where the samples of a local shard lie into a file beside it, ``SHARD.tar.index``.

    Put both behind an address, and the shard can be opened there without reading all of it.

    Raises:
        UsageError: the shard cannot be read, or is damaged.
    """
    try:
        blob = LocalBlob.open(str(shard))
        content = pack(index_shard(blob), blob)
    except SourceFailed as error:
        raise UsageError(str(error)) from error
    path = Path(f"{shard}{SIDECAR}")
    _put(path, content)
    return path


def _open_all(name: str, shards: Sequence[str]) -> tuple[list[Blob], Joined]:
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="shards") as pool:
        blobs = list(pool.map(open_blob, shards))
        keys = "".join(_digest(_key(each)) for each in blobs)
        whole = _folder() / f"{_digest(f'{FORMAT} {keys}'.encode())}.joined"
        if (shared := mapped(whole)) is not None:
            return blobs, shared
        joined = join(_indices(name, blobs, pool))
    return blobs, joined if len(joined.samples.ids) < SHARED else share(whole, joined)


def _indices(name: str, blobs: Sequence[Blob], pool: ThreadPoolExecutor) -> list[Index]:
    cached = [_cached(each) for each in blobs]
    unknown = sum(each is None for each in cached)
    if unknown > 1:
        _log.info(
            "%s: reading where the samples of %s shards lie, once (kept in %s)",
            name,
            f"{unknown:,}",
            _folder(),
        )
    # Headers are parsed under the interpreter's lock: threads only help to wait for servers.
    apply = map if isinstance(blobs[0], LocalBlob) else pool.map
    return list(apply(_indexed, blobs, cached))


def _cached(blob: Blob) -> Index | None:
    try:
        return unpack(_path(blob).read_bytes(), blob)
    except OSError:
        return None


def _indexed(blob: Blob, cached: Index | None) -> Index:
    if cached is not None:
        return cached
    index = None if isinstance(blob, LocalBlob) else _sidecar(blob)
    index = index_shard(blob) if index is None else index
    with suppress(OSError):  # then it is read again the next time
        _folder().mkdir(parents=True, exist_ok=True)
        _put(_path(blob), pack(index, blob))
    return index


def _sidecar(blob: Blob) -> Index | None:
    content = fetch(f"{blob.name}{SIDECAR}")
    if content is None:
        return None
    index = unpack(content, blob)
    if index is None:
        raise UsageError(
            f"{blob.name}{SIDECAR} is not of the shard beside it, or damaged: write it again "
            "(ownlatent.data.write_index) or remove it"
        )
    return index


def _folder() -> Path:
    return default_cache_dir() / "shards"


def _path(blob: Blob) -> Path:
    return _folder() / f"{_digest(_key(blob))}{SIDECAR}"


def _key(blob: Blob) -> bytes:
    key = os.fsencode(f"{blob.name}\0{blob.size}\0{blob.tag}")
    return os.fsencode(os.path.abspath(blob.name)) + key if isinstance(blob, LocalBlob) else key


def _digest(key: bytes) -> str:
    return hashlib.blake2b(key, digest_size=16).hexdigest()


def _put(path: Path, content: bytes) -> None:
    """Write a file that is there as a whole or not at all, whoever else writes it too."""
    part = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    part.write_bytes(content)
    part.replace(path)


def _twice(names: Sequence[str]) -> str | None:
    seen: set[str] = set()
    return next((each for each in names if each in seen or seen.add(each)), None)  # type: ignore[func-returns-value]
