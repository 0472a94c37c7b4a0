"""A state dict under torchvision's names."""

import re
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torchvision
from safetensors.torch import load_file, save_file
from timm.layers.pos_embed import resample_abs_pos_embed
from torch import Tensor, nn

from ownlatent.errors import UsageError
from ownlatent.exporting.agreement import features, gap, random_inputs
from ownlatent.exporting.to_timm import contiguous
from ownlatent.exporting.wanted import Wanted, as_timm, others

_VITS = {
    "vit_base_patch16_224": "vit_b_16",
    "vit_base_patch32_224": "vit_b_32",
    "vit_large_patch16_224": "vit_l_16",
    "vit_large_patch32_224": "vit_l_32",
    "vit_huge_patch14_224": "vit_h_14",
}
_LAYER = {
    "norm1": "ln_1",
    "attn.qkv.weight": "self_attention.in_proj_weight",
    "attn.qkv.bias": "self_attention.in_proj_bias",
    "attn.proj": "self_attention.out_proj",
    "norm2": "ln_2",
    "mlp.fc1": "mlp.0",
    "mlp.fc2": "mlp.3",
}
_LINEAR = {"pre_logits.fc1.": "classifier.0.", "pre_logits.fc2.": "classifier.3."}
_SAME = re.compile(
    r"resnet(18|34|50|101|152)|wide_resnet(50|101)_2|resnext50_32x4d|resnext101_(32x8|64x4)d"
)
_VGG = re.compile(r"vgg(11|13|16|19)(_bn)?")


class _Theirs(NamedTuple):
    """Attributes:
    name: torchvision's.
    args: what it is built with.
    head: its classifier, as Python reaches it.
    """

    name: str
    args: dict[str, Any]
    head: str


def write(wanted: Wanted, fresh: Path) -> tuple[float, str]:
    """Write ``fresh``; what :class:`Exported` says of it."""
    encoder = wanted.encoder
    theirs = _find(encoder)
    state = contiguous(encoder.backbone)
    if theirs.name.startswith("vgg"):
        state = _vgg(state)
    elif theirs.name.startswith("vit"):
        state = _vit(encoder.backbone, state, encoder.preprocessing.size)
    if fresh.suffix.lower() == ".pth":
        torch.save(state, fresh)
        read = "torch.load({!r}, weights_only=True)"
    else:
        save_file(state, fresh, {"format": "pt"})
        read = "load_file({!r})"
    net = _loaded(theirs, fresh)
    inputs = random_inputs(encoder, 3)
    try:
        distance = gap(features(encoder.backbone, inputs), features(net, inputs))
    except (RuntimeError, AssertionError):  # another size than it is made for
        distance = float("inf")
    return distance, _use(wanted, theirs, read.format(str(wanted.out)))


def _find(encoder: Any) -> _Theirs:
    name = as_timm(encoder, "torchvision").name.partition(".")[0]
    settings = encoder.preprocessing
    if settings.channels != 3:
        raise UsageError(
            f"torchvision's networks take 3 channels, and this one {settings.channels}; take "
            f"--to {others(encoder, than='torchvision')}."
        )
    if _SAME.fullmatch(name):
        return _Theirs(name, {}, "fc")
    if _VGG.fullmatch(name):
        return _Theirs(name, {}, "classifier[6]")
    patch = getattr(getattr(encoder.backbone, "patch_embed", None), "patch_size", (0,))[0]
    if name in _VITS and f"patch{patch}_" in name and settings.size % patch == 0:
        return _Theirs(_VITS[name], {"image_size": settings.size}, "heads")
    raise UsageError(
        f"torchvision has no {encoder.name}, patches and size included, that has been mapped; take "
        f"--to {others(encoder, than='torchvision')}."
    )


def _loaded(theirs: _Theirs, file: Path) -> Any:
    """torchvision's network with the file's weights, which must be all but the classifier's."""
    with torch.device("meta"):
        net: Any = torchvision.models.get_model(theirs.name, weights=None, **theirs.args)
    if theirs.head == "classifier[6]":
        net.classifier[6] = nn.Identity()
    else:
        setattr(net, theirs.head, nn.Identity())
    pickled = file.suffix.lower() == ".pth"
    net.load_state_dict(torch.load(file, weights_only=True) if pickled else load_file(file),
                        assign=True)  # fmt: skip
    return net


def _vgg(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The converse of :func:`ownlatent.networks.vgg.timm_names`: convolutions 7x7 and 1x1 as
    linear layers."""
    renamed = {}
    for key, value in state.items():
        for old, new in (
            ("pre_logits.fc1.", "classifier.0."),
            ("pre_logits.fc2.", "classifier.3."),
        ):
            if key.startswith(old):
                key = new + key.removeprefix(old)
                value = value.flatten(1) if value.ndim == 4 else value
        renamed[key] = value
    return renamed


def _vit(net: Any, state: dict[str, Tensor], size: int) -> dict[str, Tensor]:
    """``blocks.3.attn.qkv.weight`` becomes ``encoder.layers.encoder_layer_3.self_attention.
    in_proj_weight``, and so on; positions are those of ``size`` pixels, as timm interpolates
    them."""
    whole = {
        "cls_token": "class_token",
        "pos_embed": "encoder.pos_embedding",
        "patch_embed.proj.weight": "conv_proj.weight",
        "patch_embed.proj.bias": "conv_proj.bias",
        "norm.weight": "encoder.ln.weight",
        "norm.bias": "encoder.ln.bias",
    }
    side = size // net.patch_embed.patch_size[0]
    renamed = {}
    for key, value in state.items():
        if key == "pos_embed":
            value = resample_abs_pos_embed(
                value,
                [side, side],
                net.patch_embed.grid_size,
                num_prefix_tokens=net.num_prefix_tokens,
            ).contiguous()
        if key in whole:
            renamed[whole[key]] = value
            continue
        _, number, part = key.split(".", 2)
        for old, new in _LAYER.items():
            if part.startswith(old):
                part = new + part.removeprefix(old)
                break
        renamed[f"encoder.layers.encoder_layer_{number}.{part}"] = value
    return renamed


def _use(wanted: Wanted, theirs: _Theirs, read: str) -> str:
    settings = wanted.encoder.preprocessing
    args = "".join(f"{name}={value!r}" for name, value in theirs.args.items())
    imported = "" if read.startswith("torch.") else "\nfrom safetensors.torch import load_file"
    return f"""\
import torch, torchvision{imported}
from torchvision.transforms import v2

net = torchvision.models.{theirs.name}({args})
net.{theirs.head} = torch.nn.Identity()  # features; the file has no classifier
net.load_state_dict({read})
net.eval()
transform = v2.Compose([
    v2.ToImage(),
    v2.Resize({round(settings.size / settings.crop)}, v2.InterpolationMode.BICUBIC, antialias=True),
    v2.CenterCrop({settings.size}),
    v2.ToDtype(torch.float32, scale=True),
    v2.Normalize({list(settings.mean)}, {list(settings.std)}),
])"""
