"""The colour matrix against the same operations one after another: torchvision's, and those that
DeepMind published with BYOL. Colours are kept in the middle of the range: nothing clips."""

import colorsys
import math
from itertools import permutations

import pytest
import torch
import torchvision.transforms.v2.functional as F

from ownlatent.views.colour import GRAY, colours, rotation
from ownlatent.views.draw import BRIGHTNESS, CONTRAST, HUE, SATURATION, Draw
from ownlatent.views.recipe import Recipe

ORDERS = list(permutations(range(4)))
RGB = torch.eye(3)


def parameters(count, orders, *, style, hue=0.0, grayscale=False, seed=0):
    generator = torch.Generator().manual_seed(seed)

    def between(low, high):
        return low + (high - low) * torch.rand(count, generator=generator)

    nothing = torch.zeros(count)
    return Draw(
        top=nothing,
        left=nothing,
        height=nothing,
        width=nothing,
        flip=nothing.bool(),
        brightness=between(-0.2, 0.2) if style == "deepmind" else between(0.6, 1.4),
        contrast=between(0.6, 1.4),
        saturation=between(0.8, 1.2),
        hue=nothing + hue,
        order=torch.tensor(orders),
        grayscale=(nothing + grayscale).bool(),
        sigma=nothing,
        solarize=nothing.bool(),
    )


@pytest.fixture(scope="module")
def images(photos):
    """Colourful, of different means per image and channel, all within [0.35, 0.55]."""
    return 0.35 + 0.2 * photos[:24].float() / 255


def by_matrix(images, recipe, drawn):
    colour = colours(recipe, drawn, images.shape[1])
    matrix, offset = colour.of(images.mean(dim=(2, 3)))
    return torch.einsum("bij,bjhw->bihw", matrix, images) + offset[:, :, None, None]


def hue(image, drawn):
    """The linear stand-in, itself tested below."""
    return torch.einsum("ij,jhw->ihw", rotation(drawn.hue[None])[0], image)


def torchvisions(image, which, drawn):
    return {
        BRIGHTNESS: lambda: F.adjust_brightness(image, float(drawn.brightness)),
        CONTRAST: lambda: F.adjust_contrast(image, float(drawn.contrast)),
        SATURATION: lambda: F.adjust_saturation(image, float(drawn.saturation)),
        HUE: lambda: hue(image, drawn),
    }[which]()


def deepminds(image, which, drawn):
    """Brightness is added and contrast keeps each channel's own mean. (Saturation scales the S of
    HSV there, which is not linear; here it is torchvision's.)"""
    mean = image.mean(dim=(1, 2), keepdim=True)
    luma = 0.2989 * image[:1] + 0.587 * image[1:2] + 0.114 * image[2:]
    return {
        BRIGHTNESS: lambda: image + drawn.brightness,
        CONTRAST: lambda: (image - mean) * drawn.contrast + mean,
        SATURATION: lambda: drawn.saturation * image + (1 - drawn.saturation) * luma,
        HUE: lambda: hue(image, drawn),
    }[which]()


@pytest.mark.parametrize(
    ("style", "operation"), [("torchvision", torchvisions), ("deepmind", deepminds)]
)
@pytest.mark.parametrize("grayscale", [False, True], ids=["colour", "grayscale"])
@pytest.mark.parametrize("seed", range(5))
def test_all_orders_equal_the_operations_one_by_one(images, style, operation, grayscale, seed):
    drawn = parameters(24, ORDERS, style=style, hue=0.08, grayscale=grayscale, seed=seed)
    ours = by_matrix(images, Recipe(style=style), drawn)
    for index, order in enumerate(ORDERS):
        image, one = images[index], Draw(*(each[index] for each in drawn))
        for which in order:
            image = operation(image, which, one)
            assert image.min() > 0 and image.max() < 1  # or the comparison would mean nothing
        if grayscale:
            image = F.rgb_to_grayscale(image, num_output_channels=3)
        assert (ours[index] - image).abs().max() * 255 < 1e-3, order


@pytest.mark.parametrize("channels", [1, 2, 4, 13])
@pytest.mark.parametrize("style", ["torchvision", "deepmind"])
def test_without_rgb_only_brightness_and_contrast_act(images, channels, style):
    many = images.flatten(0, 1)[: 4 * channels].view(4, channels, 32, 32)
    orders = [ORDERS[0], ORDERS[7], ORDERS[-1], ORDERS[13]]
    drawn = parameters(4, orders, style=style, hue=0.1, grayscale=True)
    ours = by_matrix(many, Recipe(style=style), drawn)
    for index, order in enumerate(orders):
        image, one = many[index], Draw(*(each[index] for each in drawn))
        for which in order:
            mean = image.mean(dim=(1, 2) if style == "deepmind" else (0, 1, 2), keepdim=True)
            if which == CONTRAST:
                image = (image - mean) * one.contrast + mean
            if which == BRIGHTNESS:
                image = image + one.brightness if style == "deepmind" else image * one.brightness
        assert (ours[index] - image).abs().max() * 255 < 1e-3


