"""The recipes against the papers; what is drawn, against the recipes and torchvision's crops.

100,000 draws at one seed. Shares are held to five standard errors; distributions to p > 1e-4 of a
Kolmogorov-Smirnov or chi-square test.
"""

import math
from itertools import permutations

import numpy as np
import pytest
import torch
from scipy import stats
from torchvision.transforms import RandomResizedCrop

from ownlatent.errors import UsageError
from ownlatent.views.draw import draw
from ownlatent.views.recipe import RECIPES, Recipe, recipes

N = 100_000
# Both styles; blur always, at times and never; solarize; strong jitter, and jitter always.
NAMES = ["byol", "cifar-byol", "simclr", "moco1", "dino"]
VIEWS = [(name, view) for name in NAMES for view in (0, 1)]


def drawn(name, view, *, size=(480, 640), canvas=None, ids=None, epoch=3, seed=5):
    recipe = recipes(name)[view] if isinstance(name, str) else name
    ids = torch.arange(N) if ids is None else ids
    sizes = torch.tensor(size).expand(len(ids), 2)
    epoch, seed = torch.tensor(epoch), torch.tensor(seed)
    return draw(recipe, view, ids, sizes, canvas or size, epoch=epoch, seed=seed)


DRAWS = {key: drawn(*key) for key in VIEWS}
ALL = pytest.mark.parametrize(("name", "view"), VIEWS)


def is_share(chosen, p):
    allowed = 5 * math.sqrt(p * (1 - p) / len(chosen))
    assert chosen.double().mean().item() == pytest.approx(p, abs=allowed)


def is_uniform(values, low, high):
    values = values.double().numpy()
    assert values.min() >= low - 1e-6 and values.max() <= high + 1e-6
    assert stats.kstest(values, stats.uniform(low, high - low).cdf).pvalue > 1e-4


def same_distribution(a, b):
    """Chi-square of two samples over cells of about equal counts; the values may repeat."""
    a, b = np.asarray(a, float), np.asarray(b, float)
    edges = np.unique(np.quantile(np.concatenate([a, b]), np.linspace(0, 1, 33)[1:-1]))
    table = np.stack([np.bincount(np.searchsorted(edges, x), minlength=33) for x in (a, b)])
    assert stats.chi2_contingency(table[:, table.sum(0) > 0]).pvalue > 1e-4


# The recipes. Smallest crop, probability of the jitter and its strengths (brightness, contrast,
# saturation, hue), and of each view the probabilities of blur and solarize.

