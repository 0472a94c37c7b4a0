"""From what a person has to what a backbone takes, for images."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from ownlatent.errors import UsageError
from ownlatent.views.geometry import resampling

if TYPE_CHECKING:
    from PIL.Image import Image

    Images = Tensor | Image | Sequence[Tensor | Image]


@dataclass(frozen=True)
class Preprocessing:
    """From an image to what the backbone takes."""

    channels: int
    size: int
    """Side in pixels that images are brought to."""
    crop: float
    """Side of the central square that is kept, as a fraction of the shorter side."""
    mean: tuple[float, ...]
    std: tuple[float, ...]
    kind: str = "images"


class ToPixels(nn.Module):
    """uint8 or uint16 ``[B, C, H, W]`` to float32 ``[B, C, S, S]``, normalised."""

    mean: Tensor
    std: Tensor

    def __init__(self, preprocessing: Preprocessing) -> None:
        super().__init__()
        self.settings = preprocessing
        for statistic in ("mean", "std"):
            value = torch.tensor(getattr(preprocessing, statistic)).view(-1, 1, 1)
            self.register_buffer(statistic, value, persistent=False)

    def forward(self, pixels: Tensor, sizes: Tensor | None = None) -> Tensor:
        """What the backbone sees: uint8 or uint16 ``[B, C, H, W]`` to float32 ``[B, C, S, S]``."""
        if pixels.dtype not in (torch.uint8, torch.uint16) or pixels.ndim != 4:
            raise UsageError(
                "Give images as uint8 or uint16 [B, C, H, W] or as PIL images; got "
                f"{str(pixels.dtype).removeprefix('torch.')} {list(pixels.shape)}."
            )
        wanted, size = self.settings.channels, self.settings.size
        channels, height, width = pixels.shape[1:]
        if channels == 1 < wanted:
            pixels = pixels.expand(-1, wanted, -1, -1)
        elif channels != wanted:
            raise UsageError(f"This encoder takes images of {wanted} channels; got {channels}.")
        pixels = pixels.to(self.mean.device)
        brightest = torch.iinfo(pixels.dtype).max
        x = pixels.to(torch.float32) / brightest
        if sizes is not None or (height, width) != (size, size) or self.settings.crop != 1:
            if sizes is None:
                sizes = torch.tensor([[height, width]]).expand(len(pixels), 2)
            true = sizes.to(x.device, torch.float32)
            side = self.settings.crop * true.amin(dim=1, keepdim=True)
            scale = torch.tensor([height, width], device=x.device) / true
            start, extent = (true - side) / 2 * scale, side * scale
            rows = resampling(start[:, 0], extent[:, 0], None, size, height)
            columns = resampling(start[:, 1], extent[:, 1], None, size, width)
            x = (rows[:, None] @ x @ columns[:, None].transpose(-1, -2)).clamp(0, 1)
        return ((x - self.mean) / self.std).contiguous(memory_format=torch.channels_last)

    def tensors(self, images: Any) -> list[Tensor]:
        """A PIL image, or a sequence of images that may differ in size, as tensors
        ``[b, C, H, W]``."""
        batch = images if isinstance(images, Sequence) else [images]
        return [self._tensor(image) for image in batch]

    def _tensor(self, image: "Tensor | Image") -> Tensor:
        if isinstance(image, Tensor):
            return image[None] if image.ndim == 3 else image
        from PIL import Image, ImageOps

        if not isinstance(image, Image.Image):
            raise UsageError(f"Give tensors or PIL images; got {type(image).__name__}.")
        image = ImageOps.exif_transpose(image)
        if not image.mode.startswith("I;16"):
            image = image.convert("L" if self.settings.channels == 1 else "RGB")
        pixels = np.array(image)
        return torch.from_numpy(pixels[None, None] if pixels.ndim == 2 else pixels[None]).movedim(
            -1 if pixels.ndim == 3 else 1, 1
        )
