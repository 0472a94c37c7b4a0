"""Views on a CPU: what is compiled makes the dense products, and torchvision's views."""

import pytest
import torch
import torchvision.transforms.v2.functional as F
from torchvision.transforms import InterpolationMode

from ownlatent.views import Views
from ownlatent.views.bands import banded_views
from ownlatent.views.colour import Colour
from ownlatent.views.draw import Draw
from ownlatent.views.geometry import blur_radius, blurring, resampling

COUNT, SIZE = 12, 96


def boxes(length, *, whole, seed):
    generator = torch.Generator().manual_seed(seed)
    extent = (0.05 + 0.95 * torch.rand(COUNT, generator=generator)) * length
    if whole:
        extent = extent.round().clamp(min=1)
    start = torch.rand(COUNT, generator=generator) * (length - extent)
    return (start.floor() if whole else start), extent


def geometry(canvases, *, whole, blur=True):
    """Draws of which the colours are not used."""
    generator = torch.Generator().manual_seed(2)
    top, height = boxes(canvases.shape[2], whole=whole, seed=0)
    left, width = boxes(canvases.shape[3], whole=whole, seed=1)
    sigma = 0.1 + 1.9 * torch.rand(COUNT, generator=generator)
    sigma = sigma * (torch.rand(COUNT, generator=generator) < (0.7 if blur else 0.0))
    flip = torch.rand(COUNT, generator=generator) < 0.5
    none = torch.zeros(COUNT)
    no = none.bool()
    return Draw(top, left, height, width, flip, *[none] * 4, none.long(), no, sigma, no)


def resample(canvases, drawn, size):
    """The views with their colours as they are, and the mean of each before blur."""
    batch, channels = canvases.shape[:2]
    eye, zero = torch.eye(channels).expand(batch, -1, -1), torch.zeros(batch, channels, channels)
    infinity = torch.tensor([torch.inf])

    def made(matrix, pivot):
        colour = Colour(matrix, pivot, torch.zeros(batch, channels))
        return banded_views(canvases, drawn, colour, size, -infinity, infinity)

    return made(eye, zero), made(zero, eye).mean(dim=(2, 3))


def matrices(drawn, shape, size):
    """The dense matrices of rows, of columns and of the blur, ``[B, 1, size, ...]``."""
    y = resampling(drawn.top, drawn.height, None, size, shape[0])
    x = resampling(drawn.left, drawn.width, drawn.flip, size, shape[1])
    return y[:, None], x[:, None], blurring(drawn.sigma, size)[:, None]


@pytest.fixture(scope="module")
def canvases(scene):
    """uint8 ``[12, 3, 200, 170]``, pieces of one picture."""
    return torch.stack([scene[:, 4 * i : 4 * i + 200, 12 * i : 12 * i + 170] for i in range(COUNT)])


@pytest.mark.parametrize("size", [7, 32, 49, SIZE, 224])
def test_whole_boxes_are_torchvisions_crop_flip_and_blur(canvases, size):
    drawn = geometry(canvases, whole=True)
    views, means = resample(canvases, drawn, size)
    taps = 2 * blur_radius(size) + 1
    for index, canvas in enumerate(canvases):
        box = [int(x[index]) for x in drawn[:4]]
        expected = F.resized_crop(
            canvas.float(), *box, [size, size], InterpolationMode.BICUBIC, antialias=True
        )
        if drawn.flip[index]:
            expected = F.horizontal_flip(expected)
        mean = expected.mean(dim=(1, 2))
        torch.testing.assert_close(means[index], mean, atol=0.01, rtol=0)
        if drawn.sigma[index] > 0:
            expected = F.gaussian_blur(expected, [taps, taps], [float(drawn.sigma[index])] * 2)
        assert (views[index] - expected).abs().max() < 0.01


@pytest.mark.parametrize("blur", [False, True])
def test_any_boxes_are_the_dense_products(canvases, blur):
    """Boxes of squeezed canvases, which are not whole pixels."""
    drawn = geometry(canvases, whole=False, blur=blur)
    views, means = resample(canvases, drawn, SIZE)
    y, x, matrix = matrices(drawn, canvases.shape[2:], SIZE)
    sharp = y @ canvases.float() @ x.mT
    assert (means - sharp.mean(dim=(2, 3))).abs().max() < 0.01
    assert (views - matrix @ sharp @ matrix.mT).abs().max() < 0.01


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (3, 5), (SIZE, SIZE)], ids=str)
def test_small_and_narrow_canvases(shape):
    generator = torch.Generator().manual_seed(0)
    canvases = torch.randint(0, 256, (COUNT, 1, *shape), dtype=torch.uint8, generator=generator)
    drawn = geometry(canvases, whole=False)
    views, _ = resample(canvases, drawn, SIZE)
    y, x, matrix = matrices(drawn, shape, SIZE)
    expected = matrix @ y @ canvases.float() @ (matrix @ x).mT
    assert (views - expected).abs().max() < 0.01


def test_sixteen_bits(canvases):
    drawn = geometry(canvases, whole=False)
    deep = (canvases.to(torch.int32) * 257).to(torch.uint16)
    shallow, deep = (resample(each, drawn, SIZE)[0] for each in (canvases, deep))
    assert (deep / 257 - shallow).abs().max() < 0.01


@pytest.mark.parametrize("name", ["byol", "cifar-byol"])
def test_whatever_the_batch_the_views_are_the_same_bit_for_bit(canvases, name):
    """Alone, in another order, in parts of another size, on one thread or two."""
    generator = torch.Generator().manual_seed(0)
    count = 21
    many = canvases.repeat(2, 1, 1, 1)[:count]
    ids = torch.randint(-(2**62), 2**62, (count,), generator=generator)
    sizes = torch.randint(50, 700, (count, 2), generator=generator)
    make = Views(name, SIZE)
    whole = make(many, ids, 3, 1, sizes)
    for rows in ([0], [16], [count - 1, 3, 3], list(range(count - 1, -1, -1))):
        for part, all_of_it in zip(
            make(many[rows], ids[rows], 3, 1, sizes[rows]), whole, strict=True
        ):
            assert torch.equal(part, all_of_it[rows])
    threads = torch.get_num_threads()
    torch.set_num_threads(3 - min(threads, 2))
    try:
        again = make(many, ids, 3, 1, sizes)
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(a, b) for a, b in zip(whole, again, strict=True))
