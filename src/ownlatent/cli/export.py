"""The command that writes an encoder for other libraries."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tyro.conf import Positional


@dataclass(frozen=True, kw_only=True)
class Export:
    """Write an encoder as timm, torchvision, ONNX or Hugging Face have theirs.

    What is written is loaded by that library, and kept if its features are the encoder's.
    """

    run: Positional[str]
    """Run folder, or another encoder, as of evaluate."""
    to: Literal["timm", "torchvision", "onnx", "huggingface"]
    """Format. All but onnx have networks with a standard stem only."""
    out: Path
    """What to write: .safetensors for timm, .pth or .safetensors for torchvision, .onnx, or a
    folder for huggingface."""
    network: Literal["online", "target", "middle"] | None = None
    """Which network. [the one the method is evaluated by]"""
    backbone: str | None = None
    """Network that a state dict is of, such as resnet50."""
    preprocessing: bool = False
    """Of onnx: the graph takes uint8 images of any size. [float, normalised, of the encoder's]"""
    license: str | None = None
    """Of huggingface: the weights', such as apache-2.0 or other."""

    def __call__(self) -> None:
        from ownlatent.exporting import export

        done = export(**vars(self))
        print(f"{done.path}: features within {done.gap:.1g} of the encoder's\n\n{done.use}")
