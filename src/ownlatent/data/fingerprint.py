"""Names, contents and whole data sets as hashes, so that identity never depends on an index."""

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ownlatent.data.pixels import Pixels

DIGEST_BYTES = 16


def sample_id(name: str) -> int:
    """The identity of a sample: a signed 64-bit BLAKE2b hash of its name.

    The name is the file's path relative to the data folder, with ``/`` between its parts, or
    ``"row:<i>"`` for arrays and tables. Adding, removing or skipping other samples shifts nothing.
    """
    encoded = name.encode("utf-8", "surrogateescape")  # file names need not be valid UTF-8
    return int.from_bytes(hashlib.blake2b(encoded, digest_size=8).digest(), "big", signed=True)


def content_digest(content: bytes | Pixels) -> bytes:
    """16 bytes of BLAKE2b over an encoded image, or over pixels in ``[C, H, W]`` order."""
    data = content if isinstance(content, bytes) else np.ascontiguousarray(content).data
    return hashlib.blake2b(data, digest_size=DIGEST_BYTES).digest()


def sample_ids(names: Sequence[str]) -> Tensor:
    """The identities of samples, int64 ``[N]``; see `sample_id`."""
    return torch.tensor([sample_id(each) for each in names], dtype=torch.int64)


def content_digests(contents: Iterable[bytes | Pixels]) -> NDArray[np.uint8]:
    """The digests of samples, uint8 ``[N, 16]``; see `content_digest`."""
    joined = b"".join(content_digest(each) for each in contents)
    return np.frombuffer(joined, np.uint8).reshape(-1, DIGEST_BYTES)


def sizes_fingerprint(ids: NDArray[np.int64], sizes: NDArray[np.unsignedinteger[Any]]) -> str:
    """SHA-256, in hexadecimal, over the ``(id, size)`` pairs sorted by id: of data that are too
    large to be read for their name alone.

    Args:
        ids: int64 ``[N]``.
        sizes: unsigned ``[N]``, the bytes of each encoded sample.
    """
    order = np.argsort(ids)
    parts = hashlib.sha256(ids[order].astype("<i8").data)
    parts.update(sizes[order].astype("<u8").data)
    return parts.hexdigest()


def data_fingerprint(ids: NDArray[np.int64], digests: NDArray[np.uint8]) -> str:
    """SHA-256, in hexadecimal, over the ``(id, digest)`` pairs sorted by id.

    Args:
        ids: int64 ``[N]``.
        digests: uint8 ``[N, 16]``.

    The order in which samples were listed does not matter; a changed byte, name or set does.
    """
    order = np.argsort(ids)
    words = ids[order].astype(">i8").view(np.uint8).reshape(-1, 8)
    return hashlib.sha256(np.concatenate([words, digests[order]], axis=1).tobytes()).hexdigest()