PAPERS = {
    # BYOL, appendix B, table 6: T and T'.
    "byol": (0.08, 0.8, (0.4, 0.4, 0.2, 0.1), (1.0, 0.1), (0.0, 0.2)),
    # SimCLR, appendix A; official data_util.py at strength 1.
    "simclr": (0.08, 0.8, (0.8, 0.8, 0.8, 0.2), (0.5, 0.5), (0.0, 0.0)),
    # Official moco, main_moco.py: without and with --aug-plus.
    "moco1": (0.2, 1.0, (0.4, 0.4, 0.4, 0.4), (0.0, 0.0), (0.0, 0.0)),
    "moco2": (0.2, 0.8, (0.4, 0.4, 0.4, 0.1), (0.5, 0.5), (0.0, 0.0)),
    # Official moco-v3, main_moco.py; the smallest crop of the ResNets in CONFIG.md.
    "moco3": (0.2, 0.8, (0.4, 0.4, 0.2, 0.1), (1.0, 0.1), (0.0, 0.2)),
    # Official swav, multicropdataset.py and the scripts of two crops.
    "swav": (0.08, 0.8, (0.8, 0.8, 0.8, 0.2), (0.5, 0.5), (0.0, 0.0)),
    # Official barlowtwins, main.py.
    "barlow-twins": (0.08, 0.8, (0.4, 0.4, 0.2, 0.1), (1.0, 0.1), (0.0, 0.2)),
    # Official dino, main_dino.py; the smallest crop of the runs with two crops.
    "dino": (0.14, 0.8, (0.4, 0.4, 0.2, 0.1), (1.0, 0.1), (0.0, 0.2)),
    "dino-resnet": (0.14, 0.8, (0.4, 0.4, 0.2, 0.1), (1.0, 0.1), (0.0, 0.2)),
    # Official mae, main_pretrain.py: crop and flip; no colour.
    "mae": (0.2, 0.0, (0.4, 0.4, 0.2, 0.1), (0.0, 0.0), (0.0, 0.0)),
    "cifar-mae": (0.2, 0.0, (0.4, 0.4, 0.2, 0.1), (0.0, 0.0), (0.0, 0.0)),
    # solo-learn, scripts/pretrain/cifar: asymmetric.
    "cifar-byol": (0.08, 0.8, (0.4, 0.4, 0.2, 0.1), (0.0, 0.0), (0.0, 0.2)),
    # SimCLR, appendix B.9: strength 0.5, no blur.
    "cifar-simclr": (0.08, 0.8, (0.4, 0.4, 0.4, 0.1), (0.0, 0.0), (0.0, 0.0)),
    # Official moco, moco_cifar10_demo.ipynb: torchvision's default crop.
    "cifar-moco2": (0.08, 0.8, (0.4, 0.4, 0.4, 0.1), (0.0, 0.0), (0.0, 0.0)),
}


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_are_the_papers(name):
    area, jitter, strengths, blur, solarize = PAPERS[name]
    for view, recipe in enumerate(recipes(name)):
        assert recipe == Recipe(
            # In all of them:
            side=1.0,
            ratio=(3 / 4, 4 / 3),
            flip=0.5,
            grayscale=0.0 if name.endswith("mae") else 0.2,
            sigma=(0.1, 2.0),
            # Only DeepMind's code crops once and adds brightness.
            attempts=1 if name == "byol" else 10,
            style="deepmind" if name == "byol" else "torchvision",
            area=(area, 1.0),
            jitter=jitter,
            **dict(zip(("brightness", "contrast", "saturation", "hue"), strengths, strict=True)),
            blur=blur[view],
            solarize=solarize[view],
        )


# What is drawn from them.


@ALL
def test_flip_grayscale_blur_and_solarize(name, view):
    d, recipe = DRAWS[name, view], recipes(name)[view]
    is_share(d.flip, recipe.flip)
    is_share(d.grayscale, recipe.grayscale)
    is_share(d.sigma > 0, recipe.blur)
    is_share(d.solarize, recipe.solarize)


@pytest.mark.parametrize(("name", "view"), [("byol", 0), ("byol", 1), ("simclr", 0)])
def test_sigma_is_uniform(name, view):
    sigma = DRAWS[name, view].sigma
    is_uniform(sigma[sigma > 0], *recipes(name)[view].sigma)


@ALL
def test_jitter(name, view):
    """All four or none; DeepMind's brightness is added, torchvision's a factor."""
    d, recipe = DRAWS[name, view], recipes(name)[view]
    jittered = d.contrast != 1.0
    is_share(jittered, recipe.jitter)
    none = 0.0 if name == "byol" else 1.0
    for values, neutral, strength in (
        (d.brightness, none, recipe.brightness),
        (d.contrast, 1.0, recipe.contrast),
        (d.saturation, 1.0, recipe.saturation),
        (d.hue, 0.0, recipe.hue),
    ):
        assert (values[~jittered] == neutral).all()
        is_uniform(values[jittered], neutral - strength, neutral + strength)


def test_strength_above_one_draws_no_negative_factor():
    """torchvision's ColorJitter: uniform from max(0, 1 - strength) to 1 + strength."""
    recipe = Recipe(jitter=1.0, style="torchvision", brightness=1.5, contrast=1.5, saturation=1.5)
    d = drawn(recipe, 0)
    for values in (d.brightness, d.contrast, d.saturation):
        is_uniform(values, 0.0, 2.5)


