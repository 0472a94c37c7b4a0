"""BYOL for audio's operations against their formulas, and views as a pure function."""

import math

import pytest
import torch
import torch.nn.functional as F

import ownlatent as ol
from ownlatent.philox import box_muller, uniform
from ownlatent.views.sounds import (
    SOUND_RECIPES,
    SoundRecipe,
    SoundViews,
    fade,
    log_mix,
    log_noise,
    resized_crop,
)

COUNT, BANDS, FRAMES = 40, 16, 24
POOL = 3 * torch.randn(COUNT, 1, BANDS, FRAMES, generator=torch.Generator().manual_seed(0)) - 8
IDS = torch.arange(COUNT) * 7919 - 3


def views(recipe: str | SoundRecipe) -> SoundViews:
    return SoundViews(recipe, POOL, IDS, -8.0, 3.0)


def plain(recipe: SoundRecipe) -> SoundViews:
    """Without what normalises afterwards."""
    made = views(recipe)
    made.post_mean.fill_(0)
    made.post_std.fill_(1)
    return made


def test_log_mix_mixes_energies() -> None:
    """BYOL-A's code, log_mixup_exp: log(alpha exp(xa) + (1 - alpha) exp(xb) + eps)."""
    a, b = torch.tensor([2.0, 8.0]), torch.tensor([6.0, 4.0])
    mixed = log_mix(a.log().view(2, 1, 1, 1), b.log().view(2, 1, 1, 1), torch.tensor([0.25, 0.5]))
    torch.testing.assert_close(mixed.flatten(), torch.tensor([math.log(3), math.log(6)]))


def test_noise_is_byol_as() -> None:
    """BYOL-A's code, MixGaussianNoise: log((1 - l) exp(x) + exp(z)), z of deviation l."""
    x = torch.tensor([0.0, 1.0]).view(2, 1, 1, 1)
    normal = torch.tensor([2.0, -1.0]).view(2, 1, 1, 1)
    made = log_noise(x, normal, torch.tensor([0.25, 0.1])).flatten()
    expected = [math.log(0.75 + math.exp(0.5)), math.log(0.9 * math.e + math.exp(-0.1))]
    torch.testing.assert_close(made, torch.tensor(expected))


def test_a_fade_is_a_line_over_time() -> None:
    """BYOL-A v2's code, RandomLinearFader: x + linspace(head, tail, T)."""
    made = fade(torch.zeros(2, 1, 3, 5), torch.tensor([-1.0, 0.5]), torch.tensor([1.0, 0.5]))
    assert made[0, 0].tolist() == [[-1.0, -0.5, 0.0, 0.5, 1.0]] * 3
    assert made[1].unique().tolist() == [0.5]


def test_the_crop_is_a_resized_box_of_the_canvas() -> None:
    """Against a canvas that is filled, cut and resized by torch, box by box."""
    generator = torch.Generator().manual_seed(1)
    drawn = torch.rand(COUNT, 4, generator=generator)
    made = resized_crop(POOL, drawn, (0.6, 1.5), 1.5)
    long = 36
    canvas = F.pad(POOL, (6, 6))
    assert canvas.shape[-1] == long
    shapes = set()
    for row in range(COUNT):
        u = drawn[row].tolist()
        height = min(int((0.6 + 0.9 * u[0]) * BANDS), BANDS)
        width = min(int((0.6 + 0.9 * u[1]) * FRAMES), long)
        top, left = int(u[2] * (BANDS - height + 1)), int(u[3] * (long - width + 1))
        box = canvas[row : row + 1, :, top : top + height, left : left + width]
        expected = F.interpolate(box, (BANDS, FRAMES), mode="bicubic", antialias=True)
        torch.testing.assert_close(made[row : row + 1], expected, rtol=0, atol=1e-3)
        shapes.add((height == BANDS, width > FRAMES))
    assert len(shapes) == 4  # boxes higher and longer than the spectrogram are among them


