"""The views as a whole: against the reference pipeline, and as a function of each image alone."""

import multiprocessing

import pytest
import torch
import torchvision.transforms.v2.functional as F

from ownlatent.views import Views
from ownlatent.views.bands import banded_views
from ownlatent.views.colour import colours, rotation
from ownlatent.views.draw import draw
from ownlatent.views.engine import LARGE, unit
from ownlatent.views.recipe import Recipe, recipes
from ownlatent.views.reference import view as reference

# Both styles; blur always, at times and never; solarize; weak and strong jitter.
NAMES = ["byol", "cifar-byol", "simclr", "dino"]


def drawn(recipe, canvases, sizes=None, epoch=3, view=0):
    height, width = canvases.shape[-2:]
    if sizes is None:
        sizes = torch.tensor([height, width]).expand(len(canvases), 2)
    ids = torch.arange(len(canvases))
    epoch, seed = torch.tensor(epoch), torch.tensor(1)
    return draw(recipe, view, ids, sizes, (height, width), epoch=epoch, seed=seed)


def linear_view(canvases, recipe, d, size):
    """A view in [0, 1] units before the clamp."""
    zero, one = torch.zeros(1), torch.ones(1)
    colour = colours(recipe, d, canvases.shape[1]).to_units(unit(canvases), zero, one)
    plain = d._replace(solarize=torch.zeros_like(d.solarize))
    return banded_views(canvases, plain, colour, size, -torch.inf * one, torch.inf * one)


def calmed(photos, half, middle=0.5):
    """uint16 canvases with their colours drawn in to middle ± half, in fine steps."""
    return ((middle + 2 * half * (photos.double() / 255 - 0.5)) * 65535).round().to(torch.uint16)


# Against the operations one by one.


@pytest.mark.parametrize("size", [24, 40, 96])
@pytest.mark.parametrize(("name", "view"), [(n, v) for n in NAMES for v in (0, 1)])
def test_equal_to_the_reference_where_nothing_clips_and_hue_rests(photos, name, view, size):
    """Everything else: crop, flip, orders, contrast's pivot before blur, gray, blur, solarize."""
    recipe = recipes(name)[view]
    canvases = calmed(photos[:64], 0.04) if name == "byol" else calmed(photos[:64], 0.1, 0.42)
    d = drawn(recipe, canvases, view=view)._replace(hue=torch.zeros(64))
    ours = Views([recipe], size).view(canvases, recipe, d)
    unclamped = linear_view(canvases, recipe, d, size)
    assert unclamped.min() > 0 and unclamped.max() < 1  # or it would prove less
    theirs = reference(canvases, recipe, d, size)
    assert (ours - theirs).abs().max() * 255 < 0.01


