"""From what a person gives to sounds that are read one at a time."""

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ownlatent.data.folder import SUFFIXES, class_folders, list_files
from ownlatent.data.opening import check_labels
from ownlatent.data.sound import read_header, read_wav
from ownlatent.data.source import too_many
from ownlatent.errors import UsageError

WAV = ".wav"
RATES = (1_000, 768_000)
_LABELS = ("labels", "label", "y")
Clip = tuple[NDArray[np.float32], int, bytes]


class Sounds(ABC):
    """Sounds in a fixed order, perhaps labelled: int64 ``[N]``, and class names or None."""

    def __init__(
        self, name: str, names: list[str], labels: Tensor | None, classes: list[str] | None
    ) -> None:
        self.name, self.names = name, names
        self.labels, self.classes = labels, classes

    def __len__(self) -> int:
        return len(self.names)

    @abstractmethod
    def rate(self, row: int) -> int | None:
        """Hz, or None where it cannot be read."""

    @abstractmethod
    def read(self, row: int) -> Clip:
        """The sound as float32 ``[T]``, its rate, and the bytes that tell it from others.

        Raises:
            OSError, ValueError: it cannot be read.
        """

    def refuse_unless_enough(self, skipped: Sequence[tuple[str, str]]) -> None:
        """Raises UsageError where more than 10 and more than 1 % of the sounds, or all, are
        unreadable."""
        count = len(self)
        if not too_many(len(skipped), count) and len(skipped) < count:
            return
        first = "; ".join(f"{name}: {why}" for name, why in skipped[:3])
        some = "none" if len(skipped) == count else f"only {count - len(skipped):,}"
        raise UsageError(
            f"{some} of the {count:,} clips in {self.name} can be used: remove or repair the "
            f"others ({first})"
        )


class Files(Sounds):
    """``.wav`` files below a folder, in the order of their relative paths."""

    def __init__(self, root: Path, files: list[str], labelled: bool) -> None:
        self._root = root
        labels, classes = class_folders(root, files) if labelled else (None, None)
        super().__init__(str(root), files, labels, classes)

    def rate(self, row: int) -> int | None:
        try:
            with (self._root / self.names[row]).open("rb") as file:
                return _in_bounds(read_header(file).rate)
        except (OSError, ValueError):
            return None

    def read(self, row: int) -> Clip:
        content = (self._root / self.names[row]).read_bytes()
        clip, rate = read_wav(content)
        return clip, _in_bounds(rate), content


class Arrays(Sounds):
    """Arrays ``[T]``, int16 or float, at one rate; sample ``i`` is named ``row:<i>``."""

    def __init__(
        self, name: str, clips: Sequence[NDArray[Any]], rate: int, labels: NDArray[Any] | None
    ) -> None:
        self._clips, self._rate = clips, rate
        numbers, classes = None, None
        if labels is not None:
            numbers, classes = _numbered(name, labels, len(clips))
        super().__init__(name, [f"row:{row}" for row in range(len(clips))], numbers, classes)

    def rate(self, row: int) -> int:
        return self._rate

    def read(self, row: int) -> Clip:
        clip = np.ascontiguousarray(self._clips[row])
        scale = 2.0**15 if clip.dtype == np.int16 else 1.0
        return (clip / scale).astype(np.float32), self._rate, clip.tobytes()


def open_sounds(data: Any, rate: int | None, labelled: bool, labels: Any) -> Sounds:
    """See :func:`ownlatent.data.clips.open_clips`."""
    if isinstance(data, str | Path):
        path = Path(data).expanduser()
        sounds = _npz(path) if path.suffix.lower() == ".npz" else _folder(path, labelled)
    else:
        clips = [_array(each, "the array") for each in data]
        if rate is None:
            raise UsageError("An array of sounds has no rate: say it in Hz by rate=.")
        given = None if labels is None else np.asarray(labels)
        sounds = Arrays("the array", clips, _rate("the array", rate), given)
    if not len(sounds):
        raise UsageError(f"{sounds.name} holds no clip: give it some.")
    if labelled:
        check_labels(sounds.name, sounds.labels)
    return sounds


def is_sound(data: Any) -> bool:
    """Whether ``data`` is a path to sounds: a ``.wav`` file, a folder that holds some and no
    images, or an ``.npz`` file with ``clips``, or with ``samples`` and ``length``."""
    if not isinstance(data, str | Path):
        return False
    path = Path(data).expanduser()
    if path.suffix.lower() == WAV:
        return True
    try:
        if path.suffix.lower() == ".npz":
            with np.load(path) as held:
                return "clips" in held or {"samples", "length"} <= set(held)
        return path.is_dir() and _holds_sounds(path)
    except (OSError, ValueError, EOFError, BadZipFile):
        return False  # who opens it as images says what is wrong


