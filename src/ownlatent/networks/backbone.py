"""Backbones by name: timm's, and small ones of our own; a stem that fits small images."""

import difflib
from typing import Any

import timm
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from ownlatent.errors import UsageError
from ownlatent.networks.frozen import freeze_patches
from ownlatent.networks.renorm import NORMS, replace_batch_norm
from ownlatent.networks.resnet import SMALL_RESNETS, SmallResNet
from ownlatent.networks.vgg import shrink_vgg
from ownlatent.networks.vit import SMALL_VITS, small_vit, take_any_size
from ownlatent.networks.wide import WIDE_RESNETS, nearest_wide, wide_resnet
from ownlatent.views import SMALL

STEMS = ("auto", "standard")


def backbone(
    name: str,
    channels: int = 3,
    size: int = 224,
    *,
    drop_path: float = 0.0,
    norm: str = "batch",
    frozen_patches: bool = False,
    stem: str = "auto",
) -> tuple[nn.Module, str]:
    """Build a backbone without its classifier, freshly initialised.

    Args:
        name: a timm model, "small-resnet", "small-vit", or a ResNet widened as in the papers,
            "resnet50x2" (:func:`wide_resnet`; timm's "wide_resnet50_2" is another network).
        channels: of the images.
        size: side of the views in pixels. Up to 64, a ResNet's 7x7 stride-2 stem and max pooling
            become one 3x3 stride-1 convolution, as published CIFAR runs have it; a VGG goes
            without its 4,096-wide layers, as there (:func:`shrink_vgg`); a ViT is built
            for that size with patches that leave an 8x8 grid, and takes views of other sizes too,
            its position embedding interpolated (bicubic).
        drop_path: probability with which the deepest residual branch is left out in training.
        norm: what stands where the network has batch norm (:func:`replace_batch_norm`): "batch",
            "group" (with standardised weights), "layer", "instance" or "none". A ViT, which has
            none, stays as it is.
        frozen_patches: start a ViT as MoCo v3 does (:func:`freeze_patches`).
        stem: "auto", or "standard" for a timm model as it is at any size: a sixteenth of the work
            of the small-image stem, and the network that photographs are given to later.

    Returns:
        the network, ``[B, C, H, W]`` to pooled features ``[B, num_features]``, and a line that
        says what it is.

    Raises:
        UsageError: no such model (with the nearest names), or it cannot take this size,
            ``drop_path``, ``norm``, ``frozen_patches`` or ``stem``.
    """
    if stem not in STEMS:
        raise UsageError(f"stem is {' or '.join(STEMS)}; got {stem!r}.")
    if norm not in NORMS:
        raise UsageError(f"norm is one of {', '.join(NORMS)}; got {norm!r}.")
    if not 0 <= drop_path < 1:
        raise UsageError(f"drop_path is a probability below 1; got {drop_path}.")
    net, entry = _named(name, channels, size, drop_path, fitted=stem == "auto")
    if frozen_patches:
        freeze_patches(net, name)
        entry += ", frozen"
    if norm != "batch" and any(isinstance(module, _BatchNorm) for module in net.modules()):
        replace_batch_norm(net, norm)
        entry += f", {NORMS[norm]}"
        with torch.no_grad():  # instance norm cannot take maps of one pixel
            net.eval()(torch.zeros(1, channels, size, size))
    return net.train(), _describe(name, net, entry)


def _named(name: str, channels: int, size: int, drop_path: float, fitted: bool) -> tuple[Any, str]:
    """The network, and what its stem is; ``fitted`` to small images, if they are small."""
    if not fitted and (name in SMALL_RESNETS or name in SMALL_VITS):
        raise UsageError(f"{name} has one stem, its own; leave --stem out or take a timm model.")
    if name in SMALL_RESNETS:
        if drop_path:
            raise UsageError(
                f"{name} has no drop-path; leave --drop-path out or take a timm model."
            )
        return SmallResNet(channels, **SMALL_RESNETS[name]), "its own stem for small images"
    if name not in SMALL_VITS and name not in WIDE_RESNETS and not timm.is_model(name):
        known = [*SMALL_RESNETS, *SMALL_VITS, *WIDE_RESNETS, *timm.list_models()]
        near = nearest_wide(name) or difflib.get_close_matches(name, known, n=3)
        hint = f"did you mean {' or '.join(near)}?" if near else "see timm.list_models()."
        raise UsageError(f"No backbone is called {name!r}; {hint}")
    options: dict[str, Any] = {"num_classes": 0, "in_chans": channels, "pretrained": False}
    if drop_path:
        options["drop_path_rate"] = drop_path
    stem = "standard stem"
    try:
        if name in SMALL_VITS:
            net: Any = small_vit(name, channels, size, drop_path)
            stem = f"{net.patch_embed.patch_size[0]}-pixel patches for {size}-pixel images"
        elif name.startswith(("vit_", "deit")):
            options["img_size"] = size
            if "relpos" not in name:  # these know the places of one grid only
                options["dynamic_img_size"] = True
            if size <= SMALL and fitted:
                options["patch_size"] = max(1, size // 8)
                stem = f"{options['patch_size']}-pixel patches for {size}-pixel images"
            net = timm.create_model(name, **options)
        else:
            if name in WIDE_RESNETS:
                net = wide_resnet(name, channels, drop_path)
            else:
                net = timm.create_model(name, **options)
            small = size <= SMALL and fitted
            if small and _shrink_stem(net, channels):
                stem = f"3x3 stride-1 stem without max pooling, for {size}-pixel images"
            elif small and shrink_vgg(net):
                stem = f"convolutions and their mean only, for {size}-pixel images"
            if name.startswith("wide_resnet"):
                stem += " (the papers' wide ones are called resnet50x2)"
        take_any_size(net)
        with torch.no_grad():
            features = net.eval()(torch.zeros(1, channels, size, size))
        net.num_features = features.shape[1]  # some report the width before their last layer
    except (RuntimeError, AssertionError, TypeError, ValueError) as error:
        reason = (str(error) or "it fails on them").splitlines()[0]  # an assertion may say nothing
        raise UsageError(
            f"Backbone {name!r} cannot take {channels}-channel images of {size} pixels ({reason}); "
            "choose another backbone or view size."
        ) from error
    return net, stem


def _shrink_stem(net: Any, channels: int) -> bool:
    """Give a ResNet-like network the small-image stem; False if it has none to replace."""
    if not hasattr(net, "maxpool") or not hasattr(net, "conv1"):
        return False
    if isinstance(net.conv1, nn.Conv2d):
        width = net.conv1.out_channels
        net.conv1 = nn.Conv2d(channels, width, 3, stride=1, padding=1, bias=False)
        nn.init.kaiming_normal_(net.conv1.weight, mode="fan_out", nonlinearity="relu")
    else:  # deep stems: three 3x3 convolutions, the first with stride 2
        net.conv1[0].stride = (1, 1)
    net.maxpool = nn.Identity()
    return True


def _describe(name: str, net: Any, stem: str) -> str:
    million = sum(p.numel() for p in net.parameters()) / 1e6
    return f"{name}: {million:.1f} M parameters, {net.num_features} features, {stem}"
