"""``ownlatent explore``: a store's samples on a local page."""

import errno
import os
import secrets
import socket
import sys
import webbrowser
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ownlatent.checks import require_within
from ownlatent.data.folder import SUFFIXES
from ownlatent.data.patterns import names_shards
from ownlatent.embeddings.explorer.look import CLUSTERS, Bar, look
from ownlatent.embeddings.store import Store, open_store
from ownlatent.errors import UsageError

HOST, PORT = "127.0.0.1", 5055
_LOOPBACK = (HOST, "localhost")


def explore(
    store: str | Path,
    *,
    port: int = PORT,
    host: str = HOST,
    browser: bool = True,
    clusters: int = CLUSTERS,
    seed: int = 0,
    bar: Bar | None = None,
) -> None:
    """Serve a page of a store's samples on this machine until Ctrl-C, and print its address.

    The page draws a map on which alike samples lie together, with their pictures; it lists exact
    neighbours, colours by label, cluster or outlier score, and exports what is selected. It is
    served to this machine alone, and asks nothing of any other.

    Args:
        store: what :func:`write_embeddings` wrote.
        port: from 1 to 65535; 0 takes a free one.
        host: 127.0.0.1 or localhost.
        browser: open the page in the desktop's browser, if there is a desktop.
        clusters: k of k-means.
        seed: of the map and the clusters.
        bar: what shows how far the work before the first page is.

    Raises:
        UsageError: the store cannot be read, the port is in use, another host is asked for, or the
            extra ``explore`` is not installed.
    """
    if host not in _LOOPBACK:
        raise UsageError(
            f"The explorer is served to this machine alone: --host is {HOST}, not {host}; from "
            f"elsewhere forward the port, with ssh -L {port}:{HOST}:{port}."
        )
    require_within("port", port, 0, 65535)
    try:
        import uvicorn

        from ownlatent.embeddings.explorer.app import Shown, application
    except ImportError as error:
        raise UsageError(
            "The explorer needs starlette and uvicorn: pip install ownlatent[explore]."
        ) from error
    opened = open_store(store)
    with _listening(port) as listening:
        port = listening.getsockname()[1]
        seen, cache = look(opened, clusters=clusters, seed=seed, bar=bar)
        if cache is None:
            print(f"The map cannot be kept beside {opened.path.name}, and is made each time.")
        pictures = has_picture(opened)
        note = missing(opened, pictures)
        if note:
            print(note)
        token = secrets.token_urlsafe(16)
        address = f"http://{HOST}:{port}/{token}/"
        print(f"{len(opened):,} samples of {opened.path.name}: {address}")
        print("It is there for this machine alone, until Ctrl-C.", flush=True)
        if browser and _desktop():
            webbrowser.open(address)
        server = uvicorn.Server(
            uvicorn.Config(
                application(Shown(opened, seen, pictures, note), token=token, port=port),
                log_level="error", access_log=False, server_header=False, lifespan="off",
                timeout_graceful_shutdown=1,
            )
        )  # fmt: skip
        with suppress(KeyboardInterrupt):  # raised again once all is closed
            server.run(sockets=[listening])
        print("Stopped.")


def has_picture(store: Store) -> NDArray[np.bool_]:
    """Whether each sample is an image file that is there, below the folder it came from: ``[N]``"""
    if not Path(str(store.origin.get("root"))).is_dir():
        return np.zeros(len(store), bool)
    files = (store.file(row) for row in range(len(store)))
    there = (file is not None and file.suffix.lower() in SUFFIXES for file in files)
    return np.fromiter(there, bool, len(store))


def missing(store: Store, pictures: NDArray[np.bool_]) -> str:
    """A sentence on the images that cannot be shown; none where all can, or none are expected."""
    root = store.origin.get("root")
    if store.origin.get("kind", "images") != "images" or not isinstance(root, str):
        return ""
    if names_shards(root) or Path(root).is_file():
        return "The samples are not files of their own: names stand where images would."
    gone = int((~pictures).sum())
    if not gone:
        return ""
    return (
        f"{gone:,} of {len(store):,} images are not there; names stand in their place until they "
        "are back where they were embedded."
    )


def _listening(port: int) -> socket.socket:
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    # Connections of an explorer that has just ended do not hold the port.
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((HOST, port))
        listening.listen()
    except OSError as error:
        listening.close()
        if error.errno == errno.EADDRINUSE:
            raise UsageError(f"Port {port} is in use; --port {_free()} is free.") from error
        raise UsageError(
            f"Port {port} cannot be taken ({error.strerror}); choose another --port."
        ) from error
    return listening


def _free() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as asked:
        asked.bind((HOST, 0))
        return int(asked.getsockname()[1])


def _desktop() -> bool:
    """Whether there is a window to open: a browser in the terminal would take it over."""
    if sys.platform in ("darwin", "win32"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
