"""The resampling and blur matrices against torchvision, on real photos.

Differences are in grey levels, 255 to the range, with float32's rounding on both sides.
"""

import pytest
import torch
import torch.nn.functional
import torchvision.transforms.v2.functional as F
from torchvision.transforms import InterpolationMode

from ownlatent.views.geometry import blur_radius, blurring, resampling

LEVEL = 0.01


def resize(image, top, left, height, width, size, flip=False):
    """``[C, H, W]`` to ``[C, size, size]`` by two matrices."""
    box = [torch.tensor([float(x)]) for x in (top, height, left, width)]
    rows = resampling(box[0], box[1], None, size, image.shape[1])[0]
    columns = resampling(box[2], box[3], torch.tensor([flip]), size, image.shape[2])[0]
    return rows @ image @ columns.T


def torchvisions(image, top, left, height, width, size, flip=False):
    image = F.resized_crop(
        image, top, left, height, width, [size, size], InterpolationMode.BICUBIC, antialias=True
    )
    return F.horizontal_flip(image) if flip else image


BOXES = [
    # top, left, height, width, size of the view
    pytest.param(0, 0, 256, 320, 224, id="whole, shrunk"),
    pytest.param(0, 0, 256, 320, 32, id="whole, shrunk 10 times"),
    pytest.param(16, 48, 224, 224, 224, id="not resized"),
    pytest.param(100, 37, 73, 81, 224, id="enlarged 3 times"),
    pytest.param(3, 250, 200, 70, 96, id="one axis shrunk, one enlarged"),
    pytest.param(255, 319, 1, 1, 24, id="the last pixel"),
    pytest.param(0, 0, 1, 320, 48, id="one row"),
    pytest.param(200, 11, 31, 309, 1, id="to one pixel"),
    pytest.param(5, 5, 97, 89, 31, id="odd sizes"),
]


@pytest.mark.parametrize("flip", [False, True], ids=["straight", "flipped"])
@pytest.mark.parametrize(("top", "left", "height", "width", "size"), BOXES)
def test_crop_and_resize_are_torchvisions(scene, top, left, height, width, size, flip):
    image = scene.float()
    ours = resize(image, top, left, height, width, size, flip)
    theirs = torchvisions(image, top, left, height, width, size, flip)
    assert (ours - theirs).abs().max() < LEVEL


def test_crop_and_resize_of_many_boxes_at_once(photos):
    """A batch, each image with its own box and flip, as the views use it."""
    generator = torch.Generator().manual_seed(0)
    count, size = 64, 24
    extent = torch.randint(1, 33, (2, count), generator=generator)
    corner = (torch.rand(2, count, generator=generator) * (33 - extent)).long()
    flip = torch.rand(count, generator=generator) < 0.5
    rows = resampling(corner[0].float(), extent[0].float(), None, size, 32)
    columns = resampling(corner[1].float(), extent[1].float(), flip, size, 32)
    images = photos[:count].float()
    ours = rows[:, None] @ images @ columns[:, None].transpose(-1, -2)
    for i in range(count):
        box = [int(x) for x in (*corner[:, i], *extent[:, i])]
        theirs = torchvisions(images[i], *box, size, bool(flip[i]))
        assert (ours[i] - theirs).abs().max() < LEVEL


def test_far_from_the_origin_float32_keeps_its_digits(scene):
    """A box near the end of a long axis: the same as torchvision's, which crops first."""
    image = torch.nn.functional.pad(scene.float()[:, :4], (20_000, 0))
    ours = resize(image, 0, 20_017, 4, 201, 64)
    assert (ours - torchvisions(image, 0, 20_017, 4, 201, 64)).abs().max() < LEVEL


@pytest.mark.parametrize("size", [1, 7, 32, 224])
@pytest.mark.parametrize("length", [1, 5, 48, 256])
def test_rows_sum_to_one_for_any_box(size, length):
    """Also for boxes of a squeezed canvas, which are no whole pixels and may be far less than
    one."""
    generator = torch.Generator().manual_seed(length)
    extent = length * torch.rand(200, generator=generator).clamp(min=0.004)
    start = (length - extent) * torch.rand(200, generator=generator)
    weights = resampling(start, extent, None, size, length)
    assert weights.shape == (200, size, length)
    torch.testing.assert_close(weights.sum(2), torch.ones(200, size), atol=2e-6, rtol=0)
    assert weights.abs().sum(2).max() < 2  # bicubic's is 1.25 at most, more where a box cuts it
    assert ((weights != 0).sum(2) > 0).all()


