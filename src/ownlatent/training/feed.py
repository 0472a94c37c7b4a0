"""What a step is fed: the views of its images."""

from collections.abc import Iterator

import torch
from torch import Tensor

from ownlatent.training.clock import Clock
from ownlatent.training.session import Session

_TOGETHER = 1 << 18
"""Pixels of a view, over images, up to which the views of several steps are made together."""


class Feed:
    """Rows and views of each micro-batch, step after step.

    A call that makes views takes almost as long for 64 thumbnails as for 256. So those of several
    small steps are made at once, which changes no bit of them: a view is a function of its image
    and the epoch. Steps of different epochs, and compiled views, which have one size, stay apart.

    Args:
        run: its batches, samples and views.
        clock: counts the time as "data" and "views".
    """

    def __init__(self, run: Session, clock: Clock) -> None:
        self._run, self._clock = run, clock
        images = run.plan.batch_size // run.fabric.world_size
        self._steps = 1 if run.plan.compile else max(1, _TOGETHER // (images * run.plan.size**2))
        self._ready: dict[int, list[tuple[Tensor, list[Tensor]]]] = {}

    def __call__(self, step: int) -> Iterator[tuple[Tensor, list[Tensor]]]:
        """For each micro-batch of the step its rows, int64 ``[B]``, and its views: of images
        float32 ``[B, C, S, S]`` each, channels last."""
        if step not in self._ready:
            self._make(step)
        yield from self._ready.pop(step)

    def _make(self, step: int) -> None:
        run, device = self._run, self._run.fabric.device
        epoch, steps = run.batches.epoch(step), self._together(step)
        rows = [part for each in steps for part in run.batches.rows(each)]
        run.samples.expect(self._coming(step))
        content, sizes, ids = run.samples.batch(torch.cat(rows), device)
        self._clock.lap("data")
        # Filled in there: a number made here and copied would make the host wait for the device.
        count = torch.full((), epoch, device=device)
        views = run.views_of(epoch)(content, ids, count, run.config.seed, sizes)
        views = [channels_last(view) for view in views]
        cut = zip(*(view.split(len(rows[0])) for view in views), strict=True)
        made = [(row, list(pair)) for row, pair in zip(rows, cut, strict=True)]
        parts = run.plan.accumulate
        self._ready = {each: made[n * parts : (n + 1) * parts] for n, each in enumerate(steps)}
        self._clock.lap("views")

    def _together(self, step: int) -> range:
        """The steps from ``step`` on whose views are made at once."""
        batches = self._run.batches
        end_of_epoch = (batches.epoch(step) + 1) * batches.per_epoch
        return range(step, min(step + self._steps, end_of_epoch, self._run.plan.total_steps))

    def _coming(self, step: int) -> Iterator[Tensor]:
        """The rows that are asked for at once, from ``step`` on."""
        while step < self._run.plan.total_steps:
            steps = self._together(step)
            yield torch.cat([self._run.batches.rows(each).flatten() for each in steps])
            step = steps.stop


def channels_last(view: Tensor) -> Tensor:
    """An image's memory as convolutions want it; other views as they are."""
    return view.contiguous(memory_format=torch.channels_last) if view.ndim == 4 else view
