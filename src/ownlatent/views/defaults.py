"""What views are made where nobody says: the rule that training and the contact sheet share."""

from ownlatent.views.recipe import RECIPES

SMALL = 64
"""Images up to this side, in pixels, are small: they keep their size and are not blurred."""


def default_size(largest: int) -> int:
    """Side of the views in pixels, for images whose longest side is ``largest`` pixels."""
    return largest if largest <= SMALL else 224


def default_views(size: int, family: str = "byol") -> str:
    """The recipe for views of ``size`` pixels: a paper's, or the one CIFAR runs use for it."""
    small = f"cifar-{family}"
    if size > SMALL:
        return family
    return small if small in RECIPES else "cifar-simclr" if family == "swav" else "cifar-byol"