def test_the_hue_turns_as_the_rotation_and_in_its_place(photos):
    """Where only the hue acts, a view is the crop with its colours rotated."""
    recipe = Recipe(brightness=0.0, contrast=0.0, saturation=0.0, grayscale=0.0)
    canvases = calmed(photos[:32], 0.2)
    d = drawn(recipe, canvases)
    assert (d.hue != 0).any()
    still = linear_view(canvases, recipe, d._replace(hue=torch.zeros(32)), 32)
    expected = torch.einsum("bij,bjhw->bihw", rotation(d.hue), still)
    torch.testing.assert_close(linear_view(canvases, recipe, d, 32), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("style", ["deepmind", "torchvision"])
def test_contrast_pivots_on_the_mean_before_blur(style):
    """A bright corner loses part of its weight or gains some when a reflected blur moves it."""
    canvas = torch.full((1, 3, 96, 96), 100, dtype=torch.uint8)
    canvas[..., :3, :3] = 160
    recipe = Recipe(blur=1.0, style=style)
    d = drawn(recipe, canvas)
    one = torch.ones(1)
    whole = {"top": 0 * one, "left": 0 * one, "height": 96 * one, "width": 96 * one}
    d = d._replace(
        **whole,
        brightness=0 * one if style == "deepmind" else one,
        contrast=0 * one,
        saturation=one,
        hue=0 * one,
        grayscale=torch.tensor([False]),
        sigma=2 * one,
    )
    image = canvas[0].float() / 255
    mean = image.mean()
    view = linear_view(canvas, recipe, d, 96)
    # At contrast 0 all that is left is the pivot. Luma weights sum to 0.9999 in torchvision.
    expected = mean if style == "deepmind" else 0.9999 * mean
    torch.testing.assert_close(view, expected.expand_as(view), atol=1e-6, rtol=0)
    blurred = F.gaussian_blur(image, [9, 9], [2.0, 2.0]).mean()
    assert abs(blurred - mean) > 1e-5  # so the wrong mean would be seen


@pytest.mark.parametrize("size", [32, LARGE])
def test_clamp_then_solarize_then_normalise(photos, size):
    recipe = Recipe(brightness=0.9, solarize=0.5)
    d = drawn(recipe, photos[:64])
    linear = linear_view(photos[:64], recipe, d, size)
    assert linear.min() < 0 and linear.max() > 1 and 10 < d.solarize.sum() < 54
    mean, std = [0.5, 0.4, 0.3], [0.2, 0.3, 0.4]
    ours = Views([recipe], size, mean=mean, std=std).view(photos[:64], recipe, d)
    expected = linear.clamp(0, 1)
    solarized = F.solarize(expected, 0.5)
    expected = torch.where(d.solarize[:, None, None, None], solarized, expected)
    torch.testing.assert_close(ours, F.normalize(expected, mean, std))


def test_solarize_inverts_from_one_half_on():
    """x if x < .5, else 1 - x, as BYOL has it: 128 of 255 is the first to turn, as in Pillow."""
    ramp = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    recipe = Recipe(area=(1.0, 1.0), ratio=(1.0, 1.0), flip=0.0, jitter=0.0, solarize=1.0)
    (view,) = Views([recipe], 16)(ramp, torch.tensor([0]), epoch=0, seed=0)
    expected = [level if level < 128 else 255 - level for level in range(256)]
    assert (view * 255).round().flatten().tolist() == expected


def test_an_identity_recipe_returns_the_image(photos):
    recipe = Recipe(
        area=(1.0, 1.0), ratio=(1.0, 1.0), flip=0.0, jitter=0.0, grayscale=0.0, blur=0.0
    )
    (view,) = Views([recipe], 32)(photos[:16], torch.arange(16), epoch=0, seed=0)
    assert (view * 255 - photos[:16]).abs().max() < 1e-3


# Depth and channels.


@pytest.mark.parametrize("name", NAMES)
def test_sixteen_bits_show_the_same_as_eight(photos, name):
    """255 x 257 = 65535: white is white, and every level falls on one of 16 bits."""
    deep = (photos[:32].to(torch.int32) * 257).to(torch.uint16)
    make, ids = Views(name, 32), torch.arange(32)
    for shallow, of_deep in zip(make(photos[:32], ids, 3, 1), make(deep, ids, 3, 1), strict=True):
        torch.testing.assert_close(of_deep, shallow, atol=1e-6, rtol=0)


@pytest.mark.parametrize("channels", [1, 2, 4, 13])
@pytest.mark.parametrize("name", NAMES)
def test_any_channels_against_the_reference(photos, name, channels):
    canvases = calmed(photos.flatten(0, 1)[: 8 * channels].view(8, channels, 32, 32), 0.04, 0.47)
    ids, views = torch.arange(8), Views(name, 24)
    slow = Views(name, 24, reference=True)(canvases, ids, 3, 1)
    for fast, expected in zip(views(canvases, ids, 3, 1), slow, strict=True):
        assert fast.shape == (8, channels, 24, 24) and fast.dtype == torch.float32
        assert (fast - expected).abs().max() * 255 < 0.01


# The distribution.


@pytest.mark.parametrize("name", NAMES)
def test_views_are_distributed_as_the_references(photos, name):
    """512 photos, every operation as drawn, hue and clamps included.

    Per channel: means within 1 grey level, standard deviations within 2.5 %, histograms of 32 bins
    within 4 % of all pixels; the mean of a view within 4 levels on average.
    """
    ids = torch.arange(len(photos))
    fast, slow = (Views(name, 32, reference=r)(photos, ids, 3, 1) for r in (False, True))
    for ours, theirs in zip(fast, slow, strict=True):
        assert ours.min() >= 0 and ours.max() <= 1
        for channel in range(3):
            a, b = ours[:, channel], theirs[:, channel]
            assert abs(a.mean() - b.mean()) * 255 < 1
            assert abs(a.std() / b.std() - 1) < 0.025
            histograms = [torch.histc(x.flatten(), 32, 0, 1) / x.numel() for x in (a, b)]
            assert (histograms[0] - histograms[1]).abs().sum() / 2 < 0.04
            assert (a.mean(dim=(1, 2)) - b.mean(dim=(1, 2))).abs().mean() * 255 < 4


# Each image by itself.


@pytest.fixture(scope="module")
def batch(photos):
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(-(2**62), 2**62, (37,), generator=generator)
    return photos[:37], ids, torch.randint(20, 700, (37, 2), generator=generator)


@pytest.mark.parametrize("side", [32, 131])
@pytest.mark.parametrize("size", [24, 32, 64])
@pytest.mark.parametrize("name", NAMES)
def test_whatever_the_batch_the_views_are_the_same_bit_for_bit(batch, name, size, side):
    """Alone, in small batches, in another order, beside others; from small and large canvases."""
    canvases, ids, sizes = batch
    if side != canvases.shape[-1]:
        canvases = F.resize(canvases, [side, side + 2])
    make = Views(name, size)
    whole = make(canvases, ids, 3, 1, sizes)
    groups = [[i] for i in range(0, 37, 6)] + [[3, 1], [36, 0, 7, 7], list(range(36, -1, -1))]
    for rows in groups:
        for part, all_of_it in zip(
            make(canvases[rows], ids[rows], 3, 1, sizes[rows]), whole, strict=True
        ):
            assert torch.equal(part, all_of_it[rows])


def test_an_odd_view_with_blur_is_the_same_to_the_last_bit_but_one(batch):
    """Matrices of odd sides lie unaligned in a batch, and the blur's product then rounds as it
    lies: 3e-5 of a grey level was seen at 31 pixels."""
    canvases, ids, sizes = batch
    make = Views("byol", 31)
    whole = make(canvases, ids, 3, 1, sizes)
    for row in range(37):
        alone = make(canvases[row : row + 1], ids[row : row + 1], 3, 1, sizes[row : row + 1])
        for one, all_of_it in zip(alone, whole, strict=True):
            assert (one[0] - all_of_it[row]).abs().max() < 1e-6


@pytest.mark.parametrize("name", NAMES)
def test_other_seed_epoch_id_or_view_other_views(batch, name):
    canvases, ids, sizes = batch
    make = Views(name, 32)
    first = make(canvases, ids, 3, 1, sizes)
    others = [
        make(canvases, ids, 4, 1, sizes)[0],
        make(canvases, ids, 3, 2, sizes)[0],
        make(canvases, ids, 3, 1 + (1 << 32), sizes)[0],
        make(canvases, ids + (1 << 40), 3, 1, sizes)[0],
        first[1],
    ]
    for other in others:
        assert ((other - first[0]).abs().amax(dim=(1, 2, 3)) > 0.01).all()


def test_integers_and_tensors_are_the_same_epoch_and_seed(batch):
    canvases, ids, sizes = batch
    make = Views("byol", 24)
    plain = make(canvases, ids, 3, 1, sizes)
    tensors = make(canvases, ids, torch.tensor(3), torch.tensor(1), sizes)
    assert all(torch.equal(a, b) for a, b in zip(plain, tensors, strict=True))


def test_nothing_of_the_generator_of_torch_is_used(batch):
    canvases, ids, sizes = batch
    state = torch.get_rng_state()
    Views("byol", 24)(canvases, ids, 3, 1, sizes)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.fixture
def compiler():
    """As new: it gives up on a method that it has compiled for eight different objects."""
    torch.compiler.reset()
    yield torch.compile
    torch.compiler.reset()


@pytest.mark.parametrize(("name", "crops"), [*((name, 0) for name in NAMES), ("cifar-byol", 2)])
def test_small_views_are_one_graph_to_the_compiler(batch, name, crops, compiler):
    """What breaks the graph (a written-to slice, a value read back) undoes the fusion unseen."""
    canvases, ids, sizes = batch
    mean, std = [0.5, 0.4, 0.3], [0.2, 0.3, 0.4]
    make = Views(name, 24, mean=mean, std=std, crops=crops)
    traced = compiler(make, fullgraph=True, dynamic=False, backend="eager")
    arguments = canvases, ids, torch.tensor(3), torch.tensor(1), sizes
    for compiled, eager in zip(traced(*arguments), make(*arguments), strict=True):
        # 1e-5 of the range from black to white; strong jitter multiplies float32's rounding by 6.
        torch.testing.assert_close(compiled, eager, atol=1e-5 / min(std), rtol=0)


@pytest.mark.parametrize("size", [24, LARGE])
def test_no_images_no_views(batch, size):
    canvases, ids, sizes = (each[:0] for each in batch)
    for view in Views("byol", size)(canvases, ids, 3, 1, sizes):
        assert view.shape == (0, 3, size, size)


@pytest.mark.parametrize("size", [24, LARGE])
def test_modes_of_the_calling_thread_change_nothing(batch, size):
    """Views are made on other threads, and a tensor of inference mode can be written only in it."""
    canvases, ids, sizes = batch
    make = Views("byol", size)
    plain = make(canvases, ids, 3, 1, sizes)
    for mode in (torch.no_grad(), torch.inference_mode()):
        with mode:
            again = make(canvases, ids, 3, 1, sizes)
        assert all(torch.equal(a, b) for a, b in zip(plain, again, strict=True))


def test_a_squeezed_canvas_is_cropped_as_the_true_image(scene):
    """Fast path on a canvas against the reference on the original, same boxes: a smooth scene."""
    smooth = F.gaussian_blur(scene.float(), [31, 31], [8.0, 8.0]).round().to(torch.uint8)[None]
    canvas = F.resize(smooth, [128, 96], F.InterpolationMode.BICUBIC, antialias=True)
    recipe = Recipe(jitter=0.0, grayscale=0.0)
    true, squeezed = Views([recipe], 48, reference=True), Views([recipe], 48)
    sizes = torch.tensor([[256, 320]])
    for epoch in range(20):
        (expected,) = true(smooth, torch.tensor([5]), epoch, 1)
        (got,) = squeezed(canvas, torch.tensor([5]), epoch, 1, sizes)
        assert (got - expected).abs().mean() * 255 < 0.6


def test_views_in_a_forked_process() -> None:
    """As a DataLoader's workers are: the parent's threads are not there."""
    canvases = torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8)
    views = Views("cifar-byol", 32)
    ids = torch.arange(4)
    here = views(canvases, ids, 0, 0)[0]  # makes the pool
    with multiprocessing.get_context("fork").Pool(1) as pool:
        there = pool.apply_async(_sum_of_views, (views, canvases, ids)).get(timeout=60)
    assert there == here.double().sum().item()


def _sum_of_views(views: Views, canvases: torch.Tensor, ids: torch.Tensor) -> float:
    return views(canvases, ids, 0, 0)[0].double().sum().item()
