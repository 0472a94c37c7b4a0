"""When a run saves itself, and when it stops because somebody asked."""

import time
from typing import Any

import torch

from ownlatent.training.checkpoint import Checkpoints
from ownlatent.training.interrupt import Interrupt, Stopped
from ownlatent.training.observer import Observer
from ownlatent.training.session import Session


class Keeper:
    """Saves at intervals and at the end, and turns a signal into a saved stop.

    With several processes, clocks and signals are compared at the log's interval only, so that all
    stop after the same step.

    Args:
        run: what is saved.
        observer: saved too; it refuses to save what is not finite.
        checkpoints: where to.
        interrupt: the signals.
    """

    def __init__(
        self,
        run: Session,
        observer: Observer,
        checkpoints: Checkpoints,
        interrupt: Interrupt,
    ) -> None:
        self._run, self._observer = run, observer
        self._checkpoints, self._interrupt = checkpoints, interrupt
        self._saved = time.monotonic()

    def after(self, done: int) -> None:
        """Save if it is time to, ``done`` steps being done.

        Raises:
            Stopped: a signal came; a checkpoint of this step is on disk.
            Diverged: there is nothing finite to save.
            OSError: the checkpoint could not be written.
        """
        config, total = self._run.config, self._run.plan.total_steps
        every = config.checkpoint_steps
        due = done == total or (every is not None and done % every == 0)
        number = 0
        if self._run.fabric.world_size == 1 or done % config.log_every == 0:
            late = time.monotonic() - self._saved >= 60 * config.checkpoint_minutes
            late, number = self._agree(late, self._interrupt.number)
            due = due or late
        if due or number:
            self.save(done)
        if number and done < total:
            folder = config.out
            raise Stopped(
                f"Stopped after step {done:,} of {total:,} and saved; "
                f"go on with: ownlatent resume {folder}",
                number,
            )

    def save(self, done: int) -> None:
        """Write a checkpoint of this step."""
        state = checkpoint_state(done, self._run, self._observer)
        if self._run.first:
            self._checkpoints.save(done, state)
        self._run.fabric.barrier()
        self._saved = time.monotonic()

    def _agree(self, late: bool, number: int) -> tuple[bool, int]:
        if self._run.fabric.world_size == 1:
            return late, number
        asked: Any = torch.tensor([float(late), float(number)], device=self._run.fabric.device)
        torch.distributed.all_reduce(asked, op=torch.distributed.ReduceOp.MAX)
        return bool(asked[0] > 0), int(asked[1])


def checkpoint_state(done: int, run: Session, observer: Observer) -> dict[str, Any]:
    """All that a checkpoint holds. Every process must call it."""
    return {"step": done, **run.state_dict(), "observer": observer.state_dict(done)}