@ALL
def test_every_order_is_equally_likely(name, view):
    order = DRAWS[name, view].order
    code = (order * torch.tensor([64, 16, 4, 1])).sum(1)
    counts = {
        p: int((code == 64 * p[0] + 16 * p[1] + 4 * p[2] + p[3]).sum())
        for p in permutations(range(4))
    }
    assert sum(counts.values()) == N
    assert stats.chisquare(list(counts.values())).pvalue > 1e-4


# Crops.


@ALL
def test_area_is_uniform_and_ratio_log_uniform(name, view):
    """A square image never clamps a crop of less than 3/4 of it, and larger draws stay larger."""
    d, (least, most) = drawn(name, view, size=(4000, 4000)), recipes(name)[view].area
    area = d.height * d.width / 4000**2
    small = area < 0.75 - 1e-3
    if name == "byol":  # one try; of ten, the first that fits favours small crops
        is_share(small, (0.75 - 1e-3 - least) / (most - least))
    # Sides are whole pixels, so area and ratio are exact to 0.2 % at worst.
    assert area.min() > least * 0.998
    is_uniform(area[small].clamp(least, 0.749), least, 0.749)
    ratio = (d.width / d.height)[small].log()
    is_uniform(ratio.clamp(math.log(3 / 4), math.log(4 / 3)), math.log(3 / 4), math.log(4 / 3))


def test_byol_crops_once_and_clamps():
    """Against numpy's draws of what the official code does: one box, clamped to the image."""
    generator = np.random.default_rng(0)
    for full_height, full_width in ((480, 640), (300, 900), (3, 5)):  # the last shows the rounding
        area = generator.uniform(0.08, 1, N) * full_height * full_width
        ratio = np.exp(generator.uniform(math.log(3 / 4), math.log(4 / 3), N))
        d = drawn("byol", 0, size=(full_height, full_width))
        same_distribution(d.width, np.sqrt(area * ratio).round().clip(1, full_width))
        same_distribution(d.height, np.sqrt(area / ratio).round().clip(1, full_height))


@pytest.mark.parametrize("size", [(32, 32), (48, 64)])
def test_cifar_crops_as_torchvision_does(size):
    image, draws = torch.zeros(1, *size), 4000
    torch.manual_seed(0)
    theirs = np.array(
        [RandomResizedCrop.get_params(image, [0.08, 1.0], [3 / 4, 4 / 3]) for _ in range(draws)]
    ).T
    d = drawn("cifar-byol", 0, size=size)
    for ours, their in zip((d.top, d.left, d.height, d.width), theirs, strict=True):
        same_distribution(ours, their)
    same_distribution(d.height * d.width, theirs[2] * theirs[3])


def place(corner, extent, full, noise):
    """A corner as a share of the places that fit. With v uniform, (corner + v) / places is uniform
    whatever their number, if the corner is."""
    v = torch.rand(N, generator=torch.Generator().manual_seed(noise))
    return (corner + v) / (full - extent + 1)


@ALL
def test_corners_are_uniform_over_the_places_that_fit(name, view):
    d = DRAWS[name, view]
    is_uniform(place(d.top, d.height, 480, 0), 0, 1)
    is_uniform(place(d.left, d.width, 640, 1), 0, 1)


SHAPES = [(1, 1), (1, 500), (500, 1), (2, 3), (7, 2000), (2000, 7), (32, 32), (480, 640)]


