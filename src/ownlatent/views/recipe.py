"""Recipes: the distribution each view is drawn from, as data.

A recipe says what is random about one view; :mod:`.draw` draws from it and :mod:`.engine` applies
the draw. The order of operations is the paper's: crop, flip, colour jitter, grayscale, blur,
solarize, clip, normalise.
"""

from dataclasses import dataclass, replace
from typing import Literal

from ownlatent.errors import UsageError


@dataclass(frozen=True)
class Recipe:
    """The distribution of one view. Probabilities are in [0, 1]; lengths are pixels of the view."""

    area: tuple[float, float] = (0.08, 1.0)
    """Crop area as a fraction of the image, uniform."""
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

# The small-image form used by published CIFAR runs: no blur, torchvision's crops and colours.
_CIFAR = Recipe(attempts=10, style="torchvision")

RECIPES: dict[str, tuple[Recipe, ...]] = {
    "byol": _BYOL,
    "cifar-byol": (_CIFAR, replace(_CIFAR, solarize=0.2)),
}


def recipes(name: str) -> tuple[Recipe, ...]:
    """The recipes called ``name``, one per view.

    Raises:
        UsageError: there is no such name.
    """
    if name not in RECIPES:
        raise UsageError(f"No views are called {name!r}; choose one of {', '.join(RECIPES)}.")
    return RECIPES[name]
