"""A vision transformer that sees some of its patches, and the decoder that fills in the others."""

import hashlib
from functools import partial
from typing import Any

import torch
from timm.models.vision_transformer import Block, VisionTransformer
from torch import Tensor, nn

from ownlatent.errors import UsageError
from ownlatent.memory import to_device
from ownlatent.networks.frozen import sincos
from ownlatent.networks.world import own, world_size

_norm: Any = partial(nn.LayerNorm, eps=1e-6)


def require_patches(net: Any) -> None:
    """Raises UsageError where ``net`` is no ViT whose patches can be left out one by one."""
    fits = isinstance(net, VisionTransformer) and net.pos_embed is not None
    proj = getattr(getattr(net, "patch_embed", None), "proj", None)
    if not fits or net.attn_pool is not None or not isinstance(proj, nn.Conv2d):
        raise UsageError(
            f"Masking needs the patches of a ViT, which a {type(net).__name__} does not have: take "
            "a backbone such as small-vit or vit_base_patch16_224."
        )


def fix_positions(net: Any) -> None:
    """Sine and cosine of the place as the position embedding, 0 for the CLS token; not trained."""
    if net.embed_dim % 4:
        raise UsageError(f"Sine and cosine need a width that 4 divides, not {net.embed_dim}.")
    rows, columns = net.patch_embed.grid_size
    places = sincos(rows, columns, net.embed_dim)
    with torch.no_grad():
        net.pos_embed.zero_()
        net.pos_embed[0, net.pos_embed.shape[1] - len(places) :] = places
    net.pos_embed.requires_grad_(False)


@torch.compiler.disable  # type: ignore[untyped-decorator]
def random_order(count: int, length: int, key: tuple[int, ...], device: torch.device) -> Tensor:
    """A random order of ``length`` patches for each of ``count`` images of this process.

    Drawn for the images of all processes, of which each takes its own: one process is two. Every
    number of ``key`` counts: they are hashed, for torch's generator takes 32 bits of a seed.
    """
    hashed = hashlib.blake2b(repr(key).encode(), digest_size=4).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(hashed, "big"))
    noise = torch.rand(count * world_size(), length, generator=generator, device="cpu")
    return to_device(own(noise).argsort(1), device)


def patchify(images: Tensor, size: tuple[int, int]) -> Tensor:
    """``[B, C, H, W]`` to the pixels of each whole patch, ``[B, L, h * w * C]``, row by row."""
    height, width = size
    rows, columns = images.shape[2] // height, images.shape[3] // width
    whole = images[:, :, : rows * height, : columns * width]
    cut = whole.reshape(*images.shape[:2], rows, height, columns, width)
    return cut.permute(0, 2, 4, 3, 5, 1).flatten(3).flatten(1, 2)


def encode(net: Any, images: Tensor, visible: Tensor) -> Tensor:
    """The CLS and register tokens and the ``visible`` patches ``[B, V]``, through the network:
    ``[B, prefix + V, D]``. Hidden patches are left out, not replaced (MAE, section 3)."""
    tokens = net._pos_embed(net.patch_embed(images))
    prefix, patches = tokens[:, : net.num_prefix_tokens], tokens[:, net.num_prefix_tokens :]
    seen = torch.cat([prefix, _take(patches, visible)], 1)
    # fc_norm is the last norm of networks that average their tokens, and nothing in the others.
    encoded: Tensor = net.fc_norm(net.norm(net.blocks(net.norm_pre(seen))))
    return encoded


def _take(tokens: Tensor, places: Tensor) -> Tensor:
    return tokens.gather(1, places[..., None].expand(-1, -1, tokens.shape[2]))


class MaskedDecoder(nn.Module):
    """Transformer blocks that turn visible tokens and places into the pixels of every patch.

    Args:
        inputs: width of the encoder.
        outputs: pixels of a patch, all channels.
        width, depth, heads: of its blocks; 4 and ``heads`` divide ``width``.
    """

    def __init__(self, inputs: int, outputs: int, width: int, depth: int, heads: int) -> None:
        super().__init__()
        if width % 4 or width % heads:
            raise UsageError(
                f"A decoder of width {width} cannot have {heads} heads: take a width that both 4 "
                "and the heads divide."
            )
        self.embed = nn.Linear(inputs, width)
        self.mask_token = nn.Parameter(torch.empty(1, 1, width))
        self.blocks = nn.Sequential(
            *(Block(width, heads, qkv_bias=True, norm_layer=_norm) for _ in range(depth))
        )
        self.norm, self.predict = _norm(width), nn.Linear(width, outputs)
        nn.init.normal_(self.mask_token, std=0.02)
        for layer in self.modules():
            if isinstance(layer, nn.Linear):  # as the official code
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(layer.bias)

    def forward(
        self, encoded: Tensor, order: Tensor, visible: int, grid: tuple[int, int]
    ) -> Tensor:
        """The pixels of every patch, ``[B, L, outputs]``, row by row.

        Args:
            encoded: ``[B, prefix + V, D]``: prefix tokens, then the first V patches of ``order``.
            order: ``[B, L]``, all patches of each image, the visible ones first.
            visible: V.
            grid: rows and columns of patches; L of them.
        """
        x = self.embed(encoded)
        prefix = encoded.shape[1] - visible
        hidden = self.mask_token.expand(len(x), order.shape[1] - visible, -1)
        patches = _take(torch.cat([x[:, prefix:], hidden.to(x)], 1), order.argsort(1))
        patches = patches + sincos(*grid, x.shape[2]).to(patches)
        x = self.blocks(torch.cat([x[:, :prefix], patches], 1))
        pixels: Tensor = self.predict(self.norm(x))[:, prefix:]
        return pixels