@pytest.mark.parametrize("size", SHAPES, ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_boxes_are_whole_pixels_inside_the_image(name, size):
    d = drawn(name, 0, size=size, ids=torch.arange(5000))
    box = torch.stack([d.top, d.left, d.height, d.width])
    assert torch.equal(box, box.round())
    assert d.top.min() >= 0 and d.left.min() >= 0
    assert d.height.min() >= 1 and d.width.min() >= 1
    assert (d.top + d.height).max() <= size[0] and (d.left + d.width).max() <= size[1]


@ALL
def test_a_canvas_changes_nothing_but_the_scale(name, view):
    """The box is drawn in the true image's pixels; a squeezed canvas only stretches it."""
    size, canvas = (300, 900), (64, 48)
    true, squeezed = drawn(name, view, size=size), drawn(name, view, size=size, canvas=canvas)
    for field in true._fields:
        scale = {"top": 0, "height": 0, "left": 1, "width": 1}.get(field)
        if scale is None:
            assert torch.equal(getattr(true, field), getattr(squeezed, field))
        else:
            expected = getattr(true, field).double() * canvas[scale] / size[scale]
            torch.testing.assert_close(getattr(squeezed, field).double(), expected)
    assert (squeezed.top + squeezed.height).max() <= canvas[0] * (1 + 1e-6)
    assert (squeezed.left + squeezed.width).max() <= canvas[1] * (1 + 1e-6)


# Independence.


def numbers(d, noise=0):
    """The names of the parameters, and ``[parameter, N]``."""
    names = ["top", "left", "area", "ratio", "flip", "jitter", "order", "gray", "blur", "solarize"]
    columns = [
        place(d.top, d.height, 480, noise),
        place(d.left, d.width, 640, noise + 1),
        d.height * d.width,
        d.width / d.height,
        d.flip,
        d.contrast != 1.0,
        d.order[:, 0] * 24 + d.order[:, 1] * 6 + d.order[:, 2],
        d.grayscale,
        d.sigma,
        d.solarize,
    ]
    jitter = d.brightness, d.contrast, d.saturation, d.hue
    names += ["brightness", "contrast", "saturation", "hue"]
    return names, torch.stack([column.double() for column in (*columns, *jitter)])


def test_parameters_are_independent():
    """No correlation between any two parameters, nor of their distances from their means."""
    names, table = numbers(DRAWS["byol", 1])
    spread = (table - table.mean(1, keepdim=True)).abs()
    # Jitter's own parameters are all neutral together when it is off, and clamping ties a crop's
    # area to its ratio: those pairs depend on each other by design.
    together = {"jitter", "brightness", "contrast", "saturation", "hue"}
    for kind in (table, spread):
        correlation = torch.corrcoef(kind)
        for i, one in enumerate(names):
            for j, other in enumerate(names[:i]):
                by_design = {one, other} <= together or {one, other} == {"area", "ratio"}
                assert by_design or abs(correlation[i, j]) < 5 / N**0.5, (one, other)


def test_jitter_strengths_are_independent_of_each_other():
    d = DRAWS["byol", 1]
    on = d.contrast != 1.0
    table = torch.stack([d.brightness, d.contrast, d.saturation, d.hue])[:, on].double()
    for kind in (table, (table - table.mean(1, keepdim=True)).abs()):
        correlation = torch.corrcoef(kind).fill_diagonal_(0)
        assert correlation.abs().max() < 5 / int(on.sum()) ** 0.5


@pytest.mark.parametrize("other", ["view", "epoch", "seed", "id"])
def test_draws_share_nothing(other):
    ids = torch.arange(N)
    one = numbers(DRAWS["byol", 1])[1]
    two = {
        "view": draw_as_first_view,
        "epoch": lambda: drawn("byol", 1, epoch=4),
        "seed": lambda: drawn("byol", 1, seed=6),
        "id": lambda: drawn("byol", 1, ids=ids + 1),
    }[other]()
    two = numbers(two, noise=2)[1]
    correlation = torch.corrcoef(torch.cat([one, two]))[: len(one), len(one) :]
    assert correlation.abs().max() < 5 / N**0.5


def draw_as_first_view():
    """The recipe of the second view drawn as the first, so that every parameter varies."""
    return draw(
        recipes("byol")[1],
        0,
        torch.arange(N),
        torch.tensor([480, 640]).expand(N, 2),
        (480, 640),
        epoch=torch.tensor(3),
        seed=torch.tensor(5),
    )


def test_an_unknown_recipe_is_refused_with_the_known_names():
    with pytest.raises(UsageError, match=", ".join(RECIPES)):
        recipes("simclear")
