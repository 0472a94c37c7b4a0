"""Room for large tensors."""

import numpy as np
import torch
from torch import Tensor


def room(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """A tensor in host memory, its values undefined.

    From numpy, which asks the kernel for huge pages where torch does not. First writes to 38 MB in
    small pages took 400 µs per 600 kB, as long as it takes to make a view; in huge ones 80.
    """
    return torch.from_numpy(np.empty(shape, str(dtype).removeprefix("torch.")))
