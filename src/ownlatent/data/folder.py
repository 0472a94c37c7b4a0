"""A folder of image files, nested at will."""

import hashlib
import os
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ownlatent.data.decode import probe
from ownlatent.data.fingerprint import sizes_fingerprint
from ownlatent.data.pixels import Header
from ownlatent.data.source import Source
from ownlatent.errors import UsageError

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp"})


def list_files(root: Path) -> list[str]:
    """Relative paths of the files below ``root``, hidden ones left out, sorted, with ``/``.

    Links to folders are followed; a folder met twice (a link to a parent, say) is listed once.
    """
    found: list[str] = []
    seen: set[str] = set()
    for folder, folders, files in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(each for each in folders if not each.startswith("."))
        prefix = Path(folder).relative_to(root)
        found += [(prefix / each).as_posix() for each in files if not each.startswith(".")]
    return sorted(found)


def stamp_files(root: Path, files: list[str]) -> str:
    """A hash of where the files are, their sizes and when they were last changed."""
    stamp = hashlib.blake2b(os.fsencode(root.resolve()), digest_size=16)
    for file in files:
        status = (root / file).stat()
        stamp.update(os.fsencode(f"\0{file}\0{status.st_size}\0{status.st_mtime_ns}"))
    return stamp.hexdigest()


class FolderSource(Source):
    """Images below a folder, in the order of their relative paths.

    With ``labelled``, the first part of each path is its class and classes are numbered in sorted
    order.
    """

    def __init__(self, root: Path, files: list[str], *, labelled: bool) -> None:
        self._root, self._files = root, files
        labels, classes = class_folders(root, files) if labelled else (None, None)
        super().__init__(str(root), files, labels, classes)

    def stamp(self) -> str:
        return stamp_files(self._root, self._files)

    def outline(self) -> str:
        sizes = [(self._root / each).stat().st_size for each in self._files]
        return sizes_fingerprint(self.ids.numpy(), np.array(sizes, np.uint64))

    def _load(self, index: int) -> bytes:
        return (self._root / self.names[index]).read_bytes()

    def _probe(self, index: int) -> Header:
        return probe(self._root / self.names[index])


def class_folders(root: Path, files: list[str]) -> tuple[Tensor, list[str]]:
    """Labels int64 ``[N]`` and class names from the first part of each path.

    Raises:
        UsageError: a file lies in no folder.
    """
    for file in files:
        if "/" not in file:
            raise UsageError(
                f"{root / file} lies in no class folder: labels need one folder per class "
                f"directly below {root}"
            )
    of_file = [file.split("/", 1)[0] for file in files]
    classes = sorted(set(of_file))
    number = {name: index for index, name in enumerate(classes)}
    return torch.tensor([number[name] for name in of_file], dtype=torch.int64), classes
