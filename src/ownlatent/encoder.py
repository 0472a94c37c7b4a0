"""The product: a backbone, the preprocessing it was trained for, and where it came from."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ownlatent.checks import damaged, read_json, require_options, require_within, with_tuples
from ownlatent.errors import UsageError
from ownlatent.networks import Middle, backbone
from ownlatent.networks.renorm import NORMS
from ownlatent.views.geometry import resampling

if TYPE_CHECKING:
    from PIL.Image import Image

    Images = Tensor | Image | Sequence[Tensor | Image]

_FORMAT = 1
_BOUNDS = {"channels": (1, 16), "size": (1, 4096), "crop": (0.01, 1), "hidden": (1, 2**14)}


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


class Encoder(nn.Module):
    """Images of any size to features.

    Called with uint8 or uint16 ``[B, C, H, W]``, a PIL image, or a sequence of images that may
    differ in size; it returns float32 ``[B, D]``. The central square is resized by antialiased
    bicubic interpolation, and values are scaled so that 1 is the brightest their type can hold.

    Args:
        net: ``[B, C, S, S]`` to ``[B, D]``: a backbone, or a :class:`Middle` of one.
        name: the backbone's name, for :func:`ownlatent.networks.backbone`.
        preprocessing: what images go through.
        provenance: where it came from, as JSON would hold it.
        options: what else ``backbone`` was given that shapes it: ``norm``, ``frozen_patches``. A
            ``Middle``'s own layer follows the same ``norm``.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        net: Any,
        name: str,
        preprocessing: Preprocessing,
        provenance: dict[str, Any] | None = None,
        options: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.backbone = net
        self.name = name
        self.preprocessing = preprocessing
        self.provenance = provenance or {}
        self.options = options or {}
        self.num_features: int = net.num_features
        for statistic in ("mean", "std"):
            value = torch.tensor(getattr(preprocessing, statistic)).view(-1, 1, 1)
            self.register_buffer(statistic, value, persistent=False)

    def forward(self, images: "Images", sizes: Tensor | None = None) -> Tensor:
        """Features float32 ``[B, D]``.

        Args:
            images: see the class.
            sizes: ``[B, 2]`` true heights and widths, where ``images`` are squeezed canvases.

        Raises:
            UsageError: the type or the number of channels is not one it takes.
        """
        if isinstance(images, Tensor):
            return self._encode(images, sizes)
        batch = [images] if not isinstance(images, Sequence) else images
        return torch.cat([self._encode(self._tensor(image)) for image in batch])

    def _encode(self, pixels: Tensor, sizes: Tensor | None = None) -> Tensor:
        features: Tensor = self.backbone(self.preprocess(pixels, sizes))
        return features.float()

    def preprocess(self, pixels: Tensor, sizes: Tensor | None = None) -> Tensor:
        """What the backbone sees: uint8 or uint16 ``[B, C, H, W]`` to float32 ``[B, C, S, S]``."""
        if pixels.dtype not in (torch.uint8, torch.uint16) or pixels.ndim != 4:
            raise UsageError(
                "Give images as uint8 or uint16 [B, C, H, W] or as PIL images; got "
                f"{str(pixels.dtype).removeprefix('torch.')} {list(pixels.shape)}."
            )
        wanted, size = self.preprocessing.channels, self.preprocessing.size
        channels, height, width = pixels.shape[1:]
        if channels == 1 < wanted:
            pixels = pixels.expand(-1, wanted, -1, -1)
        elif channels != wanted:
            raise UsageError(f"This encoder takes images of {wanted} channels; got {channels}.")
        pixels = pixels.to(self.mean.device)
        brightest = torch.iinfo(pixels.dtype).max
        x = pixels.to(torch.float32) / brightest
        if sizes is not None or (height, width) != (size, size) or self.preprocessing.crop != 1:
            if sizes is None:
                sizes = torch.tensor([[height, width]]).expand(len(pixels), 2)
            true = sizes.to(x.device, torch.float32)
            side = self.preprocessing.crop * true.amin(dim=1, keepdim=True)
            scale = torch.tensor([height, width], device=x.device) / true
            start, extent = (true - side) / 2 * scale, side * scale
            rows = resampling(start[:, 0], extent[:, 0], None, size, height)
            columns = resampling(start[:, 1], extent[:, 1], None, size, width)
            x = (rows[:, None] @ x @ columns[:, None].transpose(-1, -2)).clamp(0, 1)
        return ((x - self.mean) / self.std).contiguous(memory_format=torch.channels_last)

    def _tensor(self, image: "Tensor | Image") -> Tensor:
        if isinstance(image, Tensor):
            return image[None] if image.ndim == 3 else image
        from PIL import Image, ImageOps

        if not isinstance(image, Image.Image):
            raise UsageError(f"Give tensors or PIL images; got {type(image).__name__}.")
        image = ImageOps.exif_transpose(image)
        if not image.mode.startswith("I;16"):
            image = image.convert("L" if self.preprocessing.channels == 1 else "RGB")
        pixels = np.array(image)
        return torch.from_numpy(pixels[None, None] if pixels.ndim == 2 else pixels[None]).movedim(
            -1 if pixels.ndim == 3 else 1, 1
        )


