"""Images and what is known of each of their pixels, in memory at one size."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ownlatent.data.decode import FORMATS
from ownlatent.encoder import Encoder
from ownlatent.errors import UsageError

ENDINGS = {".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp"}


@dataclass(frozen=True)
class Pairs:
    """Images uint8 ``[N, 3, H, W]`` beside their targets ``[N, H, W]``, and the images' names."""

    images: Tensor
    targets: Tensor
    names: list[str]

    def __len__(self) -> int:
        return len(self.names)


def open_pairs(
    images: str | Path,
    targets: str | Path,
    size: tuple[int, int] | None,
    read: Callable[[Path, tuple[int, int]], np.ndarray],
) -> Pairs:
    """Read two folders, whose files go together by name (endings aside).

    Args:
        images: folder of images; those without a target are an error.
        targets: folder of what is known of them.
        size: height and width that both are brought to; None: the first image's.
        read: reads a target at that size: an array ``[H, W]``.

    Raises:
        UsageError: a folder or a file is missing, a file is damaged, or sizes differ.
    """
    files, known = _files(Path(images)), {p.stem: p for p in _files(Path(targets)).values()}
    missing = [name for name, file in files.items() if file.stem not in known]
    if missing:
        raise UsageError(
            f"{len(missing)} of {len(files)} images in {images} have no file of the same name in "
            f"{targets}, such as {missing[0]}; give the folder that belongs to them."
        )
    pictures, found, one = [], [], size
    for name, file in files.items():
        picture = _read_image(file, size)
        height, width = picture.shape[:2]
        one = one or (height, width)
        if (height, width) != one:
            raise UsageError(
                f"{name} is {width} x {height} pixels, others are {one[1]} x {one[0]}; give --size "
                "to bring them to one."
            )
        pictures.append(torch.from_numpy(picture).movedim(-1, 0))
        found.append(torch.from_numpy(read(known[file.stem], one)))
    return Pairs(torch.stack(pictures), torch.stack(found), list(files))


def _files(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise UsageError(f"There is no folder {folder}; give one of image files.")
    found = {p.name: p for p in sorted(folder.iterdir()) if p.suffix.lower() in ENDINGS}
    if not found:
        raise UsageError(f"There are no images in {folder}; give a folder of image files.")
    return found


def _read_image(file: Path, size: tuple[int, int] | None) -> np.ndarray:
    with opened(file) as image:
        image = image.convert("RGB")
        if size is not None and image.size != size[::-1]:
            image = image.resize(size[::-1], Image.Resampling.BICUBIC)
        return np.array(image)


def opened(file: Path) -> Image.Image:
    """A decoded image.

    Raises:
        UsageError: it cannot be read.
    """
    try:
        image = Image.open(file, formats=FORMATS)
        image.load()
    except Exception as error:  # decoders meet damage with many types
        raise UsageError(f"{file} cannot be read ({error}); mend it or take it out.") from error
    return image


def parts(images: Tensor) -> Sequence[Tensor]:
    """A few images at a time, for what is seen whole."""
    few: Sequence[Tensor] = torch.split(images, 8)
    return few


def normalised(images: Tensor, encoder: Encoder, device: torch.device) -> Tensor:
    """uint8 ``[B, 3, H, W]`` as the encoder's backbone takes it, at its own size."""
    mean, std = (
        torch.tensor(values, device=device).view(-1, 1, 1)
        for values in (encoder.preprocessing.mean, encoder.preprocessing.std)
    )
    x = (images.to(device).float() / 255 - mean) / std
    return x.contiguous(memory_format=torch.channels_last)
