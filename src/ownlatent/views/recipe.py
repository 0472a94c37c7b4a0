"""Recipes: the distribution each view is drawn from, as data.

A recipe says what is random about one view; :mod:`.draw` draws from it and :mod:`.engine` applies
the draw. The order of operations is the paper's: crop, flip, colour jitter, grayscale, blur,
solarize, clip, normalise.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar

from ownlatent.errors import UsageError


@dataclass(frozen=True)
class Recipe:
    """The distribution of one view. Probabilities are in [0, 1]; lengths are pixels of the view."""

    area: tuple[float, float] = (0.08, 1.0)
    """Crop area as a fraction of the image, uniform."""
    side: float = 1.0
    """Side of the view as a fraction of the global views'."""
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    """Crop width over height in true pixels, log-uniform."""
    attempts: int = 1
    """Boxes tried until one fits in the image; when none does, the first is clamped to it."""
    flip: float = 0.5
    jitter: float = 0.8
    """Probability of the four colour operations below, in one random order."""
    brightness: float = 0.4
    contrast: float = 0.4
    saturation: float = 0.2
    hue: float = 0.1
    """Largest rotation of the hue, as a fraction of a turn."""
    style: Literal["deepmind", "torchvision"] = "deepmind"
    """Brightness added and contrast about each channel's mean, or both as torchvision has them:
    brightness multiplied and contrast about the mean of the grayscale image."""
    grayscale: float = 0.2
    blur: float = 0.0
    sigma: tuple[float, float] = (0.1, 2.0)
    """Standard deviation of the blur, uniform."""
    solarize: float = 0.0


# BYOL, appendix B and table 6: T blurs always, T' rarely, and T' alone solarizes.
_BYOL = Recipe(blur=1.0), Recipe(blur=0.1, solarize=0.2)

# The others' papers used torchvision's crops and colours.
_TORCHVISION = Recipe(attempts=10, style="torchvision")
_BARLOW = replace(_TORCHVISION, blur=1.0), replace(_TORCHVISION, blur=0.1, solarize=0.2)
_SIMCLR = replace(_TORCHVISION, brightness=0.8, contrast=0.8, saturation=0.8, hue=0.2, blur=0.5)
_MOCO2 = replace(_TORCHVISION, area=(0.2, 1.0), saturation=0.4, blur=0.5)
# (MoCo's first code makes gray before it jitters; here it comes after, as in all others.)
_MOCO1 = replace(_MOCO2, jitter=1.0, hue=0.4, blur=0.0)

# MAE crops and flips, nothing else.
_MAE = replace(_TORCHVISION, area=(0.2, 1.0), jitter=0.0, grayscale=0.0)

# The small-image forms used by published CIFAR runs: no blur, and half SimCLR's jitter, which with
# torchvision's default crop is also what MoCo's own CIFAR demo has.
_CIFAR = _TORCHVISION
_CIFAR_SIMCLR = replace(_CIFAR, saturation=0.4)

RECIPES: dict[str, tuple[Recipe, Recipe]] = {
    "byol": _BYOL,
    "simclr": (_SIMCLR, _SIMCLR),
    "moco1": (_MOCO1, _MOCO1),
    "moco2": (_MOCO2, _MOCO2),
    "moco3": (replace(_BARLOW[0], area=(0.2, 1.0)), replace(_BARLOW[1], area=(0.2, 1.0))),
    "swav": (_SIMCLR, _SIMCLR),
    "mae": (_MAE, _MAE),
    "barlow-twins": _BARLOW,
    "dino": (replace(_BARLOW[0], area=(0.14, 1.0)), replace(_BARLOW[1], area=(0.14, 1.0))),
    # The same for its ResNet, whose README names SwAV's areas with local crops.
    "dino-resnet": (replace(_BARLOW[0], area=(0.14, 1.0)), replace(_BARLOW[1], area=(0.14, 1.0))),
    "cifar-byol": (_CIFAR, replace(_CIFAR, solarize=0.2)),
    "cifar-simclr": (_CIFAR_SIMCLR, _CIFAR_SIMCLR),
    "cifar-mae": (_MAE, _MAE),
    "cifar-moco2": (_CIFAR_SIMCLR, _CIFAR_SIMCLR),
}
"""The two global views, by name."""

# With local crops, the area of the global ones, and how a local one differs from the first: SwAV's,
# DINO's, and for small images the areas and sides of solo-learn's, 18 pixels of 32.
_LOCAL: dict[str, tuple[tuple[float, float], dict[str, Any]]] = {
    "swav": ((0.14, 1.0), {"area": (0.05, 0.14), "side": 96 / 224}),
    "dino": ((0.4, 1.0), {"area": (0.05, 0.4), "side": 96 / 224, "blur": 0.5, "solarize": 0.0}),
    "dino-resnet": (
        (0.14, 1.0),
        {"area": (0.05, 0.14), "side": 96 / 224, "blur": 0.5, "solarize": 0.0},
    ),
    "cifar": ((0.2, 1.0), {"area": (0.08, 0.5), "side": 18 / 32, "solarize": 0.0}),
}


Made = TypeVar("Made")


def called(name: str, known: Mapping[str, Made], of: str = "") -> Made:
    """What goes by a name among recipes of views.

    Raises:
        UsageError: nothing does.
    """
    if name not in known:
        raise UsageError(f"No views{of} are called {name!r}; choose one of {', '.join(known)}.")
    return known[name]


def recipes(name: str, crops: int = 0) -> tuple[Recipe, ...]:
    """The recipes called ``name``, one per view: two global ones, then the local crops.

    Args:
        name: a key of :data:`RECIPES`.
        crops: how many local crops, smaller parts of the image at a smaller size.

    Raises:
        UsageError: there is no such name.
    """
    first, second = called(name, RECIPES)
    if not crops:
        return first, second
    kind = "cifar" if name.startswith("cifar-") else name
    area, changed = _LOCAL.get(kind, _LOCAL["swav"])
    local = replace(first, **changed)
    return replace(first, area=area), replace(second, area=area), *[local] * crops
