"""Large views on a CPU: the banded products are the dense ones, and torchvision's."""

import pytest
import torch
import torchvision.transforms.v2.functional as F
from torchvision.transforms import InterpolationMode

from ownlatent.views import Views
from ownlatent.views.bands import BLOCK, CHUNK, Axis, linear_views
from ownlatent.views.colour import Colour
from ownlatent.views.engine import LARGE
from ownlatent.views.geometry import blur_radius, blurring, resampling

COUNT = 12


def boxes(length, *, whole, seed):
    generator = torch.Generator().manual_seed(seed)
    extent = (0.05 + 0.95 * torch.rand(COUNT, generator=generator)) * length
    if whole:
        extent = extent.round().clamp(min=1)
    start = torch.rand(COUNT, generator=generator) * (length - extent)
    return (start.floor() if whole else start), extent


def axes(canvases, *, whole, blur=True):
    generator = torch.Generator().manual_seed(2)
    rows = boxes(canvases.shape[2], whole=whole, seed=0)
    columns = boxes(canvases.shape[3], whole=whole, seed=1)
    sigma = 0.1 + 1.9 * torch.rand(COUNT, generator=generator)
    sigma = sigma * (torch.rand(COUNT, generator=generator) < (0.7 if blur else 0.0))
    flip = torch.rand(COUNT, generator=generator) < 0.5
    return Axis(*rows, torch.zeros_like(flip), sigma), Axis(*columns, flip, sigma)


def resample(canvases, rows, columns, size):
    """The views with their colours as they are, and the mean of each before blur."""
    batch, channels = canvases.shape[:2]
    eye, zero = torch.eye(channels).expand(batch, -1, -1), torch.zeros(batch, channels, channels)

    def made(matrix, pivot):
        colour = Colour(matrix, pivot, torch.zeros(batch, channels))
        return torch.stack([v.clone() for v in linear_views(canvases, rows, columns, size, colour)])

    return made(eye, zero), made(zero, eye).mean(dim=(2, 3))


@pytest.fixture(scope="module")
def canvases(scene):
    """uint8 ``[12, 3, 200, 170]``, pieces of one picture."""
    return torch.stack([scene[:, 4 * i : 4 * i + 200, 12 * i : 12 * i + 170] for i in range(COUNT)])


@pytest.mark.parametrize("size", [LARGE, 3 * BLOCK + 1, 160, 224])
def test_whole_boxes_are_torchvisions_crop_flip_and_blur(canvases, size):
    rows, columns = axes(canvases, whole=True)
    views, means = resample(canvases, rows, columns, size)
    taps = 2 * blur_radius(size) + 1
    for index, canvas in enumerate(canvases):
        box = [int(x[index]) for x in (rows.start, columns.start, rows.extent, columns.extent)]
        expected = F.resized_crop(
            canvas.float(), *box, [size, size], InterpolationMode.BICUBIC, antialias=True
        )
        if columns.flip[index]:
            expected = F.horizontal_flip(expected)
        mean = expected.mean(dim=(1, 2))
        torch.testing.assert_close(means[index], mean, atol=0.01, rtol=0)
        if rows.sigma[index] > 0:
            expected = F.gaussian_blur(expected, [taps, taps], [float(rows.sigma[index])] * 2)
        assert (views[index] - expected).abs().max() < 0.01


@pytest.mark.parametrize("blur", [False, True])
def test_any_boxes_are_the_dense_products(canvases, blur):
    """Boxes of squeezed canvases, which are not whole pixels."""
    size = LARGE
    rows, columns = axes(canvases, whole=False, blur=blur)
    views, means = resample(canvases, rows, columns, size)
    y = resampling(rows.start, rows.extent, None, size, canvases.shape[2])
    x = resampling(columns.start, columns.extent, columns.flip, size, canvases.shape[3])
    sharp = y[:, None] @ canvases.float() @ x[:, None].mT
    matrix = blurring(rows.sigma, size)[:, None]
    assert (means - sharp.mean(dim=(2, 3))).abs().max() < 0.01
    assert (views - matrix @ sharp @ matrix.mT).abs().max() < 0.01


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (3, 5), (LARGE, LARGE)], ids=str)
def test_small_and_narrow_canvases(shape):
    generator = torch.Generator().manual_seed(0)
    canvases = torch.randint(0, 256, (COUNT, 1, *shape), dtype=torch.uint8, generator=generator)
    rows, columns = axes(canvases, whole=False)
    views, _ = resample(canvases, rows, columns, LARGE)
    y = resampling(rows.start, rows.extent, None, LARGE, shape[0])
    x = resampling(columns.start, columns.extent, columns.flip, LARGE, shape[1])
    matrix = blurring(rows.sigma, LARGE)[:, None]
    expected = matrix @ y[:, None] @ canvases.float() @ (matrix @ x[:, None]).mT
    assert (views - expected).abs().max() < 0.01


def test_sixteen_bits(canvases):
    rows, columns = axes(canvases, whole=False)
    deep = (canvases.to(torch.int32) * 257).to(torch.uint16)
    shallow, deep = (resample(each, rows, columns, LARGE)[0] for each in (canvases, deep))
    assert (deep / 257 - shallow).abs().max() < 0.01


@pytest.mark.parametrize("name", ["byol", "cifar-byol"])
def test_whatever_the_batch_the_views_are_the_same_bit_for_bit(canvases, name):
    """Alone, in another order, on either side of a chunk's border, on one thread or two."""
    generator = torch.Generator().manual_seed(0)
    count = CHUNK + 5
    many = canvases.repeat(2, 1, 1, 1)[:count]
    ids = torch.randint(-(2**62), 2**62, (count,), generator=generator)
    sizes = torch.randint(50, 700, (count, 2), generator=generator)
    make = Views(name, LARGE)
    whole = make(many, ids, 3, 1, sizes)
    for rows in ([0], [CHUNK], [count - 1, 3, 3], list(range(count - 1, -1, -1))):
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
