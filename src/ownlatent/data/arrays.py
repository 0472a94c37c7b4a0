"""Images already in an array: NumPy, torch, ``.npy`` or ``.npz``."""

import hashlib
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ownlatent.data.folder import stamp_files
from ownlatent.data.pixels import Pixels
from ownlatent.data.source import Source
from ownlatent.errors import UsageError

MOST_CHANNELS = 16
_IMAGE_KEYS = ("images", "x", "data")
_LABEL_KEYS = ("labels", "label", "y")
_LAYOUTS = "[N, H, W], [N, H, W, C] or [N, C, H, W]"


class ArraySource(Source):
    """The rows of one array of images; sample ``i`` is named ``row:<i>``.

    Attributes:
        pixels: uint8 or uint16 ``[N, C, H, W]``, a view of what was given.
        on_disk: whether ``pixels`` is a memory map.
    """

    def __init__(
        self, name: str, array: NDArray[Any], labels: Tensor | None, path: Path | None = None
    ) -> None:
        self.pixels = _channels_first(name, array)
        self.on_disk = isinstance(array, np.memmap)
        self._path = path
        super().__init__(name, [f"row:{row}" for row in range(len(array))], labels)

    def stamp(self) -> str:
        if self._path is not None:
            return stamp_files(self._path.parent, [self._path.name])
        kind = f"{self.pixels.shape} {self.pixels.dtype}"
        stamp = hashlib.blake2b(kind.encode(), digest_size=16)
        for image in self.pixels:
            stamp.update(np.ascontiguousarray(image).data)
        return stamp.hexdigest()

    def _load(self, index: int) -> Pixels:
        image: Pixels = self.pixels[index]
        return image


def open_array(data: np.ndarray[Any, Any] | Tensor) -> ArraySource:
    """An array in memory, not copied (from the host, that is)."""
    if isinstance(data, Tensor):
        if data.dtype not in (torch.uint8, torch.uint16):
            raise _wrong_dtype("the tensor", data.dtype)
        data = data.detach().cpu().numpy()
    return ArraySource("the array", data, None)


def open_array_file(path: Path) -> ArraySource:
    """A ``.npy`` file, memory-mapped, or an ``.npz`` file with images and perhaps labels."""
    try:
        loaded = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError, BadZipFile) as error:
        raise UsageError(
            f"{path} is not a readable NumPy file of plain numbers: {error}"
        ) from error
    if isinstance(loaded, np.ndarray):
        return ArraySource(str(path), loaded, None, path)
    with loaded:
        image_key = next((key for key in _IMAGE_KEYS if key in loaded), None)
        if image_key is None:
            raise UsageError(
                f"{path} holds {', '.join(loaded) or 'nothing'}: name the array of images one of "
                f"{', '.join(_IMAGE_KEYS)}"
            )
        label_key = next((key for key in _LABEL_KEYS if key in loaded), None)
        try:
            images = loaded[image_key]
            labels = None if label_key is None else loaded[label_key]
        except Exception as error:  # zip, zlib and NumPy each have their own
            raise UsageError(f"{path} is damaged: write it again ({error})") from error
    checked = None if labels is None else _labels(str(path), labels, len(images))
    return ArraySource(str(path), images, checked, path)


def _wrong_dtype(name: str, dtype: object) -> UsageError:
    return UsageError(
        f"{name} holds {dtype}: convert the images to uint8 (0 to 255) or uint16 (0 to 65535)"
    )


def _channels_first(name: str, array: NDArray[Any]) -> Pixels:
    """``[N, C, H, W]``. Of the second and the last axis the shorter is the channels, the last if
    they are equal."""
    if array.dtype not in (np.uint8, np.uint16):
        raise _wrong_dtype(name, array.dtype)
    if array.ndim not in (3, 4):
        raise UsageError(f"{name} has shape {list(array.shape)}: images must be {_LAYOUTS}")
    if array.size == 0:
        raise UsageError(f"{name} has shape {list(array.shape)} and holds no pixel: give it images")
    if any(stride < 0 for stride in array.strides):
        array = array.copy()  # torch has no reversed views
    if array.ndim == 3:
        return array[:, None]
    first, last = array.shape[1], array.shape[3]
    if min(first, last) > MOST_CHANNELS:
        raise UsageError(
            f"{name} has shape {list(array.shape)}: images must be {_LAYOUTS} with at most "
            f"{MOST_CHANNELS} channels"
        )
    return array if first < last else np.moveaxis(array, 3, 1)


def _labels(name: str, labels: NDArray[Any], count: int) -> Tensor:
    if labels.size != count or labels.dtype.kind not in "iub":
        raise UsageError(
            f"the labels in {name} are {labels.dtype} {list(labels.shape)}: give one integer for "
            f"each of the {count} images"
        )
    return torch.from_numpy(labels.reshape(-1).astype(np.int64))
