"""What views are made where nobody says: the rule that training and the contact sheet share."""

SMALL = 64
"""Images up to this side, in pixels, are small: they keep their size and are not blurred."""


def default_size(largest: int) -> int:
    """Side of the views in pixels, for images whose longest side is ``largest`` pixels."""
    return largest if largest <= SMALL else 224


def default_views(size: int) -> str:
    """The recipe for views of ``size`` pixels: the paper's, or the one CIFAR runs use."""
    return "cifar-byol" if size <= SMALL else "byol"
