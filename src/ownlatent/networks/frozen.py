"""MoCo v3's vision transformer: positions that are given and patches that are never trained."""

from typing import Any

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from ownlatent.errors import UsageError


def freeze_patches(net: Any, name: str) -> None:
    """Start a vision transformer, in place, as MoCo v3 does (Chen, Xie & He, 2021, section 4).

    Position embedding: fixed, sine and cosine of the place in two dimensions, 0 for the CLS token.
    Patch projection: Xavier-uniform as the linear layer it is, bias 0, frozen: its gradients are
    where the paper saw training become unstable. Every other linear layer: Xavier-uniform, bias 0,
    with query, key and value each a layer of its own. CLS token: normal, deviation 1e-6.

    Raises:
        UsageError: ``net`` is no vision transformer with patches and a learned position embedding.
    """
    fits = isinstance(net, VisionTransformer) and net.pos_embed is not None
    if not fits or not isinstance(getattr(net.patch_embed, "proj", None), nn.Conv2d):
        raise UsageError(
            f"{name} has no patches to freeze: leave frozen patches out or take a ViT, "
            "such as small-vit or vit_small_patch16_224."
        )
    if net.embed_dim % 4:
        raise UsageError(
            f"Frozen patches need a width that 4 divides; {name} has {net.embed_dim}: take another."
        )
    for key, layer in net.named_modules():
        if isinstance(layer, nn.Linear):
            apart = 3 if key.endswith("qkv") else 1
            _xavier_uniform(layer, layer.in_features, layer.out_features // apart)
    patches = net.patch_embed.proj
    _xavier_uniform(patches, patches.weight[0].numel(), patches.out_channels)
    patches.requires_grad_(False)
    if net.cls_token is not None:
        nn.init.normal_(net.cls_token, std=1e-6)
    rows, columns = net.patch_embed.grid_size
    places = sincos(rows, columns, net.embed_dim)
    with torch.no_grad():
        net.pos_embed.zero_()
        net.pos_embed[0, net.pos_embed.shape[1] - len(places) :] = places
    net.pos_embed.requires_grad_(False)


def sincos(rows: int, columns: int, width: int) -> Tensor:
    """Where each patch is, row by row: ``[rows * columns, width]``.

    With ``w_i = 10000^(-i / (width/4))``, a quarter each: sin(row w), cos(row w), sin(column w),
    cos(column w).
    """
    quarter = width // 4
    rates = 10000.0 ** -(torch.arange(quarter) / quarter)
    row = torch.arange(rows).repeat_interleave(columns)[:, None] * rates
    column = torch.arange(columns).repeat(rows)[:, None] * rates
    return torch.cat([row.sin(), row.cos(), column.sin(), column.cos()], dim=1)


def _xavier_uniform(layer: Any, inputs: int, outputs: int) -> None:
    bound = (6 / (inputs + outputs)) ** 0.5
    nn.init.uniform_(layer.weight, -bound, bound)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
