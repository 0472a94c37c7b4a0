"""The reference pipeline does what torchvision's own transforms do with the same parameters."""

from itertools import permutations

import pytest
import torch
import torchvision.transforms.v2.functional as F
from torchvision.transforms import InterpolationMode

from ownlatent.views import Views
from ownlatent.views.draw import BRIGHTNESS, CONTRAST, HUE, SATURATION, draw
from ownlatent.views.recipe import Recipe, recipes
from ownlatent.views.reference import view

ORDERS = list(permutations(range(4)))


def drawn(recipe, canvases, sizes=None, epoch=3):
    height, width = canvases.shape[-2:]
    if sizes is None:
        sizes = torch.tensor([height, width]).expand(len(canvases), 2)
    ids = torch.arange(len(canvases))
    epoch, seed = torch.tensor(epoch), torch.tensor(1)
    return draw(recipe, 0, ids, sizes, (height, width), epoch=epoch, seed=seed)


def test_every_operation_in_its_order_is_torchvisions(photos):
    """All orders, with colours that clip, so that the order of the clamps is seen too."""
    photos = photos[:48]
    recipe = Recipe(jitter=1.0, blur=0.7, solarize=0.5, style="torchvision", brightness=0.8)
    d = drawn(recipe, photos)._replace(order=torch.tensor(ORDERS * 2))
    ours = view(photos, recipe, d, 40)
    for index, photo in enumerate(photos):
        image = photo.float() / 255
        box = [int(x[index]) for x in (d.top, d.left, d.height, d.width)]
        bicubic = InterpolationMode.BICUBIC
        image = F.resized_crop(image, *box, [40, 40], bicubic, antialias=True).clamp(0, 1)
        if d.flip[index]:
            image = F.hflip(image)
        for which in d.order[index].tolist():
            adjust, factor = {
                BRIGHTNESS: (F.adjust_brightness, d.brightness),
                CONTRAST: (F.adjust_contrast, d.contrast),
                SATURATION: (F.adjust_saturation, d.saturation),
                HUE: (F.adjust_hue, d.hue),
            }[which]
            image = adjust(image, float(factor[index]))
        if d.grayscale[index]:
            image = F.to_grayscale(image, num_output_channels=3)
        if d.sigma[index] > 0:
            image = F.gaussian_blur(image, [5, 5], [float(d.sigma[index])] * 2)
        if d.solarize[index]:
            image = F.solarize(image, 0.5)
        assert (ours[index] - image).abs().max() * 255 < 1e-3


def test_the_order_matters(photos):
    """Or the test above could not tell whether it is kept."""
    photo = photos[:1].expand(24, -1, -1, -1)
    recipe = Recipe(jitter=1.0)
    d = drawn(recipe, photo)
    d = type(d)(*(each[:1].expand_as(each) for each in d))
    views = view(photo, recipe, d._replace(order=torch.tensor(ORDERS)), 32)
    assert (views[:, None] - views[None]).abs().amax(dim=(2, 3, 4)).max() * 255 > 5


def test_deepminds_brightness_and_contrast(photos):
    """An offset, and each channel about its own mean, with a clamp after each."""
    recipe = Recipe(jitter=1.0, saturation=0.0, hue=0.0, grayscale=0.0, flip=0.0)
    d = drawn(recipe, photos[:16])
    whole = torch.full((16,), 32.0)
    order = torch.tensor([BRIGHTNESS, CONTRAST, SATURATION, HUE]).expand(16, 4)
    d = d._replace(top=whole * 0, left=whole * 0, height=whole, width=whole, order=order)
    x = (photos[:16].float() / 255 + d.brightness[:, None, None, None]).clamp(0, 1)
    mean = x.mean(dim=(2, 3), keepdim=True)
    x = ((x - mean) * d.contrast[:, None, None, None] + mean).clamp(0, 1)
    assert (view(photos[:16], recipe, d, 32) - x).abs().max() * 255 < 0.01


@pytest.mark.parametrize("channels", [1, 2, 4, 13])
def test_any_channels(photos, channels):
    canvases = photos.flatten(0, 1)[: 8 * channels].view(8, channels, 32, 32)
    for recipe in (*recipes("byol"), *recipes("cifar-byol")):
        views = view(canvases, recipe, drawn(recipe, canvases), 24)
        assert views.shape == (8, channels, 24, 24)
        assert views.min() >= 0 and views.max() <= 1


def test_views_takes_it_with_the_same_draws_and_normalisation(photos):
    mean, std = [0.5, 0.4, 0.3], [0.2, 0.3, 0.4]
    made = Views("byol", 32, mean=mean, std=std, reference=True)(
        photos[:8], torch.arange(8), epoch=3, seed=1
    )
    recipe = recipes("byol")[0]
    expected = view(photos[:8], recipe, drawn(recipe, photos[:8]), 32)
    torch.testing.assert_close(made[0], F.normalize(expected, mean, std))
