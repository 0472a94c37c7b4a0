"""What a stop-gradient prevents, for ablations."""

from collections.abc import Callable

from torch import Tensor


def through_both(
    objective: Callable[[Tensor, Tensor], Tensor], prediction: Tensor, target: Tensor
) -> Tensor:
    """``objective(prediction, target)`` whose gradient reaches the target too.

    For objectives that detach their second argument and have the same value with both swapped.
    """
    swapped = objective(target, prediction)
    return objective(prediction, target) + swapped - swapped.detach()