def _holds_sounds(root: Path) -> bool:
    found = False
    for _, _, files in os.walk(root, followlinks=False):
        endings = {os.path.splitext(each)[1].lower() for each in files}
        if endings & (SUFFIXES | {".parquet"}):
            return False
        found = found or WAV in endings
    return found


def _folder(path: Path, labelled: bool) -> Files:
    if path.suffix.lower() == WAV and path.is_file():
        raise UsageError(f"{path} is a single sound: give the folder that holds the sounds.")
    if not path.is_dir():
        raise UsageError(f"{path} does not exist: give a folder of .wav files, or an .npz file.")
    files = [each for each in list_files(path) if Path(each).suffix.lower() == WAV]
    if not files:
        raise UsageError(f"{path} holds no .wav file: give a folder of them, or an .npz file.")
    return Files(path, files, labelled)


def _npz(path: Path) -> Arrays:
    try:
        with np.load(path, allow_pickle=False) as loaded:
            held = {name: loaded[name] for name in loaded}
    except Exception as error:  # zip, zlib and NumPy each have their own
        raise UsageError(f"{path} is no readable NumPy file of plain numbers: {error}") from error
    if "rate" not in held:
        raise UsageError(f"{path} has no 'rate': add the sounds' sampling rate in Hz.")
    length = held.get("length")
    if length is not None and (length.dtype.kind not in "iu" or (length < 0).any()):
        raise UsageError(f"the lengths in {path} are {length.dtype}: give whole numbers from 0 on.")
    if "clips" in held:
        parts = _padded(held["clips"], length, path)
    elif "samples" in held and length is not None:
        parts = _flat(held["samples"], length, path)
    else:
        raise UsageError(f"{path} holds no sounds: name them 'clips', or 'samples' and 'length'.")
    label = next((held[name] for name in _LABELS if name in held), None)
    return Arrays(str(path), parts, _rate(str(path), held["rate"]), label)


def _padded(clips: NDArray[Any], length: NDArray[Any] | None, path: Path) -> list[NDArray[Any]]:
    if clips.ndim != 2 or (length is not None and length.shape != clips.shape[:1]):
        raise UsageError(
            f"the clips in {path} have the shape {list(clips.shape)}: give [N, T], and lengths "
            "if any one for each."
        )
    ends = [clips.shape[1]] * len(clips) if length is None else length.tolist()
    return [_array(each[:end], str(path)) for each, end in zip(clips, ends, strict=True)]


def _flat(samples: NDArray[Any], length: NDArray[Any], path: Path) -> list[NDArray[Any]]:
    flat = _array(samples, str(path))
    if int(length.sum()) != len(flat):
        raise UsageError(
            f"{path} holds {len(flat):,} samples and lengths of {int(length.sum()):,} in all: they "
            "must be as many."
        )
    return np.split(flat, np.cumsum(length.astype(np.int64))[:-1])


def _array(clip: Any, name: str) -> NDArray[Any]:
    array = clip.detach().cpu().numpy() if isinstance(clip, Tensor) else np.asarray(clip)
    if array.ndim != 1 or (array.dtype != np.int16 and array.dtype.kind != "f"):
        raise UsageError(
            f"{name} holds {array.dtype} {list(array.shape)}: give each sound as int16 or float "
            "[T]."
        )
    return array


def _rate(name: str, rate: Any) -> int:
    held = np.asarray(rate)
    if held.size != 1 or held.dtype.kind not in "iuf" or held.item() != int(held.item()):
        raise UsageError(f"the rate of {name} is {rate}: give one whole number, in Hz.")
    try:
        return _in_bounds(int(held.item()))
    except ValueError as error:
        raise UsageError(f"the rate of {name} is {error}.") from error


def _in_bounds(rate: int) -> int:
    if not RATES[0] <= rate <= RATES[1]:
        raise ValueError(f"{rate} Hz, not between {RATES[0]:,} and {RATES[1]:,}")
    return rate


def _numbered(name: str, labels: NDArray[Any], count: int) -> tuple[Tensor, list[str] | None]:
    """Whole numbers as they are; texts by their sorted order."""
    if labels.shape != (count,) or labels.dtype.kind not in "iubU":
        raise UsageError(
            f"the labels of {name} are {labels.dtype} {list(labels.shape)}: give one whole number "
            f"or text for each of the {count} clips."
        )
    if labels.dtype.kind == "U":
        classes, numbers = np.unique(labels, return_inverse=True)
        return torch.from_numpy(numbers.astype(np.int64)), classes.tolist()
    return torch.from_numpy(labels.astype(np.int64)), None
