"""Masked Autoencoders Are Scalable Vision Learners (He et al., 2021): section 3."""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ownlatent.methods.method import About, Method, Outcome
from ownlatent.networks import (
    MaskedDecoder,
    Tower,
    encode,
    fix_positions,
    patchify,
    random_order,
    require_patches,
)
from ownlatent.objectives import mae


class MAE(Method):
    """A ViT sees a quarter of an image's patches, and a small decoder paints the others.

    Of the views the first is taken. The encoder keeps
    timm's initialisation where the official code has Xavier's. Features for the verdict are those
    of the visible patches.

    Args:
        backbone: a timm VisionTransformer, ``[B, C, H, W]`` to ``[B, num_features]``.
        mask: share of the patches that is hidden.
        normalise: the target is each patch's pixels at mean 0 and variance 1 (table 1d).
        width, depth, heads: of the decoder.
        fixed_positions: sine and cosine as the encoder's position embedding; false: the
            backbone's own, learned, such as one that began from weights on disk.
    """

    about = About(
        paper="He et al., 2021",
        prevents_collapse="targets are pixels",
        batch_norm="none",
        top1="68.0 (ViT-B), 75.8 (ViT-L; 1600 epochs; official FINETUNE.md)",
    )
    bounds: ClassVar = {
        "mask": (0.01, 0.99),
        "width": (4, 2**14),
        "depth": (0, 64),
        "heads": (1, 256),
    }

    local_crops = False
    key: Tensor

    def __init__(
        self,
        backbone: Any,
        *,
        mask: float = 0.75,
        normalise: bool = True,
        width: int = 512,
        depth: int = 8,
        heads: int = 16,
        fixed_positions: bool = True,
    ) -> None:
        super().__init__()
        require_patches(backbone)
        if fixed_positions:
            fix_positions(backbone)
        self.online = Tower(backbone, nn.Identity())
        self.patch: tuple[int, int] = backbone.patch_embed.patch_size
        pixels = backbone.patch_embed.proj.weight[0].numel()
        self.decoder = MaskedDecoder(backbone.num_features, pixels, width, depth, heads)
        # Drawn with the weights: masks follow the run's seed, and are the same in every process.
        self.register_buffer("key", torch.randint(2**31, ()))
        self.mask, self.normalise = mask, normalise
        self.step, self.part = 0, 0

    def forward(self, views: list[Tensor]) -> Outcome:
        view, net = views[0], self.online.backbone
        patches = patchify(view, self.patch)
        count, length, _ = patches.shape
        drawn = int(self.key), self.step, self.part
        self.part += 1  # micro-batches of a step have masks of their own
        order = random_order(count, length, drawn, view.device)
        visible = max(1, int(length * (1 - self.mask)))
        encoded = encode(net, view, order[:, :visible])
        rows, columns = (side // p for side, p in zip(view.shape[2:], self.patch, strict=True))
        pixels = self.decoder(encoded, order, visible, (rows, columns))
        masked = order.argsort(1) >= visible
        features = net.pool(encoded.detach())
        return Outcome(mae(pixels, patches, masked, self.normalise), features, features)

    def before_step(self, step: int, total_steps: int, epoch: float) -> None:
        self.step, self.part = step, 0
