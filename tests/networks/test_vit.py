"""Vision transformers: a small one, views of several sizes, and MoCo v3's start."""

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from ownlatent.errors import UsageError
from ownlatent.networks import backbone

VITS = ["small-vit", "vit_tiny_patch16_224"]


@pytest.mark.parametrize("size", [8, 20, 32, 96, 224])
def test_the_small_one_is_small(size: int) -> None:
    net, line = backbone("small-vit", channels=3, size=size)
    assert sum(p.numel() for p in net.parameters()) < 1.2e6
    assert len(net.blocks) == 4 and net.num_features == 128 and net.cls_token is not None
    assert net(torch.zeros(2, 3, size, size)).shape == (2, 128)
    assert f"{size // 8}-pixel patches" in line and "128 features" in line


def test_its_features_are_the_cls_tokens() -> None:
    net, _ = backbone("small-vit", size=32)
    x = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(net(x), net.forward_features(x)[:, 0])
    assert net.forward_features(x).shape == (2, 65, 128)


def test_drop_path_reaches_it() -> None:
    torch.manual_seed(0)
    net, _ = backbone("small-vit", size=16, drop_path=0.5)
    x = torch.randn(8, 3, 16, 16)
    assert not torch.equal(net(x), net(x))
    torch.testing.assert_close(net.eval()(x), net(x), rtol=0, atol=0)
    still, _ = backbone("small-vit", size=16)
    torch.testing.assert_close(still(x), still(x), rtol=0, atol=0)


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("name", VITS)
def test_views_of_two_sizes_go_through_one_net(name: str, frozen: bool) -> None:
    net, _ = backbone(name, size=32, frozen_patches=frozen)
    large, small = torch.randn(2, 3, 32, 32), torch.randn(2, 3, 24, 24)
    assert net(large).shape == net(small).shape == (2, net.num_features)
    # A net of 6x6 places that holds the same weights and the resized positions says the same.
    places = net.pos_embed[:, 1:].detach().view(1, 8, 8, -1).movedim(-1, 1)
    places = F.interpolate(places, (6, 6), mode="bicubic", antialias=True)
    fixed = copy.deepcopy(net)
    fixed.patch_embed.grid_size = (6, 6)
    fixed.pos_embed = nn.Parameter(torch.cat([net.pos_embed[:, :1], places.flatten(2).mT], dim=1))
    torch.testing.assert_close(net(small), fixed(small))
    (net(large).sum() + net(small).square().sum()).backward()
    for key, parameter in net.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None and parameter.grad.isfinite().all(), key


def test_a_hybrid_whose_stem_is_too_deep_is_one_sentence() -> None:
    with pytest.raises(UsageError, match="cannot take"):
        backbone("vit_small_r26_s32_224", size=32)


@pytest.mark.parametrize("size", [33, 26])
def test_what_is_left_over_beside_whole_patches_is_dropped(size: int) -> None:
    net, _ = backbone("small-vit", size=33)
    x = torch.randn(2, 3, size, size)
    whole = size // 4 * 4
    torch.testing.assert_close(net(x), net(x[:, :, :whole, :whole]))


def sincos(rows: int, columns: int, width: int) -> np.ndarray:
    """One number at a time: MoCo v3's vits.py, build_2d_sincos_position_embedding."""
    out = np.zeros((1 + rows * columns, width))
    quarter = width // 4
    for row in range(rows):
        for column in range(columns):
            for i in range(quarter):
                rate = 10000 ** (-i / quarter)
                place = [np.sin(row * rate), np.cos(row * rate)]
                place += [np.sin(column * rate), np.cos(column * rate)]
                out[1 + row * columns + column, i::quarter] = place
    return out


def test_positions_are_the_papers_and_stay() -> None:
    net, line = backbone("small-vit", size=24, frozen_patches=True)
    expected = torch.from_numpy(sincos(8, 8, 128)).float()
    torch.testing.assert_close(net.pos_embed[0], expected, atol=1e-6, rtol=1e-5)
    assert "frozen" in line
    frozen = {key for key, p in net.named_parameters() if not p.requires_grad}
    assert frozen == {"pos_embed", "patch_embed.proj.weight", "patch_embed.proj.bias"}
    net(torch.randn(2, 3, 24, 24)).square().sum().backward()
    assert all((p.grad is None) != p.requires_grad for p in net.parameters())


def test_positions_are_the_official_codes() -> None:
    """Printed by facebookresearch/moco-v3 (c349e6e), vit_small of 64-pixel images: 4x4 places."""
    positions, _ = backbone("vit_small_patch16_224", size=224, frozen_patches=True)
    rows_and_columns = [(5, 3), (10, 103), (16, 197), (7, 328)]
    official = [0.6815614, 0.5218365, 0.9593515, 0.9990718]
    for (token, unit), value in zip(rows_and_columns, official, strict=True):
        row, column = divmod(token - 1, 4)
        ours = positions.pos_embed[0, 1 + 14 * row + column, unit].item()
        assert ours == pytest.approx(value, abs=1e-6)


@pytest.mark.parametrize(("name", "size", "channels"), [("small-vit", 32, 3), (VITS[1], 64, 4)])
def test_weights_start_as_the_papers(name: str, size: int, channels: int) -> None:
    """Uniform up to sqrt(6 / (fan-in + fan-out)), whose deviation is that over sqrt(3)."""
    torch.manual_seed(0)
    net, _ = backbone(name, channels=channels, size=size, frozen_patches=True)
    width, patch = net.num_features, size // 8
    bounds = {
        "attn.qkv": (6 / (2 * width)) ** 0.5,  # three layers of width x width
        "attn.proj": (6 / (2 * width)) ** 0.5,
        "mlp.fc1": (6 / (5 * width)) ** 0.5,
        "mlp.fc2": (6 / (5 * width)) ** 0.5,
    }
    drawn = [(net.blocks[1].get_submodule(key), bound) for key, bound in bounds.items()]
    drawn.append((net.patch_embed.proj, (6 / (channels * patch**2 + width)) ** 0.5))
    for layer, bound in drawn:
        assert 0.99 * bound < layer.weight.abs().max() <= bound
        assert layer.weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.03)
        assert not layer.bias.any()
    assert 0 < net.cls_token.abs().max() < 6e-6


@pytest.mark.parametrize("name", ["small-resnet", "resnet10t", "vit_relpos_small_patch16_224"])
def test_only_a_vit_has_patches_to_freeze(name: str) -> None:
    with pytest.raises(UsageError, match=f"{name} has no patches to freeze.*small-vit"):
        backbone(name, size=32, frozen_patches=True)


def test_norms_have_names_and_a_vit_has_none_to_replace() -> None:
    with pytest.raises(UsageError, match=r"norm is one of batch, group, layer.*; got 'weight'"):
        backbone("small-resnet", size=32, norm="weight")
    _, line = backbone("small-resnet", size=32, norm="group")
    assert "group norm" in line
    net, line = backbone("small-vit", size=32, norm="group")
    assert "group norm" not in line and type(net.blocks[0].attn.qkv) is nn.Linear
