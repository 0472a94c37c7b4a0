"""The loop: one image's walk from canvas to a better encoder."""

from typing import Any

import torch
from lightning_fabric import Fabric
from torch.optim import Optimizer

from ownlatent.data import Canvases
from ownlatent.methods import Method
from ownlatent.schedules import ema_rate, warmup_cosine
from ownlatent.training.batches import Batches
from ownlatent.training.clock import Clock
from ownlatent.training.observer import Observer
from ownlatent.training.resolve import Plan
from ownlatent.views import Views


def train(
    fabric: Fabric,
    method: Method,
    trained: Any,
    optimizer: Optimizer,
    views: Views,
    canvases: Canvases,
    batches: Batches,
    plan: Plan,
    observer: Observer,
    clock: Clock,
    *,
    seed: int,
    log_every: int,
) -> None:
    """Run every step of the plan.

    Args:
        method: the method itself, for what happens between steps.
        trained: the same, as Fabric wrapped it for this device and these processes.
    """
    device, total = fabric.device, plan.total_steps
    clock.restart()
    for step in range(total):
        lr = warmup_cosine(step, total, plan.warmup_steps, plan.lr)
        for group in optimizer.param_groups:
            group["lr"] = lr
        epoch = torch.tensor(batches.epoch(step), device=device)
        loss = torch.zeros((), device=device)
        for number, rows in enumerate(batches.rows(step), start=1):
            pixels, sizes, ids = canvases.batch(rows, device)
            clock.lap("data")
            pair = views(pixels, ids, epoch, seed, sizes)
            pair = [view.contiguous(memory_format=torch.channels_last) for view in pair]
            clock.lap("views")
            with fabric.no_backward_sync(trained, enabled=number < plan.accumulate):
                outcome = trained(pair)
                clock.lap("forward")
                # The gradient of a step is the mean of its micro-batches' own gradients.
                fabric.backward(outcome.loss / plan.accumulate)
                clock.lap("backward")
            loss += outcome.loss.detach() / plan.accumulate
        optimizer.step()
        optimizer.zero_grad()
        clock.lap("optimizer")
        method.after_step(step, total)
        clock.lap("target")
        labels = None if canvases.labels is None else canvases.labels[rows].to(device)
        observer.see(step, outcome, labels, loss)
        if (step + 1) % log_every == 0 or step + 1 == total:
            tau = ema_rate(step, total, plan.tau)
            observer.report(step, outcome, {"epoch": batches.epoch(step), "lr": lr, "tau": tau})
        clock.lap("observing")
