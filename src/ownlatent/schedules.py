"""Schedules: pure functions of the optimizer step, counted from 0."""

import math


def cosine(step: int, total_steps: int, start: float, end: float) -> float:
    """Half a cosine from ``start`` at step 0 to ``end`` at ``total_steps``."""
    progress = min(step, total_steps) / max(total_steps, 1)
    return end + (start - end) * (1 + math.cos(math.pi * progress)) / 2


def ema_rate(step: int, total_steps: int, base: float) -> float:
    """BYOL's target decay, tau_k = 1 - (1 - tau_base) (cos(pi k / K) + 1) / 2 (section 3.3).

    It is ``base`` at step 0 and 1 at ``total_steps``: the target follows less and less.
    """
    return cosine(step, total_steps, base, 1.0)


def warmup_cosine(
    step: int, total_steps: int, warmup_steps: int, peak: float, end: float = 0.0
) -> float:
    """Linear from 0 at step 0 to ``peak`` at ``warmup_steps``, then half a cosine to ``end``."""
    if step < warmup_steps:
        return peak * step / warmup_steps
    return cosine(step - warmup_steps, total_steps - warmup_steps, peak, end)


def warmup_steps(step: int, total_steps: int, warmup: int, peak: float) -> float:
    """Linear from 0 to ``peak``, then a tenth of it from 60 % and a hundredth from 80 % of the run
    on (MoCo v1: epochs 120 and 160 of 200)."""
    if step < warmup:
        return peak * step / warmup
    return peak * (0.1 ** sum(5 * step >= part * total_steps for part in (3, 4)))


GROWN = 3 / 4
"""Share of a run after which views have their full size, so that it ends as it will be used."""


def growing_size(epoch: int, epochs: int, start: int, end: int) -> int:
    """The side of the views of an epoch, from 0: a line from ``start`` to ``end``, in steps of 4
    pixels up to 64 and of 32 beyond (progressive resizing as FFCV has it; Leclerc et al., 2023)."""
    share = epoch / (GROWN * epochs)
    if share >= 1 or start >= end:
        return end
    step = 4 if end <= 64 else 32
    return min(start + step * math.floor((end - start) * share / step), end)
