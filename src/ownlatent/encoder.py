"""The product: a backbone, the preprocessing it was trained for, and where it came from."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ownlatent.checks import damaged, read_json, require_within
from ownlatent.errors import UsageError
from ownlatent.kinds import KINDS
from ownlatent.networks import Middle
from ownlatent.networks.backbone import STEMS
from ownlatent.networks.renorm import NORMS

_FORMAT = 1
_BOUNDS = {"images": (1, 4096), "hidden": (1, 2**14)}


class Encoder(nn.Module):
    """Samples of one kind to features float32 ``[B, D]``.

    Images: called with uint8 or uint16 ``[B, C, H, W]``, a PIL image, or a sequence of images that
    may differ in size. The central square is resized by antialiased bicubic interpolation, and
    values are scaled so that 1 is the brightest their type can hold.

    Vectors: called with an array of rows ``[B, C]``, a ``DataFrame``, or a file of them.

    Sounds: called with clips ``[B, T]`` at the stored rate (int16, or float in [-1, 1)), a sequence
    of arrays ``[T]`` or ``.wav`` files, a folder of these, or log-mels ``[B, 1, F, T]``.

    Text: called with a list of sentences, a file of them, or with tokens int64 ``[B, L]``.

    Args:
        net: from what preprocessing gives to ``[B, D]``: a backbone, or a :class:`Middle` of one.
        name: the backbone's name, for :func:`ownlatent.networks.backbone`.
        preprocessing: what samples go through; its ``kind`` says which they are.
        provenance: where it came from, as JSON would hold it.
        options: what else ``backbone`` was given that shapes it: ``norm``, ``frozen_patches``,
            ``stem``. A ``Middle``'s own layer follows the same ``norm``.
    """

    def __init__(
        self,
        net: Any,
        name: str,
        preprocessing: Any,
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
        self.preprocess: Any = KINDS[preprocessing.kind].preprocess(preprocessing)

    def forward(self, samples: Any, sizes: Tensor | None = None) -> Tensor:
        """Features float32 ``[B, D]``.

        Args:
            samples: see the class.
            sizes: ``[B, 2]`` true heights and widths, where images are squeezed canvases.

        Raises:
            UsageError: the type or the number of channels is not one it takes.
        """
        if isinstance(samples, Tensor):
            return self._encode(samples, sizes)
        return torch.cat([self._encode(part) for part in self.preprocess.tensors(samples)])

    def _encode(self, content: Tensor, sizes: Tensor | None = None) -> Tensor:
        features: Tensor = self.backbone(self.preprocess(content, sizes))
        return features.float()


@dataclass
class EncoderFolder:
    """Writes and reads ``encoder/``: one safetensors file per network beside ``config.json``."""

    path: Path
    config: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def write(
        cls,
        path: Path,
        encoders: dict[str, Encoder],
        weights: Mapping[str, Mapping[str, Tensor]] | None = None,
    ) -> None:
        """Replace the folder whole: a reader finds the old one or the new one, never a part.

        Args:
            weights: of the encoders' backbones, where these hold parts of them.
        """
        fresh, old = path.with_name(path.name + ".tmp"), path.with_name(path.name + ".old")
        for leftover in (fresh, old):
            shutil.rmtree(leftover, ignore_errors=True)
        fresh.mkdir(parents=True)
        for name, encoder in encoders.items():
            held = encoder.backbone.state_dict() if weights is None else weights[name]
            state = {k: v.contiguous() for k, v in held.items()}
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
                except (KeyError, TypeError, ValueError, AttributeError, UsageError) as error:
                    raise damaged(folder / "config.json", str(error)) from error
                return cls(folder, config)
        raise UsageError(
            f"There is no encoder in {path}; give a run folder that has finished, or its encoder/."
        )

    @property
    def run(self) -> Path | None:
        """The run that it lies in; None where it stands alone."""
        return self.path.parent if self.path.name == "encoder" else None

    def title(self, network: str | None = None) -> str:
        """What it is called in a table: method and network."""
        from ownlatent.methods.registry import title

        method = title(str(self.config["provenance"].get("method", "encoder")))
        return f"{method} ({network or self.config['networks'][0]})"

    def blank(self, seed: int | None = None, network: str | None = None) -> Encoder:
        """The encoder with a fresh random start instead of its weights."""
        preprocessing = _preprocessing(self.config)
        name, provenance = self.config["backbone"], self.config["provenance"]
        options = self.config.get("backbone_options", {})  # older folders have none
        middle = self.config.get("middle", {}).get(network or self.config["networks"][0])
        with torch.random.fork_rng(devices=[]):
            if seed is not None:
                torch.manual_seed(seed)
            size = provenance.get("view_size", getattr(preprocessing, "size", 8))
            net, _ = KINDS[preprocessing.kind].network(name, preprocessing, size, **options)
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


def _preprocessing(config: dict[str, Any]) -> Any:
    stored = config["preprocessing"]
    return KINDS[stored.get("kind", "images")].restored(stored)  # older folders do not say


def _require_settings(config: dict[str, Any]) -> None:
    """Raises KeyError, TypeError or UsageError where ``config.json`` cannot be an encoder's."""
    _preprocessing(config)
    networks, size = config["networks"], config["provenance"].get("view_size", 8)
    if not isinstance(config["backbone"], str) or type(size) is not int:
        raise TypeError("backbone or view_size is of the wrong type")
    kind = config["preprocessing"].get("kind", "images")
    require_within("view_size", size, *_BOUNDS.get(kind, (1, 2**20)))
    if not networks or not all(isinstance(name, str) and name.isidentifier() for name in networks):
        raise TypeError(f"networks cannot be {networks!r}")
    options = config.get("backbone_options", {})
    _require_kinds("backbone_options", options, norm=str, frozen_patches=bool, stem=str)
    if options.get("norm", "batch") not in NORMS:
        raise TypeError(f"norm cannot be {options['norm']!r}")
    if options.get("stem", "auto") not in STEMS:
        raise TypeError(f"stem cannot be {options['stem']!r}")
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

    Returns:
        a module from samples to float32 ``[B, D]``; ``num_features`` is D.

    Raises:
        UsageError: there is none, it has no such network, or it is damaged.
    """
    return EncoderFolder.find(path).load(network)
