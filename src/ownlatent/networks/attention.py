"""Where a vision transformer's CLS token looks."""

from typing import Any

import torch
from timm.models.vision_transformer import Attention  # type: ignore[attr-defined]
from torch import Tensor, nn

from ownlatent.errors import UsageError
from ownlatent.networks.vit import has_cls


@torch.no_grad()
def attention(net: Any, images: Tensor) -> Tensor:
    """The last block's attention from the CLS token to the patches (DINO, figure 1).

    ``softmax(q k' / sqrt(d))`` over all tokens, CLS itself included, so that the patches of a head
    sum to less than 1. Computed from the block's own queries and keys, since fused attention never
    holds it.

    Args:
        net: a timm VisionTransformer with a CLS token, in eval mode.
        images: ``[B, C, H, W]``, as ``net`` takes them.

    Returns:
        float32 ``[B, heads, rows, columns]``.

    Raises:
        UsageError: ``net`` has no such attention.
    """
    layer: Any = getattr(net.blocks[-1], "attn", None) if has_cls(net) else None
    if not isinstance(layer, Attention):
        raise UsageError(
            f"A {type(net).__name__} has no attention of a CLS token to show; take a ViT with one, "
            "such as small-vit or vit_small_patch16_224."
        )
    seen: list[Tensor] = []

    def look(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        seen.append(inputs[0])

    hook = layer.register_forward_pre_hook(look)
    try:
        net.forward_features(images)
    finally:
        hook.remove()
    qkv: Tensor = layer.qkv(seen[0]).unflatten(2, (3, layer.num_heads, -1))
    query, key, _ = qkv.permute(2, 0, 3, 1, 4)
    query, key = layer.q_norm(query[:, :, :1]).float(), layer.k_norm(key).float()
    weights = (query * layer.scale @ key.mT).softmax(dim=-1)[:, :, 0, net.num_prefix_tokens :]
    grid = [
        side // patch
        for side, patch in zip(images.shape[2:], net.patch_embed.patch_size, strict=True)
    ]
    patches: Tensor = weights.unflatten(2, grid)
    return patches


def mask(attention: Tensor, keep: float = 0.6) -> Tensor:
    """The fewest patches of each head that hold ``keep`` of its mass (DINO, figure 4).

    Args:
        attention: ``[B, heads, rows, columns]``, as :func:`attention` gives it.
        keep: share of what the head's patches hold together.

    Returns:
        bool, of the same shape.

    Raises:
        UsageError: ``keep`` is no share.
    """
    if not 0 < keep <= 1:
        raise UsageError(f"keep is a share of the attention, above 0 and up to 1; got {keep}.")
    mass, order = attention.double().flatten(2).sort(dim=2, descending=True)
    before = mass.cumsum(2) - mass  # held by the larger ones
    wanted = before < keep * mass.sum(2, keepdim=True)
    return torch.zeros_like(wanted).scatter(2, order, wanted).view_as(attention)
