"""The CLS token's attention, against what timm's unfused attention computes on its way."""

from typing import Any

import numpy as np
import pytest
import timm
import torch
from torch import Tensor, nn

from ownlatent.errors import UsageError
from ownlatent.networks import attention, backbone
from ownlatent.networks.attention import mask


class Keep(nn.Module):
    """In the place of timm's attention dropout, which unfused attention calls on its softmax."""

    def forward(self, x: Tensor) -> Tensor:
        self.seen = x
        return x


def unfused(net: Any, x: Tensor) -> Tensor:
    layer = net.blocks[-1].attn
    before = layer.fused_attn, layer.attn_drop
    layer.fused_attn, layer.attn_drop = False, Keep()
    net.forward_features(x)
    seen: Tensor = layer.attn_drop.seen
    layer.fused_attn, layer.attn_drop = before
    return seen


def sharpen(net: Any) -> None:
    """A fresh net attends to all alike; this one has preferences."""
    for block in net.blocks:
        nn.init.normal_(block.attn.qkv.weight, std=0.1)


OTHERS = {
    "registers": {"reg_tokens": 3},
    "no embedded CLS": {"no_embed_class": True},
    "qk-norm": {"qk_norm": True},
}


@pytest.mark.parametrize("kind", ["small-vit", *OTHERS])
@pytest.mark.parametrize("size", [32, 24])
def test_it_is_the_softmax_of_the_last_block(kind: str, size: int) -> None:
    torch.manual_seed(0)
    if kind == "small-vit":
        net, _ = backbone(kind, size=32)
    else:
        options = {"embed_dim": 32, "depth": 2, "num_heads": 2, "num_classes": 0, "patch_size": 4}
        net = timm.models.VisionTransformer(
            img_size=32, dynamic_img_size=True, **options, **OTHERS[kind]
        )
    net.eval()
    sharpen(net)
    x = torch.randn(2, 3, size, size)
    seen = attention(net, x)
    heads, side = net.blocks[-1].attn.num_heads, size // 4
    assert seen.shape == (2, heads, side, side) and seen.dtype == torch.float32
    whole = unfused(net, x)
    expected = whole[:, :, 0, -side * side :].unflatten(2, (side, side))
    torch.testing.assert_close(seen, expected)
    assert seen.std() > 1e-3 and not torch.allclose(seen[:, 0], seen[:, 1])
    assert (seen.sum((2, 3)) < 1).all()


def test_rows_are_rows_and_nothing_is_left_behind() -> None:
    net, _ = backbone("small-vit", size=32)
    net.eval()
    sharpen(net)
    x = torch.randn(1, 3, 24, 16)
    seen = attention(net, x)
    assert seen.shape == (1, 4, 6, 4) and not seen.requires_grad
    torch.testing.assert_close(seen.flatten(2), unfused(net, x)[:, :, 0, 1:])
    assert not net.blocks[-1].attn._forward_pre_hooks
    assert net.blocks[-1].attn.fused_attn  # what it was tested with


@pytest.mark.parametrize(
    "name",
    ["small-resnet", "resnet10t", "vit_wee_patch16_reg1_gap_256", "vit_tiny_patch16_dinov3_qkvb"],
)
def test_others_are_one_sentence(name: str) -> None:
    net, _ = backbone(name, size=32)
    with pytest.raises(UsageError, match=r"no attention of a CLS token.*small-vit"):
        attention(net, torch.zeros(1, 3, 32, 32))


def test_the_mask_is_the_fewest_patches() -> None:
    held = torch.tensor([[0.1, 0.4], [0.2, 0.3]])[None, None] * 0.5  # the CLS holds the other half
    for keep, wanted in [
        (0.3, [[0, 1], [0, 0]]),
        (0.6, [[0, 1], [0, 1]]),
        (0.75, [[0, 1], [1, 1]]),
        (1.0, [[1, 1], [1, 1]]),
    ]:
        assert mask(held, keep)[0, 0].int().tolist() == wanted
    assert mask(held).dtype == torch.bool


@pytest.mark.parametrize("keep", [0.05, 0.6, 0.95])
def test_the_mask_is_dinos(keep: float) -> None:
    """DINO (visualize_attention.py): from the smallest up, what lies above 1 - keep."""
    torch.manual_seed(0)
    held = torch.rand(3, 4, 5, 7).pow(3)
    ours = mask(held, keep).numpy()
    for image in range(3):
        for head in range(4):
            values = held[image, head].double().numpy().ravel()
            order = np.argsort(values)
            above = np.cumsum(values[order] / values.sum()) > 1 - keep
            expected = np.zeros(values.size, bool)
            expected[order[above]] = True
            np.testing.assert_array_equal(ours[image, head].ravel(), expected)


@pytest.mark.parametrize("keep", [0.0, -1, 1.5, float("nan")])
def test_a_mask_keeps_a_share(keep: float) -> None:
    with pytest.raises(UsageError, match="keep is a share"):
        mask(torch.ones(1, 1, 2, 2), keep)