def test_grayscale_is_the_luma_of_torchvision(images):
    neutral = parameters(24, ORDERS, style="torchvision", grayscale=True)
    one = torch.ones(24)
    neutral = neutral._replace(brightness=one, contrast=one, saturation=one)
    ours = by_matrix(images, Recipe(style="torchvision"), neutral)
    assert (ours - F.rgb_to_grayscale(images, num_output_channels=3)).abs().max() * 255 < 1e-3
    assert torch.equal(ours[:, 0], ours[:, 1]) and torch.equal(ours[:, 0], ours[:, 2])


# Hue.


def turned(colour, turns):
    return rotation(torch.tensor([turns]))[0] @ torch.tensor(colour)


@pytest.mark.parametrize("turns", [-1.0, 0.0, 1.0])
def test_whole_turns_change_nothing(turns):
    torch.testing.assert_close(rotation(torch.tensor([turns]))[0], RGB, atol=2e-6, rtol=0)


@pytest.mark.parametrize("turns", [-0.5, -0.1, 0.03, 0.1, 0.37])
def test_the_sum_of_channels_and_grays_are_kept(turns):
    """A rotation about the axis (1, 1, 1)."""
    matrix = rotation(torch.tensor([turns]))[0]
    torch.testing.assert_close(torch.ones(3) @ matrix, torch.ones(3), atol=1e-6, rtol=0)
    torch.testing.assert_close(matrix @ torch.ones(3), torch.ones(3), atol=1e-6, rtol=0)


@pytest.mark.parametrize("turns", [-2 / 3, -1 / 3, 1 / 3])
def test_thirds_of_a_turn_are_the_hue_of_hsv(turns):
    """Both permute the channels there, for any colour."""
    for colour in ((0.9, 0.2, 0.4), (0.1, 0.7, 0.3)):
        hue, saturation, value = colorsys.rgb_to_hsv(*colour)
        expected = colorsys.hsv_to_rgb((hue + turns) % 1, saturation, value)
        torch.testing.assert_close(turned(colour, turns), torch.tensor(expected), atol=1e-6, rtol=0)


def test_turns_add_up_and_keep_lengths():
    """It is a rotation: two make one, and a colour's length stays."""
    a, b, both = rotation(torch.tensor([0.07, -0.21, -0.14]))
    torch.testing.assert_close(a @ b, both, atol=2e-6, rtol=0)
    colour = torch.tensor([0.8, 0.3, 0.1])
    torch.testing.assert_close((a @ colour).norm(), colour.norm())


PURE = {"red": (1, 0, 0), "yellow": (1, 1, 0), "green": (0, 1, 0), "blue": (0, 0, 1)}


@pytest.mark.parametrize("colour", [*PURE.values(), (0.7, 0.4, 0.3), (0.2, 0.5, 0.6)])
@pytest.mark.parametrize("turns", [-0.1, -0.05, 0.05, 0.1])
def test_the_hue_of_hsv_moves_the_same_way_by_about_as_much(colour, turns):
    before = colorsys.rgb_to_hsv(*map(float, colour))[0]
    after = colorsys.rgb_to_hsv(*turned([float(c) for c in colour], turns).clamp(0, 1).tolist())[0]
    moved = (after - before + 0.5) % 1 - 0.5
    assert math.copysign(1, moved) == math.copysign(1, turns)
    assert 0.3 < moved / turns < 2


def test_red_turns_towards_yellow():
    assert turned([0.7, 0.3, 0.3], 0.05)[1] > 0.32 > turned([0.7, 0.3, 0.3], -0.05)[1] + 0.02


def test_the_rotation_is_nearer_to_torchvisions_hue_than_its_reverse(images):
    for turns in (-0.1, -0.05, 0.05, 0.1):
        expected = F.adjust_hue(images, turns)
        there, back = (
            torch.einsum("ij,bjhw->bihw", matrix, images)
            for matrix in rotation(torch.tensor([turns, -turns]))
        )
        assert (there - expected).square().mean() < 0.5 * (back - expected).square().mean()


def test_gray_is_what_torchvision_rounds_to():
    assert GRAY == (0.2989, 0.587, 0.114)
    theirs = F.rgb_to_grayscale(RGB.view(3, 3, 1, 1)).flatten()
    torch.testing.assert_close(theirs, torch.tensor(GRAY))
