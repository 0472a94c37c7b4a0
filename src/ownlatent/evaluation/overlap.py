"""How far two masks are the same."""

from torch import Tensor


def jaccard(a: Tensor, b: Tensor, counted: Tensor | None = None) -> Tensor:
    """Jaccard index, ``|A and B| / |A or B|``, over the last two axes (Jaccard 1901).

    Args:
        a, b: bool ``[..., H, W]``, shapes that broadcast.
        counted: bool ``[..., H, W]``, the pixels that count; all if None.

    Returns:
        float64 ``[...]``, between 0 and 1. Two empty masks are the same: 1.
    """
    both, either = a & b, a | b
    if counted is not None:
        both, either = both & counted, either & counted
    held, size = both.sum((-2, -1)).double(), either.sum((-2, -1)).double()
    return (held / size.clamp(min=1)).where(size > 0, 1.0)
