"""Depth: the published errors and loss by hand, and a plane that can be learnt."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

import ownlatent as ol
from ownlatent.encoder import Encoder
from ownlatent.evaluation.dense.depth import (
    Errors,
    Recipe,
    _Interleaved,
    berhu,
    estimate_depth,
    open_depth,
)
from ownlatent.evaluation.dense.pairs import Pairs
from ownlatent.networks import backbone
from ownlatent.preprocessing import Preprocessing


def test_errors_by_their_formulas() -> None:
    """METHODS.md section 11, written out for two pixels; the others are unknown."""
    truth = torch.tensor([[[2.0, 4.0], [0.0, math.nan]]])
    found = torch.tensor([[[2.4, 2.0], [9.0, 9.0]]])
    errors = Errors.of(found, truth)
    assert errors.n == 2
    assert errors.rel == pytest.approx((0.4 / 2 + 2 / 4) / 2)
    assert errors.rms == pytest.approx(math.sqrt((0.16 + 4) / 2))
    assert errors.log10 == pytest.approx((math.log10(1.2) + math.log10(2)) / 2)
    assert errors.delta == (0.5, 0.5, 0.5)  # 1.2 < 1.25; 2 > 1.953
    exact = Errors.of(truth.nan_to_num(1.0).clamp(min=0.1), truth)
    assert (exact.rel, exact.rms, exact.delta) == (0, 0, (1, 1, 1))


def test_the_bound_itself_does_not_count_as_within() -> None:
    truth = torch.tensor([[[1.0]]], dtype=torch.float64)
    assert Errors.of(truth * 1.25, truth).delta == (0.0, 1.0, 1.0)


def test_reverse_huber_by_its_formula() -> None:
    truth = torch.zeros(1, 1, 4)
    found = torch.tensor([[[0.5, -1.0, 10.0, 77.0]]])
    known = torch.tensor([[[True, True, True, False]]])
    c = 10 / 5
    expected = (0.5 + 1.0 + (100 + c * c) / (2 * c)) / 3
    assert berhu(found, truth, known).item() == pytest.approx(expected)
    x = torch.tensor([[[c]]])  # both branches agree at c
    assert (x.square() + c * c).item() / (2 * c) == pytest.approx(c)
    nothing = berhu(found.requires_grad_(), truth, known & False)
    nothing.backward()
    assert nothing.item() == 0 and found.grad.isfinite().all()


def test_interleaved_convolutions_are_one_of_the_unpooled_map() -> None:
    """Laina et al., section 3.2: unpooling puts zeros to the right and below, then 5x5."""
    torch.manual_seed(0)
    fast = _Interleaved(3, 4).double().requires_grad_(False)
    x = torch.randn(2, 3, 5, 6, dtype=torch.float64)
    kernel = torch.zeros(4, 3, 5, 5, dtype=torch.float64)
    for conv, (row, column) in zip(fast.parts, ((0, 0), (0, 1), (1, 0), (1, 1)), strict=True):
        kernel[:, :, row::2, column::2] = conv.weight
    unpooled = torch.zeros(2, 3, 10, 12, dtype=torch.float64)
    unpooled[:, :, ::2, ::2] = x
    expected = F.conv2d(unpooled, kernel, padding=2)
    torch.testing.assert_close(fast(x), expected)


def test_brightness_that_means_distance_is_learnt() -> None:
    generator = torch.Generator().manual_seed(0)
    grey = torch.randint(40, 220, (12, 1, 1, 1), generator=generator, dtype=torch.uint8)
    images = grey.expand(12, 3, 32, 32).contiguous()
    depth = 1 + images[:, 0].float() / 50
    depth[:, :4] = math.nan
    torch.manual_seed(0)
    net, _ = backbone("small-resnet", 3, 32)
    encoder = Encoder(net, "small-resnet", Preprocessing(3, 32, 1.0, (0.5,) * 3, (0.25,) * 3))
    pairs = Pairs(images, depth, [str(n) for n in range(12)])
    nothing, _ = estimate_depth(encoder, pairs, pairs, recipe=Recipe(steps=1, rate=1e-9))
    errors, found = estimate_depth(encoder, pairs, pairs, recipe=Recipe(steps=40, rate=0.3))
    assert found.shape == (12, 32, 32) and found.min() > 0
    assert errors.rms < 0.6 * nothing.rms


def test_steps_of_a_unit_and_zeros_are_read(tmp_path: Path) -> None:
    for folder in ("images", "depth"):
        (tmp_path / folder).mkdir()
    Image.new("RGB", (4, 2)).save(tmp_path / "images" / "a.jpg")
    values = np.array([[0, 1500, 2000, 1], [65535, 1, 1, 1]], np.uint16)
    Image.fromarray(values).save(tmp_path / "depth" / "a.png")
    pairs = open_depth(tmp_path / "images", tmp_path / "depth", 0.001, None)
    expected = values.astype(np.float32) * 0.001
    expected[0, 0] = np.nan
    np.testing.assert_array_equal(pairs.targets[0].numpy(), expected)


def test_mistakes_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ol.UsageError, match="No pixel"):
        Errors.of(torch.ones(1, 2, 2), torch.full((1, 2, 2), math.nan))
    with pytest.raises(ol.UsageError, match="unit"):
        open_depth(tmp_path, tmp_path, 0, None)
    for folder in ("images", "depth"):
        (tmp_path / folder).mkdir()
        Image.new("RGB", (4, 2)).save(tmp_path / folder / "a.png")
    with pytest.raises(ol.UsageError, match="in colour"):
        open_depth(tmp_path / "images", tmp_path / "depth", 0.001, None)
    blank = Pairs(
        torch.zeros(1, 3, 8, 8, dtype=torch.uint8), torch.full((1, 8, 8), math.nan), ["a"]
    )
    net = nn.Identity()
    with pytest.raises(ol.UsageError, match="training set"):
        estimate_depth(net, blank, blank)  # type: ignore[arg-type]
