"""What views are made where nobody says: the rule that training and the contact sheet share."""

from ownlatent.views.recipe import RECIPES

SMALL = 64
"""Images up to this side, in pixels, are small: they keep their size and are not blurred."""

_SMALL = {"swav": "simclr", "moco1": "moco2"}  # who shares another's form; the rest share BYOL's


def default_size(largest: int) -> int:
    """Side of the views in pixels, for images whose longest side is ``largest`` pixels."""
    return largest if largest <= SMALL else 224


def default_views(size: int, family: str = "byol") -> str:
    """The recipe for views of ``size`` pixels: a paper's, or the one CIFAR runs use for it."""
    if size > SMALL:
        return family
    small = f"cifar-{_SMALL.get(family, family)}"
    return small if small in RECIPES else "cifar-byol"
