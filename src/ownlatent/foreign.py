"""Encoders that were trained elsewhere, measured and used like our own."""

import json
import logging
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import timm
import torch
from timm.data.config import resolve_data_config
from torch import Tensor

from ownlatent.encoder import Encoder, EncoderFolder
from ownlatent.errors import UsageError
from ownlatent.networks import backbone
from ownlatent.networks.haiku import same_padding
from ownlatent.networks.initial import HAIKU, read_weights
from ownlatent.networks.translate import match, needed, padded_by_two
from ownlatent.preprocessing import Preprocessing

_log = logging.getLogger(__name__)
_IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class ForeignEncoder:
    """A network by timm's name, in a folder of Hugging Face's, or in a state dict.

    Attributes:
        name: timm's: of a model, of a folder ("local-dir:PATH"), or of the backbone of ``weights``.
        weights: a state dict; None: timm finds them.
    """

    name: str
    weights: Path | None = None
    run: ClassVar[None] = None  # it lies in none

    def title(self, network: str | None = None) -> str:
        """What it is called in a table."""
        if self.weights is not None:
            return f"{self.name} ({self.weights.name})"
        source, _, place = self.name.rpartition(":")
        return f"{Path(place).name} (Hugging Face)" if source else f"{self.name} (timm)"

    def load(self, network: str | None = None) -> Encoder:
        """The encoder with its weights, in eval mode.

        Raises:
            UsageError: there are none within reach, they do not fit, or a ``network`` is asked for.
        """
        if network is not None:
            raise UsageError(f"{self.name} has one network: leave out --network.")
        if self.weights is not None:
            encoder = self.blank()
            matched = match(encoder.backbone, self._state)
            lacking = needed(matched.missing)
            if lacking:
                raise UsageError(
                    f"{self.weights} fits {len(matched.tensors)} of the {matched.total} tensors of "
                    f"{self.name}, and not {lacking[0]}; name the backbone that it was saved from."
                )
            encoder.backbone.load_state_dict(matched.tensors, strict=False)
            encoder.provenance["weights"] = matched.line(self.weights.name)
            _log.info(encoder.provenance["weights"])
            return encoder.eval()
        try:
            net = timm.create_model(self.name, pretrained=True, num_classes=0)
        except Exception as error:  # networks, caches and files fail with many types
            raise UsageError(
                f"The weights of {self.name} are not on this machine and could not be fetched "
                f"({type(error).__name__}); connect it once, or give a state dict and --backbone."
            ) from error
        return self._encoder(net).eval()

    def blank(self, seed: int | None = None, network: str | None = None) -> Encoder:
        """The same network from a random start."""
        with torch.random.fork_rng(devices=[]):
            if seed is not None:
                torch.manual_seed(seed)
            if self.weights is not None:
                net: Any = backbone(self.name, 3, self._size)[0]
                if self.weights.suffix == HAIKU:
                    same_padding(net)
                if padded_by_two(net, self._state):
                    net.conv1.padding = (2, 2)
            else:
                net = timm.create_model(self.name, pretrained=False, num_classes=0)
        return self._encoder(net)

    @cached_property
    def _state(self) -> dict[str, Tensor]:
        assert self.weights is not None
        return read_weights(self.weights)

    @cached_property
    def _size(self) -> int:
        """224 pixels, or 32 where the file has the stem for small images."""
        small, _ = backbone(self.name, 3, 32)
        stem = match(small, self._state).missing if hasattr(small, "conv1") else ["conv1"]
        usual, _ = backbone(self.name, 3, 224)
        return 32 if not needed(stem) and needed(match(usual, self._state).missing) else 224

    def _encoder(self, net: Any) -> Encoder:
        stored = getattr(net, "pretrained_cfg", {}) if self.weights is None else {}
        found = resolve_data_config(pretrained_cfg=stored) if stored else {}  # type: ignore[no-untyped-call]
        side = self._size if self.weights is not None else 224
        channels, *_, size = found.get("input_size", (3, side, side))
        settings = Preprocessing(
            channels=channels,
            size=size,
            crop=float(found.get("crop_pct", 1.0 if side == 32 else 224 / 256)),
            mean=tuple(found.get("mean", _IMAGENET[0])),
            std=tuple(found.get("std", _IMAGENET[1])),
        )
        if self.weights is None:  # timm's own: some report the width before their last layer
            with torch.no_grad():
                net.num_features = net.eval()(torch.zeros(1, channels, size, size)).shape[1]
        return Encoder(net, self.name, settings, {"method": self.name, "view_size": size})


def find_encoder(source: str | Path, name: str | None = None) -> EncoderFolder | ForeignEncoder:
    """An encoder wherever it comes from.

    Args:
        source: a run or its ``encoder/``; a state dict of timm, torchvision, lightly or solo-learn
            (``.pth``, ``.ckpt``, ``.safetensors``) or a checkpoint of DeepMind's BYOL (``.pkl``),
            with ``name``; a folder as Hugging Face's hub has of timm's models
            (``config.json`` with the architecture beside the weights); or a model that timm knows,
            such as "resnet18.a1_in1k".
        name: the backbone that a state dict is of.

    Raises:
        UsageError: it is none of these.
    """
    path = Path(source)
    if path.is_file():
        if name is None:
            raise UsageError(
                f"{path} does not say which network it is of; name it with --backbone resnet50."
            )
        backbone(name, 3, 224)  # so that a misspelt name is met here
        return ForeignEncoder(name, path)
    if name is not None:
        raise UsageError("A backbone is named for a file of weights only: leave --backbone out.")
    if path.is_dir():
        config = path / "config.json"
        held = _read(config)
        if "architecture" in held:
            return ForeignEncoder(f"local-dir:{path}")
        if "model_type" in held:
            raise UsageError(
                f"{path} holds a model of transformers, and not of timm; take timm's of the same "
                "name, or its state dict with --backbone."
            )
        return EncoderFolder.find(path)
    text = str(source)
    if timm.is_model(text.partition(".")[0]) and "/" not in text:
        return ForeignEncoder(text)
    raise UsageError(
        f"There is no encoder in {path}; give a run folder that has finished, a state dict, a "
        "folder of Hugging Face's, or a model as timm calls it."
    )


def _read(config: Path) -> dict[str, Any]:
    try:
        held = json.loads(config.read_text())
    except (OSError, ValueError):
        return {}
    return held if isinstance(held, dict) else {}
