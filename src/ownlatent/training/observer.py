"""What watches a run without touching it: losses, feature statistics, an online probe."""

import math
import time
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor

from ownlatent.diagnostics import effective_rank, feature_std
from ownlatent.methods import Outcome
from ownlatent.training.clock import Clock
from ownlatent.training.log import Log
from ownlatent.training.probe import OnlineProbe


class Diverged(RuntimeError):
    """The loss is no longer a number: one sentence that says when and what to try."""


class Observer:
    """Collects what each step gives and writes it out at intervals.

    Losses wait in a buffer on the device; nothing is read back between two log lines.

    Args:
        fabric: device and processes.
        log: where rows go.
        clock: the loop's; its shares are reported.
        every: steps between rows.
        images: per step, over all processes.
        probe: the online classifier, or None without labels.
    """

    def __init__(
        self,
        fabric: Fabric,
        log: Log,
        clock: Clock,
        *,
        every: int,
        images: int,
        probe: OnlineProbe | None,
    ) -> None:
        self._fabric, self._log, self._clock = fabric, log, clock
        self._every, self._images = every, images
        self._losses = torch.zeros(every, device=fabric.device)
        self._right = torch.zeros(every, device=fabric.device)
        self._began = time.perf_counter()
        self._previous = (0, 0.0)  # steps and counted seconds at the last row
        if probe is None:
            self._probe = None
        else:
            optimizer = torch.optim.AdamW(probe.parameters(), lr=1e-3, weight_decay=0.0, fused=True)
            self._probe, self._optimizer = fabric.setup(probe, optimizer)

    def see(self, step: int, outcome: Outcome, labels: Tensor | None, loss: Tensor) -> None:
        """Take note of one optimizer step; ``loss`` is its mean over micro-batches."""
        slot = step % self._every
        self._losses[slot] = loss.detach()
        if self._probe is not None and labels is not None:
            loss, accuracy = self._probe(outcome.features, labels)
            self._fabric.backward(loss)
            self._optimizer.step()
            self._optimizer.zero_grad()
            self._right[slot] = accuracy

    def report(self, step: int, outcome: Outcome, values: dict[str, float]) -> None:
        """Write a row after step ``step``.

        Raises:
            Diverged: a loss since the last row is not finite.
        """
        done, counted = self._previous
        count = step + 1 - done
        losses = torch.stack([self._losses, self._right])
        # All processes meet here, so that all see the same row and stop together.
        means: Any = self._fabric.all_reduce(losses, reduce_op="mean")
        slots = [s % self._every for s in range(done, step + 1)]
        recent, right = means[:, slots].tolist()
        for offset, loss in enumerate(recent):
            if not math.isfinite(loss):
                raise Diverged(
                    f"The loss became {loss} at step {done + offset}; take a lower --base-lr."
                )
        seconds = self._clock.total - counted
        row = {
            "step": step + 1,
            **values,
            "loss": sum(recent) / count,
            "images_per_second": count * self._images / max(seconds, 1e-9),
            "data_wait": self._clock.share("data"),
            "overhead": 1 - self._clock.share("forward", "backward", "optimizer"),
            "feature_std": feature_std(outcome.features).item(),
            "effective_rank": effective_rank(outcome.features.float()).item(),
            "seconds": time.perf_counter() - self._began,
        }
        if self._probe is not None:
            row["probe_accuracy"] = sum(right) / count
        self._log.write(row)
        self._previous = (step + 1, self._clock.total)
