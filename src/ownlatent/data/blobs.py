"""Files that are read by the byte: on a disk here, or behind HTTP or an object store."""

import os
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

from ownlatent.data.patterns import is_url
from ownlatent.data.source import SourceFailed
from ownlatent.errors import UsageError

TIMEOUT, RETRIES = "30s", 4  # of one request; after that a run ends and can go on later


class Blob(Protocol):
    """A file of fixed content.

    Attributes:
        name: its path or address.
        size: in bytes.
        tag: another one once the content is another: its time of change, or its ETag.
    """

    @property
    def name(self) -> str: ...
    @property
    def size(self) -> int: ...
    @property
    def tag(self) -> str: ...

    def read(self, start: int, count: int) -> bytes:
        """``count`` bytes from ``start`` on.

        Raises:
            SourceFailed: it cannot be read, or has changed since it was opened.
        """
        ...


def open_blob(name: str) -> Blob:
    """A file by its path or address.

    Raises:
        SourceFailed: it is not there, or does not answer.
        UsageError: an address of a kind not known, or what reads them is not installed.
    """
    return RemoteBlob.open(name) if is_url(name) else LocalBlob.open(name)


@dataclass(frozen=True, slots=True)
class LocalBlob:
    """A file on a disk here. None is kept open: there may be more shards than a process may open,
    and opening one takes a hundredth of the time of decoding an image."""

    name: str
    size: int
    tag: str

    @classmethod
    def open(cls, name: str) -> "LocalBlob":
        try:
            status = os.stat(name)
        except OSError as error:
            raise SourceFailed(f"{name} cannot be read ({error.strerror})") from error
        return cls(name, status.st_size, str(status.st_mtime_ns))

    def read(self, start: int, count: int) -> bytes:
        try:
            with open(self.name, "rb", buffering=0) as file:
                status = os.fstat(file.fileno())
                if (status.st_size, str(status.st_mtime_ns)) != (self.size, self.tag):
                    raise changed(self.name)
                content = os.pread(file.fileno(), count, start)
        except OSError as error:
            if isinstance(error, SourceFailed):
                raise
            raise SourceFailed(f"{self.name} cannot be read ({error.strerror})") from error
        if len(content) != count:
            raise changed(self.name)
        return content


@dataclass(frozen=True, slots=True)
class RemoteBlob:
    """A file behind ``https://``, ``s3://`` and what else obstore reads. Where a store is, and by
    which key it opens, it takes from the environment (``AWS_ENDPOINT_URL``,
    ``AWS_ACCESS_KEY_ID``, ...)."""

    name: str
    size: int
    tag: str

    @classmethod
    def open(cls, name: str) -> "RemoteBlob":
        store, path = _store(name)
        import obstore  # once it is known to be installed

        try:
            meta = obstore.head(store, path)
        except Exception as error:
            raise _failed(name, error) from error
        return cls(name, meta["size"], _tag(meta))

    def read(self, start: int, count: int) -> bytes:
        if not count:  # which servers refuse to answer
            return b""
        store, path = _store(self.name)
        import obstore

        try:
            got = obstore.get(store, path, options={"range": (start, start + count)})
            meta, content = got.meta, bytes(got.bytes())
        except Exception as error:
            raise _failed(self.name, error) from error
        if meta["size"] != self.size or _tag(meta) != self.tag or len(content) != count:
            raise changed(self.name)
        return content


def fetch(name: str) -> bytes | None:
    """All of a small file behind an address; None where there is none."""
    try:
        blob = RemoteBlob.open(name)
    except SourceFailed as error:
        if isinstance(error.__cause__, FileNotFoundError):
            return None
        raise
    return blob.read(0, blob.size)


def changed(name: str) -> SourceFailed:
    return SourceFailed(
        f"{name} has changed since it was opened, so that its samples are no longer where they "
        "were: put it back, or begin anew with what is there now"
    )


def _tag(meta: Any) -> str:
    return str(meta["e_tag"] or meta["last_modified"])


def _store(name: str) -> tuple[Any, str]:
    scheme, rest = name.split("://", 1)
    host, _, path = rest.partition("/")
    return _store_of(f"{scheme}://{host}"), path


@cache
def _store_of(place: str) -> Any:
    try:
        from obstore.exceptions import BaseError
        from obstore.store import from_url
    except ImportError as error:
        raise UsageError(
            f"To read from {place}: pip install ownlatent[stream], or fetch the shards first"
        ) from error
    client: Any = {"timeout": TIMEOUT, "connect_timeout": TIMEOUT, "allow_http": True}
    patience: Any = {"max_retries": RETRIES}
    try:
        return from_url(place, client_options=client, retry_config=patience)
    except (BaseError, ValueError, OSError) as error:
        why = str(error).split("\n")[0]
        raise UsageError(
            f"{place} is no place that shards can be read from ({why}): give https://, s3://, "
            "gs:// or a path"
        ) from error


def _failed(name: str, error: Exception) -> SourceFailed:
    if isinstance(error, FileNotFoundError):
        return SourceFailed(f"{name} is not there (404): name only shards that are")
    kind = type(error).__name__
    if kind == "NotSupportedError":
        return SourceFailed(
            f"{name} lies on a server that gives no parts of a file (no Range requests): fetch the "
            "shards first, or serve them by another"
        )
    if kind in ("PermissionDeniedError", "UnauthenticatedError"):
        return SourceFailed(f"{name} may not be read: set the store's keys in the environment")
    why = str(error).split("\n")[0].rstrip(". ")
    return SourceFailed(f"{name} cannot be read ({why})")