@pytest.mark.parametrize("at", range(4))
def test_each_operation_follows_its_draw(at: int) -> None:
    """The distribution that the paper names: l from U(0, 0.4), gains from U(-1, 1)."""
    epoch, seed = torch.tensor(3), 5
    drawn = uniform(IDS, seed=seed, epoch=epoch, stream=1, count=8)
    x = (POOL + 8) / 3
    recipe, expected = [
        (SoundRecipe(), x),
        (SoundRecipe(fade=1.0), fade(x, 2 * drawn[:, 5] - 1, 2 * drawn[:, 6] - 1)),
        (
            SoundRecipe(crop=(0.6, 1.5), canvas=1.5),
            resized_crop(x, drawn[:, 1:5], (0.6, 1.5), 1.5),
        ),
        (SoundRecipe(mix=0.4), None),
    ][at]
    made = plain(recipe)(POOL, IDS, epoch, seed)[1]
    if expected is not None:
        torch.testing.assert_close(made, expected)
        return
    # Some one clip of the data explains each mixture, and not always the same.
    energies = x.flatten(1).exp()
    share = 0.4 * drawn[:, :1]
    rest = (made.flatten(1).exp() - (1 - share) * energies) / share
    distance = torch.cdist(rest, energies)
    assert bool((distance.amin(1) < 0.01 * energies.norm(dim=1).max()).all())
    assert len(distance.argmin(1).unique()) > COUNT / 3


def test_noise_follows_its_draw() -> None:
    """Shares from U(0, 0.3) by one draw, the noise itself from a stream of its own."""
    epoch = torch.tensor(3)
    share = 0.3 * uniform(IDS, seed=5, epoch=epoch, stream=1, count=8)[:, 7]
    made = plain(SoundRecipe(noise=0.3))(POOL, IDS, epoch, 5)[1]
    rest = made.exp() - (1 - share)[:, None, None, None] * ((POOL + 8) / 3).exp()
    normal = (rest.log() / share[:, None, None, None]).double()
    assert abs(normal.mean()) < 0.05 and abs(normal.std() - 1) < 0.05
    shared = uniform(IDS, seed=5, epoch=epoch, stream=1, count=2 * BANDS * FRAMES)
    same = box_muller(*shared.chunk(2, 1)).view_as(normal)
    assert abs((same * normal).mean()) < 0.05


def test_noise_is_normal() -> None:
    ids = torch.arange(2000)
    drawn = uniform(ids, seed=0, epoch=torch.tensor(0), stream=0, count=20)
    normal = box_muller(*drawn.chunk(2, 1)).double()
    assert abs(normal.mean()) < 0.03 and abs(normal.std() - 1) < 0.02
    assert abs((normal.abs() < 1.96).double().mean() - 0.95) < 0.01


@pytest.mark.parametrize("name", SOUND_RECIPES)
def test_a_view_depends_on_nothing_but_its_clip_and_the_data(name: str) -> None:
    made = views(name)
    whole = made(POOL, IDS, 2, 9)
    order = torch.randperm(COUNT, generator=torch.Generator().manual_seed(2))[:17]
    some = made(POOL[order], IDS[order], torch.tensor(2), torch.tensor(9))
    again = views(name)(POOL, IDS, 2, 9)
    for one, part, other in zip(whole, some, again, strict=True):
        torch.testing.assert_close(part, one[order], rtol=0, atol=1e-5)
        torch.testing.assert_close(other, one, rtol=0, atol=0)
    draws = [made(POOL, IDS, 3, 9), made(POOL, IDS, 2, 8), made(POOL, IDS + 1, 2, 9), whole[::-1]]
    for changed in draws:  # two boxes may be alike by chance
        differ = (changed[0] - whole[0]).abs().flatten(1).amax(1) > 1e-3
        assert differ.double().mean() > 0.8


@pytest.mark.parametrize("name", SOUND_RECIPES)
def test_views_are_normalised_by_the_datas(name: str) -> None:
    """Other epochs' views come out near mean 0 and deviation 1: 40 clips tell it well enough."""
    many = torch.cat(views(name)(POOL, IDS, 4, 1))
    assert abs(many.mean()) < 0.1 and abs(many.std() - 1) < 0.1


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(ol.UsageError, match="choose one of audio, audio-fade"):
        views("rows")
