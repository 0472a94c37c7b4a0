"""Multi-crop: smaller views of smaller parts of the image, after the two global ones."""

from dataclasses import replace

import pytest
import torch
from scipy import stats

from ownlatent.views import RECIPES, Views, recipes
from ownlatent.views.draw import draw

# Areas of the global and of the local crops, and the side of a local one beside a global one's.
PAPERS = {
    "swav": ((0.14, 1.0), (0.05, 0.14), 96 / 224),  # official swav, swav_800ep_pretrain.sh
    "dino": ((0.4, 1.0), (0.05, 0.4), 96 / 224),  # official dino, main_dino.py
    "dino-resnet": ((0.14, 1.0), (0.05, 0.14), 96 / 224),  # official dino, README
    "cifar": ((0.2, 1.0), (0.08, 0.5), 18 / 32),  # solo-learn, scripts/pretrain/cifar: SwAV's
}
NAMES = ["swav", "dino", "dino-resnet", "cifar-byol"]
LAST = -1


def papers(name):
    """Its own, or that of all small images, or SwAV's, which the DINO paper gave to the others."""
    return PAPERS["cifar" if name.startswith("cifar-") else name if name in PAPERS else "swav"]


@pytest.fixture(scope="module")
def batch(photos):
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(-(2**62), 2**62, (13,), generator=generator)
    return photos[:13], ids, torch.randint(20, 700, (13, 2), generator=generator)


def made(views, batch, rows=slice(None)):
    canvases, ids, sizes = batch
    return views(canvases[rows], ids[rows], 3, 1, sizes[rows])


@pytest.mark.parametrize("name", RECIPES)
def test_no_local_crops_are_the_two_views(batch, name):
    two = made(Views(list(RECIPES[name]), 24), batch)
    for views in (Views(name, 24), Views(name, 24, crops=0)):
        none = made(views, batch)
        assert len(none) == 2
        assert all(torch.equal(a, b) for a, b in zip(none, two, strict=True))


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_of_crops_are_the_papers(name):
    """SwAV's and solo-learn's local crops take the colours of the first view, DINO's its own."""
    first, second = RECIPES[name]
    around, inside, side = papers(name)
    local = replace(first, area=inside, side=side, solarize=0.0)
    if name.startswith("dino"):
        local = replace(local, blur=0.5)
    expected = [replace(first, area=around), replace(second, area=around), *[local] * 3]
    assert list(recipes(name, 3)) == expected


@pytest.mark.parametrize("name", NAMES)
def test_drawn_areas_are_within_the_range(name):
    """In a square image none of these boxes of less than 3/4 is clamped: they are uniform."""
    ids, sizes = torch.arange(20_000), torch.tensor([4000, 4000]).expand(20_000, 2)
    around, inside, _ = papers(name)
    for view, recipe in enumerate(recipes(name, 2)):
        low, high = around if view < 2 else inside
        epoch, seed = torch.tensor(3), torch.tensor(5)
        d = draw(recipe, view, ids, sizes, (4000, 4000), epoch=epoch, seed=seed)
        area = d.height * d.width / 4000**2
        # Sides are whole pixels: 0.1 % at worst.
        assert area.min() > low * 0.999 and area.max() < high * 1.001
        high = min(high, 0.749)
        small = area[area < high].double().clamp(min=low).numpy()
        assert stats.kstest(small, stats.uniform(low, high - low).cdf).pvalue > 1e-4


@pytest.mark.parametrize("reference", [False, True], ids=["fast", "reference"])
@pytest.mark.parametrize("size", [32, 41])
@pytest.mark.parametrize("name", NAMES)
def test_three_crops_are_five_views_all_different(batch, name, size, reference):
    views = made(Views(name, size, crops=3, reference=reference), batch)
    small = round(size * papers(name)[2])
    assert [view.shape for view in views] == [(13, 3, s, s) for s in [size] * 2 + [small] * 3]
    for several in (views[:2], views[2:]):
        for number, one in enumerate(several):
            for other in several[:number]:
                assert ((one - other).abs().amax(dim=(1, 2, 3)) > 0.01).all()


def test_sides_are_the_papers(photos):
    """96 beside 224 in SwAV and DINO, 18 beside 32 in solo-learn; and never none."""
    for name, size, side in (("swav", 224, 96), ("dino", 224, 96), ("cifar-byol", 32, 18)):
        assert (
            Views(name, size, crops=1)(photos[:1], torch.tensor([0]), 0, 0)[LAST].shape[3] == side
        )
    assert Views("swav", 1, crops=1)(photos[:1], torch.tensor([0]), 0, 0)[LAST].shape[3] == 1


@pytest.mark.parametrize("name", NAMES)
def test_crops_are_the_references(photos, name):
    """In one channel nothing turns the hue, and these colours do not clip."""
    canvases = ((0.45 + 0.1 * photos[:16, :1].double() / 255) * 65535).round().to(torch.uint16)
    fast, slow = (
        Views(name, 32, crops=2, reference=r)(canvases, torch.arange(16), 3, 1)
        for r in (False, True)
    )
    for ours, theirs in zip(fast, slow, strict=True):
        assert ours.shape == theirs.shape
        assert (ours - theirs).abs().max() * 255 < 0.01


@pytest.mark.parametrize("name", NAMES)
def test_whatever_the_batch_the_crops_are_the_same_bit_for_bit(batch, name):
    views = Views(name, 32, crops=3)
    whole = made(views, batch)
    for rows in ([0], [12], [3, 1], [12, 0, 7, 7], list(range(12, -1, -1))):
        for part, all_of_it in zip(made(views, batch, rows), whole, strict=True):
            assert torch.equal(part, all_of_it[rows])


def test_more_crops_leave_the_others_as_they_are(batch):
    two, three = (made(Views("dino", 32, crops=n), batch) for n in (2, 3))
    assert all(torch.equal(a, b) for a, b in zip(two, three[:4], strict=True))
