"""From what a person gives to a source."""

from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from torch import Tensor

from ownlatent.data.arrays import open_array, open_array_file
from ownlatent.data.folder import SUFFIXES, FolderSource, list_files
from ownlatent.data.patterns import TAR, names_shards, shard_names
from ownlatent.data.source import Source
from ownlatent.errors import UsageError

Data: TypeAlias = str | Path | np.ndarray[Any, Any] | Tensor | Source
MOST_CLASSES = 100_000
_KINDS = (
    "a folder of images, a .npy or .npz file, a Parquet file, WebDataset shards (.tar), or a "
    "folder of one of them"
)


def open_source(data: Data, *, labelled: bool = False) -> Source:
    """The samples in ``data``.

    Args:
        data: a folder of JPEG, PNG, WebP, TIFF or BMP files, nested at will; an array or tensor,
            uint8 or uint16, ``[N, H, W]``, ``[N, H, W, C]`` or ``[N, C, H, W]`` (the channels are
            the shorter of the second and last axis, at most 16); a ``.npy`` file of one, or an
            ``.npz`` file with it under ``images``, ``x`` or ``data`` and perhaps ``labels``,
            ``label`` or ``y``; a Parquet file, or a folder of them taken together in sorted order;
            WebDataset shards: a ``.tar`` file, a folder of them, a brace pattern of paths or of
            addresses (``s3://bucket/train-{000000..000146}.tar``), see `ShardSource`; or a source
            opened before.
        labelled: labels are needed. For a folder they are the first parts of the paths, and only
            then given; arrays and tables give those they have in any case.

    Raises:
        UsageError: nothing there, nothing in it, a kind not known, or no label where needed.
    """
    source: Source
    if isinstance(data, Source):
        source = data
    elif isinstance(data, str | Path):
        if names_shards(data):
            source = _shards(str(data), shard_names(data))
        else:
            source = _open_path(Path(data).expanduser(), labelled)
    elif isinstance(data, np.ndarray | Tensor):
        source = open_array(data)
    else:
        raise UsageError(f"Data cannot be a {type(data).__name__}: give an array, {_KINDS}")
    if source.labels is not None and int(source.labels.max()) >= MOST_CLASSES:
        raise UsageError(
            f"the labels in {source.name} reach {int(source.labels.max())}: number the classes "
            f"0, 1, 2, ... and below {MOST_CLASSES:,}"
        )
    if labelled:
        check_labels(source.name, source.labels)
    return source


def check_labels(name: str, labels: Tensor | None) -> None:
    """Refuse what is called ``name`` unless every sample has a label (int64 ``[N]``, none < 0).

    Raises:
        UsageError: there are none, or some are missing.
    """
    if labels is None:
        raise UsageError(
            f"{name} has no labels: use a folder with one folder per class, an .npz file "
            f"with 'images' and 'labels', a Parquet file with an integer column 'label', or "
            f"shards with a .cls beside each image"
        )
    without = int((labels < 0).sum())
    if without:
        raise UsageError(
            f"{without:,} of {len(labels):,} labels in {name} are missing or negative: "
            f"leave those rows out"
        )


def _open_path(path: Path, labelled: bool) -> Source:
    try:
        if path.is_dir():
            return _open_folder(path, labelled)
        there = path.exists()
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror}): give {_KINDS}") from error
    if not there:
        raise UsageError(f"{path} does not exist: give {_KINDS}")
    suffix = path.suffix.lower()
    if suffix in (".npy", ".npz"):
        return open_array_file(path)
    if suffix == ".parquet":
        return _parquet(path.parent, [path.name])
    if suffix in SUFFIXES:
        raise UsageError(f"{path} is a single image: give the folder that holds the images")
    raise UsageError(f"{path} is of a kind not known here: give {_KINDS}")


def _open_folder(root: Path, labelled: bool) -> Source:
    files = list_files(root)
    images = [file for file in files if Path(file).suffix.lower() in SUFFIXES]
    tables = [file for file in files if Path(file).suffix.lower() == ".parquet"]
    shards = [file for file in files if file.lower().endswith(TAR)]
    held = {"images": images, "Parquet files": tables, "shards": shards}
    kinds = [f"{kind} ({some[0]})" for kind, some in held.items() if some]
    if len(kinds) > 1:
        raise UsageError(f"{root} holds both {' and '.join(kinds)}: give a folder of one kind")
    if images:
        return FolderSource(root, images, labelled=labelled)
    if tables:
        return _parquet(root, tables)
    if shards:
        return _shards(str(root), [str(root / each) for each in shards])
    found = f"only other files ({files[0]})" if files else "no files"
    raise UsageError(f"{root} holds {found}: give {_KINDS}")


def _shards(name: str, shards: list[str]) -> Source:
    from ownlatent.data.shards import ShardSource  # rarely needed

    return ShardSource(name, shards)


def _parquet(root: Path, files: list[str]) -> Source:
    from ownlatent.data.parquet import ParquetSource  # pyarrow is slow to import

    return ParquetSource(root, files)
