"""What watches a run without touching it: losses, feature statistics, an online probe."""

import math
import time
from typing import Any, NoReturn

import torch
from torch import Tensor

from ownlatent.diagnostics import effective_rank, feature_std
from ownlatent.methods import Outcome
from ownlatent.networks import is_sharded, norms, shards
from ownlatent.training.clock import Clock
from ownlatent.training.log import Log
from ownlatent.training.probe import OnlineProbe
from ownlatent.training.session import Session
from ownlatent.training.verdict import Verdict


class Diverged(RuntimeError):
    """The loss or a weight is no longer a number: one sentence that says when and what to try."""

    def __init__(self, what: str, step: int) -> None:
        super().__init__(f"{what} at step {step}; take a lower --base-lr.")
        self.step = step
        """The optimizer step, from 0, that first showed it."""


class Observer:
    """Collects what each step gives, judges it, and writes it out at intervals.

    Losses wait in a buffer on the device; nothing is read back between two log lines.

    Args:
        run: what is watched.
        log: where rows go.
        clock: the loop's; its shares are reported.
    """

    def __init__(self, run: Session, log: Log, clock: Clock) -> None:
        self._run, self._log, self._clock = run, log, clock
        self._fabric, self._every = run.fabric, run.config.log_every
        self._losses = torch.zeros(self._every, device=run.fabric.device)
        self._right = torch.zeros(self._every, device=run.fabric.device)
        self._began = time.perf_counter()
        self._reported = 0  # steps at the last row
        self._counted = 0.0  # the clock's seconds at the last row
        self.verdict = Verdict(run)
        self._probe: Any = None
        probe = _probe(run)
        if probe is not None:
            self._probe = probe.to(run.fabric.device)
            self._optimizer = torch.optim.AdamW(
                probe.parameters(), lr=1e-3, weight_decay=0.0, fused=True
            )

    def see(self, step: int, outcome: Outcome, labels: Tensor | None, loss: Tensor) -> None:
        """Take note of one optimizer step; ``loss`` is its mean over micro-batches."""
        slot = step % self._every
        self._losses[slot] = loss.detach()
        if self._probe is not None and labels is not None:
            loss, accuracy = self._probe(outcome.features, labels)
            torch.autograd.backward(loss)
            if self._fabric.world_size > 1:
                for p in self._probe.parameters():
                    p.grad = self._fabric.all_reduce(p.grad, reduce_op="mean")
            self._optimizer.step()
            self._optimizer.zero_grad()
            self._right[slot] = accuracy

    def report(self, step: int, outcome: Outcome, values: dict[str, float]) -> None:
        """Write a row after step ``step``.

        Raises:
            Diverged: a loss since the last row is not finite.
            Collapsed: the features have collapsed and the run was asked to stop then.
        """
        done = step + 1
        losses, right = self._gather(done)
        count, seconds = done - self._reported, self._clock.total - self._counted
        row: dict[str, Any] = {
            "step": done,
            **values,
            "loss": sum(losses) / count,
            "images_per_second": count * self._run.plan.batch_size / max(seconds, 1e-9),
            "data_wait": self._clock.share("data"),
            "overhead": 1 - self._clock.share("forward", "backward", "optimizer"),
            "feature_std": feature_std(outcome.features).item(),
            "effective_rank": effective_rank(outcome.features.float()).item(),
            "seconds": time.perf_counter() - self._began,
        }
        if self._probe is not None:
            row["probe_accuracy"] = sum(right) / count
        checked = done >= self.verdict.due or done == self._run.plan.total_steps
        if checked:
            self.verdict.check(done, row["loss"])
        if self.verdict.latest is not None:
            row["verdict"] = self.verdict.latest
        self._log.write(row)
        self._reported, self._counted = done, self._clock.total
        if checked:
            self._log.judged(self.verdict.summary())
            self.verdict.stop_if_collapsed()

    def state_dict(self, done: int) -> dict[str, Any]:
        """What is needed to go on after ``done`` steps. Every process must call it.

        Raises:
            Diverged: a loss since the last row, or a weight, is not finite.
        """
        losses, right = self._gather(done)
        weights: list[Tensor] = [p for p in self._run.method.parameters() if p.requires_grad]
        if not bool(norms(shards(weights), sharded=is_sharded(weights[0])).isfinite().all()):
            self._diverged("A weight became infinite or not a number", done - 1)
        state: dict[str, Any] = {
            "reported": self._reported,
            "losses": losses,
            "right": right,
            "seconds": time.perf_counter() - self._began,
            "verdict": self.verdict.state_dict(),
        }
        if self._probe is not None:
            state["probe"] = self._probe.state_dict()
            state["probe_optimizer"] = self._optimizer.state_dict()
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put back what :meth:`state_dict` gave."""
        self._reported = state["reported"]
        for offset, (loss, right) in enumerate(zip(state["losses"], state["right"], strict=True)):
            slot = (self._reported + offset) % self._every
            self._losses[slot], self._right[slot] = loss, right
        self._began = time.perf_counter() - state["seconds"]
        self.verdict.load_state_dict(state["verdict"])
        if self._probe is not None:
            self._probe.load_state_dict(state["probe"])
            self._optimizer.load_state_dict(state["probe_optimizer"])

    def _gather(self, done: int) -> tuple[list[float], list[float]]:
        """Losses and accuracies since the last row, averaged over processes; the losses finite."""
        kept = torch.stack([self._losses, self._right])
        # All processes meet here, so that all see the same and stop together.
        means: Any = self._fabric.all_reduce(kept, reduce_op="mean")
        slots = [step % self._every for step in range(self._reported, done)]
        losses, right = means[:, slots].tolist()
        for offset, loss in enumerate(losses):
            if not math.isfinite(loss):
                self._diverged(f"The loss became {loss}", self._reported + offset)
        return losses, right

    def _diverged(self, what: str, step: int) -> NoReturn:
        error = Diverged(what, step)
        self.verdict.end(step, f"{what} at step {step}.")
        self._log.judged(self.verdict.summary())
        raise error


def _probe(run: Session) -> OnlineProbe | None:
    labels = run.samples.labels
    if labels is None or int(labels.max()) < 1:
        return None
    features = next(iter(run.encoders.values())).num_features
    return OnlineProbe(features, int(labels.max()) + 1)
