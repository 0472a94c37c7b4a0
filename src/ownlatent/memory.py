"""Room for large tensors."""

import contextlib
import ctypes
from functools import cache

import numpy as np
import torch
from torch import Tensor

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of malloc.h


def room(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """A tensor in host memory, its values undefined.

    From numpy, which asks the kernel for huge pages where torch does not. First writes to 38 MB in
    small pages took 400 µs per 600 kB, as long as it takes to make a view; in huge ones 80.
    """
    return torch.from_numpy(np.empty(shape, str(dtype).removeprefix("torch.")))


def give_back_freed() -> None:
    """Hand to the kernel what was freed in many pieces. Without glibc this does nothing."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """``tensor`` on ``device``, which the host does not wait for.

    A plain copy to a GPU waits until all that was asked of it before is done, so that it then idles
    while the next kernels are launched. From pinned memory the copy takes its turn.
    """
    if device.type == "cuda" and tensor.device.type == "cpu":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


@cache
def keep_freed() -> None:
    """Let this process keep the memory that it frees, instead of giving it back page by page.

    Every batch frees tensors of some MB and asks for as much again. By default glibc hands them to
    the kernel and the kernel hands out zeroed pages, one fault for each 4 kB: making small views
    then takes 1.3 (eager) to 4 times (compiled) as long. Without glibc this does nothing.
    """
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_MMAP_THRESHOLD, 32 << 20)  # the most that glibc takes
        mallopt(_TRIM_THRESHOLD, 512 << 20)
