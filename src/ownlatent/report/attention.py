"""``ownlatent attention``: where a vision transformer's CLS token looks, over the images."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ownlatent.checks import require_within
from ownlatent.config import BOUNDS
from ownlatent.data import Data, open_source
from ownlatent.data.source import Unreadable
from ownlatent.encoder import Encoder, EncoderFolder
from ownlatent.errors import UsageError
from ownlatent.networks.attention import attention, mask
from ownlatent.report.pictures import heat, picture
from ownlatent.report.sheet import Picture, contact_sheet

GRID = 24
"""Patches along a side where nobody says: fine enough to look at."""
_SIDE = 224  # of a picture on the sheet, in pixels
_DIM = 0.6  # of the image's brightness that is left under the attention
_OPAQUE = 0.7  # the largest attention's colour over the image
_OUTSIDE = 0.4  # of the brightness that is left outside the mask
_OUTLINE = (255, 255, 255)


def draw_attention(
    run: str | Path,
    data: Data,
    *,
    out: str | Path,
    images: int = 6,
    keep: float = 0.6,
    size: int | None = None,
    network: str | None = None,
    seed: int = 0,
) -> Path:
    """Write a sheet of ``images`` images, spread evenly over the data, and the attention on each.

    A row holds the image as the encoder sees it, the attention of each head of the last block over
    the dimmed image, the mean of the heads, and that mean at random initialisation. Colours run
    from none to a picture's largest attention; the outline holds the fewest patches with ``keep``
    of the attention.

    Args:
        run: a run folder or its ``encoder/``, of a ViT with a CLS token.
        data: images, as for pretraining; they need no labels.
        out: PNG to write.
        keep: share of a head's attention that the outline holds.
        size: side in pixels that images are brought to; more than in training gives finer maps.
            What is left beside whole patches is dropped. By default 24 patches, or what the
            encoder takes if that is more.
        network: which network. By default the one that the method is evaluated by.
        seed: of the random initialisation.

    Raises:
        UsageError: the encoder has no such attention, an image cannot be read, a number is out of
            its bounds, or ``out`` cannot be written.
    """
    require_within("images", images, 1, 1000)
    require_within("size", size, 1, BOUNDS["size"][1])
    require_within("seed", seed, *BOUNDS["seed"])
    if not 0 < keep <= 1:
        raise UsageError(f"keep must lie above 0 and up to 1; got {keep}.")
    folder = EncoderFolder.find(run)
    encoder = folder.load(network)
    if encoder.preprocessing.kind != "images":
        raise UsageError(f"{run} is no encoder of images: give one of a ViT.")
    trained = at_size(encoder, size)
    untrained = at_size(folder.blank(seed, network).eval(), size)
    originals, rows = [], []
    for pixels in _read(data, images):
        seen = trained.preprocess(pixels)
        heads = attention(trained.backbone, seen)
        whole = torch.cat([heads, heads.mean(1, keepdim=True)], 1)
        fresh = attention(untrained.backbone, seen).mean(1, keepdim=True)
        image = as_seen(trained, seen)
        originals.append(_shown(image))
        shown = torch.cat([whole, fresh], 1)
        rows.append(
            [overlay(image, *each) for each in zip(shown[0], mask(shown, keep)[0], strict=True)]
        )
    count = len(rows[0]) - 2
    names = [*(f"head {number + 1}" for number in range(count)), "mean", "mean, untrained"]
    note = (
        "Colour: the CLS token's attention, from none to the picture's largest. Outlined, and dark "
        f"outside: the fewest patches that hold {100 * keep:g} % of it."
    )
    try:
        return contact_sheet(originals, rows, out, captions=("image", *names), note=note)
    except OSError as error:
        raise UsageError(
            f"{out} cannot be written ({error.strerror}); choose another --out."
        ) from error


def at_size(encoder: Encoder, size: int | None = None) -> Encoder:
    """Let an encoder bring images to a side of ``size`` pixels, or of ``GRID`` patches.

    Raises:
        UsageError: its network has no attention of a CLS token, or ``size`` holds no patch.
    """
    trained = encoder.preprocessing.size
    side = trained if size is None else size
    attention(encoder.backbone, torch.zeros(1, encoder.preprocessing.channels, trained, trained))
    patch = max(encoder.backbone.patch_embed.patch_size)
    if size is None:
        side = max(trained, GRID * patch)
    if side < patch:
        raise UsageError(f"size must be at least {patch}, one patch of this ViT; got {side}.")
    seen = replace(encoder.preprocessing, size=side - side % patch)
    return Encoder(encoder.backbone, encoder.name, seen, encoder.provenance, encoder.options)


def as_seen(encoder: Encoder, x: Tensor) -> Tensor:
    """One preprocessed image ``[1, C, S, S]`` as float32 ``[C, S, S]`` in [0, 1] again."""
    made: Any = encoder.preprocess
    shown: Tensor = (x * made.std + made.mean)[0].clamp(0, 1)
    return shown


def overlay(image: Tensor, held: Tensor, kept: Tensor) -> Picture:
    """Attention over a dimmed image, its mask outlined.

    Args:
        image: float32 ``[C, S, S]`` in [0, 1].
        held: attention ``[rows, columns]``, not negative.
        kept: bool ``[rows, columns]``, the patches to outline.

    Returns:
        uint8 ``[224, 224, 3]``.
    """
    gray = _shown(image).astype(np.float32).mean(2, keepdims=True) * _DIM
    fine = F.interpolate(held[None, None].float(), (_SIDE, _SIDE), mode="bilinear")
    inside = F.interpolate(kept[None, None].float(), (_SIDE, _SIDE), mode="nearest-exact")
    # A kept pixel beside one that is not; what lies beyond the picture is like its rim.
    inner = -F.max_pool2d(-F.pad(inside, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    edge, full = (inside > inner)[0, 0].numpy(), inside[0, 0, :, :, None].numpy()
    strength = (fine[0, 0] / held.max().clamp(min=1e-12)).clamp(0, 1).numpy()
    colour = heat(strength)
    opaque = _OPAQUE * strength[:, :, None]
    mixed = gray * (1 - opaque) + colour * opaque
    mixed *= _OUTSIDE + (1 - _OUTSIDE) * full
    mixed[edge] = _OUTLINE
    drawn: Picture = mixed.round().clip(0, 255).astype(np.uint8)
    return drawn


def _shown(image: Tensor) -> Picture:
    """uint8 ``[224, 224, 3]``; of two channels the first is shown, of more than three three."""
    image = image[:3] if len(image) >= 3 else image[:1].expand(3, -1, -1)
    larger = F.interpolate(
        image[None].contiguous(), (_SIDE, _SIDE), mode="bicubic", antialias=True
    )[0]
    return picture(larger.clamp(0, 1))


def _read(data: Data, images: int) -> list[Tensor]:
    """Images spread evenly over the data, each uint8 or uint16 ``[1, C, H, W]``."""
    source = open_source(data)
    rows = torch.linspace(0, len(source) - 1, min(images, len(source))).long().tolist()
    try:
        return [torch.from_numpy(source.read(row).copy())[None] for row in rows]
    except Unreadable as error:
        raise UsageError(
            f"{error.name} cannot be read ({error.why.rstrip('.')}); mend it or leave it out."
        ) from error