@pytest.mark.parametrize("extent", [40.0, 13.7, 2.3])
def test_a_fractional_box_is_where_it_says(extent):
    """Of the function x of the pixels' centres, an enlarged view shows the sample points.

    Bicubic interpolation is exact on lines away from the box's border; row i looks at
    start + (i + 1/2) extent / size.
    """
    size, length, start = 64, 100, 30.37
    line = torch.arange(length) + 0.5
    weights = resampling(torch.tensor([start]), torch.tensor([extent]), None, size, length)[0]
    expected = start + (torch.arange(size) + 0.5) * extent / size
    inner = (expected > start + 2.5) & (expected < start + extent - 2.5)
    seen = weights @ line
    torch.testing.assert_close(seen[inner], expected[inner], atol=1e-3, rtol=0)
    assert (seen - expected).abs().max() < 0.6  # near the border taps are missing


@pytest.mark.parametrize(
    ("start", "extent", "used"),
    [(10.25, 5.5, [10, 11, 12, 13, 14, 15]), (10.75, 4.5, [11, 12, 13, 14]), (10.7, 0.1, [11])],
)
def test_a_fractional_box_reads_the_pixels_it_rounds_to_and_no_other(start, extent, used):
    weights = resampling(torch.tensor([start]), torch.tensor([extent]), None, 64, 32)[0]
    assert (weights != 0).any(0).nonzero().flatten().tolist() == used


@pytest.mark.parametrize("squeeze", [(0.5, 0.5), (0.31, 0.87)])
def test_a_squeezed_canvas_is_unsqueezed(scene, squeeze):
    """The box of the true image, mapped to the canvas, shows the same smooth picture."""
    smooth = F.gaussian_blur(scene.float(), [31, 31], [8.0, 8.0])
    canvas_size = [round(256 * squeeze[0]), round(320 * squeeze[1])]
    canvas = F.resize(smooth, canvas_size, InterpolationMode.BICUBIC, antialias=True)
    y, x = canvas_size[0] / 256, canvas_size[1] / 320
    top, left, height, width = 61, 83, 120, 140
    ours = resize(canvas, top * y, left * x, height * y, width * x, 48)
    theirs = torchvisions(smooth, top, left, height, width, 48)
    assert (ours - theirs).abs().mean() < 0.3
    shifted = resize(canvas, (top + 3) * y, left * x, height * y, width * x, 48)
    assert (shifted - theirs).abs().mean() > 1  # three pixels off would be seen


# Blur.


def blur(images, sigma):
    matrix = blurring(torch.tensor(sigma), images.shape[-1])
    return matrix[:, None] @ images @ matrix[:, None].transpose(-1, -2)


@pytest.mark.parametrize(("size", "taps"), [(224, 23), (96, 9), (32, 3), (20, 3)])
def test_blur_is_torchvisions(scene, size, taps):
    sigma = [0.1, 0.5, 1.0, 1.7, 2.0]
    image = scene.float()[:, :size, :size]
    ours = blur(image.expand(5, -1, -1, -1), sigma)
    for got, s in zip(ours, sigma, strict=True):
        assert (got - F.gaussian_blur(image, [taps, taps], [s, s])).abs().max() < LEVEL


@pytest.mark.parametrize(
    ("size", "radius"), [(224, 11), (160, 8), (96, 4), (32, 1), (20, 1), (19, 0), (2, 0), (1, 0)]
)
def test_radius_is_byols(size, radius):
    """As in the official code, int((size / 10) / 2), so 23 taps at 224."""
    assert blur_radius(size) == radius == int(size / 10 / 2)


def test_no_blur_is_the_identity_exactly():
    assert torch.equal(blurring(torch.zeros(2), 224), torch.eye(224).expand(2, -1, -1))


def test_blur_keeps_constants():
    matrix = blurring(torch.linspace(0.1, 2.0, 20), 224)
    torch.testing.assert_close(matrix.sum(2), torch.ones(20, 224), atol=2e-6, rtol=0)
    assert matrix.min() >= 0
