"""Segmentation: pairs as they are read and cropped, and a head that learns what can be learnt."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import ownlatent as ol
from ownlatent.encoder import Encoder
from ownlatent.evaluation.dense.pairs import Pairs
from ownlatent.evaluation.dense.segmentation import VOID, Recipe, crop_both, open_masks, segment
from ownlatent.networks import backbone
from ownlatent.preprocessing import Preprocessing


def encoder(name: str) -> Encoder:
    torch.manual_seed(0)
    net, _ = backbone(name, 3, 32)
    return Encoder(net, name, Preprocessing(3, 32, 1.0, (0.5,) * 3, (0.25,) * 3))


def scenes(count: int, seed: int) -> Pairs:
    """A bright square somewhere on dark ground, its outline void."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 60, (count, 3, 32, 48), generator=generator, dtype=torch.uint8)
    masks = torch.zeros(count, 32, 48, dtype=torch.uint8)
    for row in range(count):
        top, left = (int(torch.randint(0, n, (), generator=generator)) for n in (16, 32))
        masks[row, top : top + 16, left : left + 16] = VOID
        masks[row, top + 1 : top + 15, left + 1 : left + 15] = 1
        images[row, :, top : top + 16, left : left + 16] += 180
    return Pairs(images, masks, [str(n) for n in range(count)])


@pytest.mark.parametrize("name", ["small-resnet", "small-vit"])
def test_squares_are_found(name: str) -> None:
    net = encoder(name)
    before = copy.deepcopy(net.state_dict())
    recipe = Recipe(steps=40, batch=8, rate=0.05, crop=32)
    scores, found = segment(net, scenes(16, 0), scenes(6, 1), 2, recipe=recipe)
    assert scores.mean > 0.75
    assert found.shape == (6, 32, 48) and found.dtype == torch.uint8
    assert all(torch.equal(before[key], value) for key, value in net.state_dict().items())
    again, _ = segment(net, scenes(16, 0), scenes(6, 1), 2, recipe=recipe)
    assert again.classes == scores.classes


def test_a_frozen_encoder_is_not_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    from ownlatent.evaluation.dense import segmentation as module

    kept = {}
    make = module._network

    def watched(*args):
        kept["net"] = make(*args)
        kept["before"] = copy.deepcopy(kept["net"].state_dict())
        return kept["net"]

    monkeypatch.setattr(module, "_network", watched)
    recipe = Recipe(steps=2, batch=2, crop=32, frozen=True)
    segment(encoder("small-resnet"), scenes(4, 0), scenes(2, 1), 2, recipe=recipe)
    after = kept["net"].state_dict()
    changed = {k for k, v in after.items() if not torch.equal(v, kept["before"][k])}
    assert changed and all(key.startswith("head") for key in changed)


def test_image_and_mask_are_cut_alike() -> None:
    rows = torch.arange(40, dtype=torch.uint8).repeat_interleave(4)[:, None].expand(160, 200)
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        image, mask = crop_both(
            rows[None].contiguous(), rows.contiguous(), 48, (0.5, 2.0), generator
        )
        inside = mask != VOID
        assert inside.any()
        assert (image[0].int() - mask.int()).abs()[inside].max() <= 1


def test_a_crop_larger_than_the_image_is_void_outside() -> None:
    image = torch.full((3, 10, 12), 77, dtype=torch.uint8)
    mask = torch.ones(10, 12, dtype=torch.uint8)
    pixels, labels = crop_both(image, mask, 20, (1.0, 1.0), torch.Generator().manual_seed(0))
    assert pixels.shape == (3, 20, 20) and int((labels == 1).sum()) == 120
    assert bool((labels[10:] == VOID).all()) and bool((pixels == 77).all())


def test_masks_are_read_by_value_and_nearest(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    Image.new("RGB", (8, 6), (10, 20, 30)).save(tmp_path / "images" / "a.jpg")
    values = np.zeros((6, 8), np.uint8)
    values[3:], values[0, 0] = 2, 11
    palette = Image.fromarray(values, "P")
    palette.putpalette([level for n in range(12) for level in (20 * n, 0, 0)])
    palette.save(tmp_path / "masks" / "a.png")
    pairs = open_masks(tmp_path / "images", tmp_path / "masks", 3, 11, None)
    assert pairs.images.shape == (1, 3, 6, 8) and pairs.names == ["a.jpg"]
    assert pairs.targets[0, 0, 0] == VOID and pairs.targets[0, 5].unique().tolist() == [2]
    half = open_masks(tmp_path / "images", tmp_path / "masks", 3, 11, (2, 4))
    assert half.targets[0].tolist() == [[0] * 4, [2] * 4]


def test_mistakes_are_one_sentence(tmp_path: Path) -> None:
    images, masks = tmp_path / "images", tmp_path / "masks"
    with pytest.raises(ol.UsageError, match="no folder"):
        open_masks(images, masks, 3, 255, None)
    images.mkdir()
    masks.mkdir()
    with pytest.raises(ol.UsageError, match="no images"):
        open_masks(images, masks, 3, 255, None)
    Image.new("RGB", (8, 6)).save(images / "a.png")
    Image.new("L", (8, 6), 7).save(masks / "b.png")
    with pytest.raises(ol.UsageError, match=r"have no file of the same name .* a\.png"):
        open_masks(images, masks, 3, 255, None)
    (masks / "b.png").rename(masks / "a.png")
    with pytest.raises(ol.UsageError, match="value 7, but classes are 0 to 2 and void is 255"):
        open_masks(images, masks, 3, 255, None)
    Image.new("RGB", (8, 6)).save(masks / "a.png")
    with pytest.raises(ol.UsageError, match="in colour"):
        open_masks(images, masks, 3, 255, None)
    (masks / "a.png").write_bytes(b"broken")
    with pytest.raises(ol.UsageError, match="cannot be read"):
        open_masks(images, masks, 3, 255, None)
    Image.new("L", (8, 6), 1).save(masks / "a.png")
    Image.new("L", (9, 6), 1).save(masks / "b.png")
    Image.new("RGB", (9, 6)).save(images / "b.png")
    with pytest.raises(ol.UsageError, match="9 x 6 pixels, others are 8 x 6"):
        open_masks(images, masks, 3, 255, None)
    void = scenes(2, 0)
    blank = Pairs(void.images, torch.full_like(void.targets, VOID), void.names)
    with pytest.raises(ol.UsageError, match="void"):
        segment(encoder("small-resnet"), blank, void, 2)