@dataclass
class EncoderFolder:
    """Writes and reads ``encoder/``: one safetensors file per network beside ``config.json``."""

    path: Path
    config: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def write(cls, path: Path, encoders: dict[str, Encoder]) -> None:
        """Replace the folder whole: a reader finds the old one or the new one, never a part."""
        fresh, old = path.with_name(path.name + ".tmp"), path.with_name(path.name + ".old")
        for leftover in (fresh, old):
            shutil.rmtree(leftover, ignore_errors=True)
        fresh.mkdir(parents=True)
        for name, encoder in encoders.items():
            state = {k: v.contiguous() for k, v in encoder.backbone.state_dict().items()}
            save_file(state, fresh / f"{name}.safetensors")
        first = next(iter(encoders.values()))
        config = {
            "format": _FORMAT,
            "backbone": first.name,
            "backbone_options": first.options,
            "num_features": first.num_features,
            "networks": list(encoders),
            "middle": {
                name: encoder.backbone.shape()
                for name, encoder in encoders.items()
                if isinstance(encoder.backbone, Middle)
            },
            "preprocessing": asdict(first.preprocessing),
            "provenance": first.provenance,
        }
        (fresh / "config.json").write_text(json.dumps(config, indent=2) + "\n")
        if path.exists():
            path.rename(old)
        fresh.rename(path)
        shutil.rmtree(old, ignore_errors=True)

    @classmethod
    def find(cls, path: str | Path) -> "EncoderFolder":
        """The folder itself, or the one inside a run.

        Raises:
            UsageError: there is no encoder.
        """
        for folder in (Path(path) / "encoder", Path(path)):
            if (folder / "config.json").is_file() and any(folder.glob("*.safetensors")):
                config = read_json(folder / "config.json")
                if config.get("format") != _FORMAT:
                    raise UsageError(
                        f"{folder} was written by another version of ownlatent; update it."
                    )
                try:
                    _require_settings(config)
                except (KeyError, TypeError, AttributeError, UsageError) as error:
                    raise damaged(folder / "config.json", str(error)) from error
                return cls(folder, config)
        raise UsageError(
            f"There is no encoder in {path}; give a run folder that has finished, or its encoder/."
        )

    def blank(self, seed: int | None = None, network: str | None = None) -> Encoder:
        """The encoder with a fresh random start instead of its weights."""
        preprocessing = _preprocessing(self.config)
        name, provenance = self.config["backbone"], self.config["provenance"]
        options = self.config.get("backbone_options", {})  # older folders have none
        middle = self.config.get("middle", {}).get(network or self.config["networks"][0])
        with torch.random.fork_rng(devices=[]):
            if seed is not None:
                torch.manual_seed(seed)
            size = provenance.get("view_size", preprocessing.size)
            net, _ = backbone(name, preprocessing.channels, size, **options)
            if middle is not None:
                net = Middle.blank(net, **middle, norm=options.get("norm", "batch"))
        return Encoder(net, name, preprocessing, provenance, options)

    def load(self, network: str | None = None) -> Encoder:
        """The encoder with its weights, in eval mode; ``network`` is "online" by default."""
        network = network or self.config["networks"][0]
        if network not in self.config["networks"]:
            known = ", ".join(self.config["networks"])
            raise UsageError(f"There is no {network!r} network in {self.path}; it has {known}.")
        encoder = self.blank(network=network)
        file = self.path / f"{network}.safetensors"
        try:
            encoder.backbone.load_state_dict(load_file(file))
        except Exception as error:  # damage is met with errors of many types
            raise UsageError(f"{file} is damaged or not this backbone's; restore it.") from error
        return encoder.eval()


def _preprocessing(config: dict[str, Any]) -> Preprocessing:
    return Preprocessing(**with_tuples(config["preprocessing"]))


def _require_settings(config: dict[str, Any]) -> None:
    """Raises KeyError, TypeError or UsageError where ``config.json`` cannot be an encoder's."""
    preprocessing = _preprocessing(config)
    require_options(preprocessing, _BOUNDS)
    if {len(preprocessing.mean), len(preprocessing.std)} != {preprocessing.channels}:
        raise TypeError("mean and std must have a number for each channel")
    networks, size = config["networks"], config["provenance"].get("view_size", 8)
    if not isinstance(config["backbone"], str) or type(size) is not int:
        raise TypeError("backbone or view_size is of the wrong type")
    require_within("view_size", size, *_BOUNDS["size"])
    if not networks or not all(isinstance(name, str) and name.isidentifier() for name in networks):
        raise TypeError(f"networks cannot be {networks!r}")
    options = config.get("backbone_options", {})
    _require_kinds("backbone_options", options, norm=str, frozen_patches=bool)
    if options.get("norm", "batch") not in NORMS:
        raise TypeError(f"norm cannot be {options['norm']!r}")
    for name, shape in config.get("middle", {}).items():
        _require_kinds("middle", shape, hidden=int, bias=bool)
        if name not in networks:
            raise TypeError(f"middle is of {name!r}, which is no network")
        if len(shape) != 2:
            raise TypeError(f"middle cannot be {shape!r}")
        require_within("hidden", shape["hidden"], *_BOUNDS["hidden"])


def _require_kinds(name: str, value: Any, **kinds: type) -> None:
    """Raises TypeError where an object of JSON has keys of other names or types."""
    if not isinstance(value, dict) or any(type(v) is not kinds.get(k) for k, v in value.items()):
        raise TypeError(f"{name} cannot be {value!r}")


def load_encoder(path: str | Path, *, network: str | None = None) -> Encoder:
    """Load an encoder in eval mode, on the CPU.

    Loading never executes code: weights are safetensors, settings JSON.

    Args:
        path: a run folder or its ``encoder/``.
        network: "online" (the default, what BYOL evaluates) or "target".

    Raises:
        UsageError: there is none, or it is damaged.
    """
    return EncoderFolder.find(path).load(network)
