"""Vision transformers for views of several sizes, and a small one for small machines."""

from typing import Any

from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

SMALL_VITS: dict[str, dict[str, Any]] = {
    "small-vit": {"embed_dim": 128, "depth": 4, "num_heads": 4},
}


def small_vit(name: str, channels: int, size: int, drop_path: float = 0.0) -> VisionTransformer:
    """One of ``SMALL_VITS``: patches that leave an 8x8 grid, the CLS token's output as features."""
    return VisionTransformer(
        img_size=size,
        patch_size=max(1, size // 8),
        in_chans=channels,
        num_classes=0,
        drop_path_rate=drop_path,
        dynamic_img_size=True,
        **SMALL_VITS[name],
    )


def take_any_size(net: Any) -> None:
    """Let a net built with ``dynamic_img_size`` drop what is left over beside whole patches.

    Its patch projection, a convolution with stride, would drop it anyway; timm asks for a multiple.
    """
    if getattr(net, "dynamic_img_size", False):
        net.patch_embed.register_forward_pre_hook(_whole_patches)


def _whole_patches(embed: Any, inputs: tuple[Tensor, ...]) -> tuple[Tensor]:
    (x,) = inputs
    height, width = (
        side - side % patch for side, patch in zip(x.shape[2:], embed.patch_size, strict=True)
    )
    return (x[:, :, :height, :width],)


def has_cls(net: nn.Module) -> bool:
    """Whether it is a timm VisionTransformer with a CLS token."""
    return isinstance(net, VisionTransformer) and net.cls_token is not None
