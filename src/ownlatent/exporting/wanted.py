"""What is exported, and which formats have it."""

from pathlib import Path
from typing import Any, NamedTuple

import timm
from torch import nn

from ownlatent.encoder import Encoder, EncoderFolder
from ownlatent.errors import UsageError
from ownlatent.exporting.agreement import REACHED, features, gap, random_inputs
from ownlatent.foreign import ForeignEncoder
from ownlatent.networks import Middle
from ownlatent.networks.renorm import NORMS


class Wanted(NamedTuple):
    """An encoder, on its way out."""

    encoder: Encoder
    source: EncoderFolder | ForeignEncoder
    network: str | None
    out: Path
    preprocessing: bool
    license: str | None


class Built(NamedTuple):
    """A network that timm builds by its name.

    Attributes:
        name: of the architecture.
        args: what ``timm.create_model`` is given besides.
    """

    name: str
    args: dict[str, Any]

    def blank(self, **more: Any) -> Any:
        """A fresh one without a classifier."""
        return timm.create_model(self.name, num_classes=0, **self.args, **more)


def as_timm(encoder: Encoder, to: str) -> Built:
    """How timm builds the encoder's network, once it is seen that it does.

    Raises:
        UsageError: it builds another one, or none, of that name: what ``to`` would have to hold.
    """
    why = _not_built(encoder)
    if why is not None:
        raise UsageError(f"{to} cannot hold this encoder: {why}; take --to onnx.")
    return _recipe(encoder)


def others(encoder: Encoder, *, than: str) -> str:
    """The formats beside one that have this network, in words."""
    known = ["onnx"] if _not_built(encoder) else ["timm", "huggingface", "onnx"]
    return " or ".join(name for name in known if name != than)


def _not_built(encoder: Encoder) -> str | None:
    """Why timm's network of the same name is not the encoder's; None where it is."""
    settings, net = encoder.preprocessing, encoder.backbone
    if settings.kind != "images":
        return f"it takes {settings.kind}, and not images"
    if isinstance(net, Middle):
        return "the middle network ends in a layer of the head (--network online has none)"
    name, args = _recipe(encoder)
    if not timm.is_model(name.partition(".")[0]):
        return f"{name} is a network of ownlatent's own"
    stem = "its stem is fitted to small images (--stem standard pretrains one that is not)"
    try:
        theirs = Built(name, args).blank()
    except Exception as error:  # constructors fail with many types
        return f"timm does not build it ({error or type(error).__name__})".replace("\n", " ")
    own, other = net.state_dict(), theirs.state_dict()
    if {k: v.shape for k, v in own.items()} != {k: v.shape for k, v in other.items()}:
        norm = encoder.options.get("norm", "batch")
        return stem if norm == "batch" else f"it has {NORMS[norm]} in place of batch norm"
    theirs.load_state_dict(own)
    inputs = random_inputs(encoder, 2)
    try:
        reached = gap(features(net, inputs), features(theirs, inputs)) < REACHED
    except (RuntimeError, AssertionError) as error:
        return f"timm's does not take its {settings.size} pixels ({str(error).splitlines()[0]})"
    return None if reached else stem


def _recipe(encoder: Encoder) -> Built:
    net: nn.Module = encoder.backbone
    name = encoder.name
    if ":" in name:  # a folder of Hugging Face's says which it holds
        held: Any = net
        return Built(str(held.pretrained_cfg["architecture"]), dict(held._model_args))
    args: dict[str, Any] = {}
    if encoder.preprocessing.channels != 3:
        args["in_chans"] = encoder.preprocessing.channels
    embed: Any = getattr(net, "patch_embed", None)
    if name.startswith(("vit_", "deit")) and embed is not None:
        args["img_size"], args["patch_size"] = embed.img_size[0], embed.patch_size[0]
        if hasattr(net, "dynamic_img_size"):
            args["dynamic_img_size"] = net.dynamic_img_size
    return Built(name, args)
