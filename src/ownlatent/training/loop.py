"""The loop: one image's walk from canvas to a better encoder."""

import hashlib

import torch

from ownlatent.schedules import ema_rate, warmup_cosine
from ownlatent.training.clock import Clock
from ownlatent.training.feed import Feed
from ownlatent.training.keeper import Keeper
from ownlatent.training.observer import Observer
from ownlatent.training.session import Session


def train(run: Session, observer: Observer, keeper: Keeper, clock: Clock, start: int = 0) -> None:
    """Take every step of the plan from ``start`` on."""
    fabric, plan, canvases = run.fabric, run.plan, run.canvases
    device, total, seed = fabric.device, plan.total_steps, run.config.seed
    feed = Feed(run, clock)
    clock.restart()
    for step in range(start, total):
        reseed(seed, step, fabric.global_rank)
        lr = warmup_cosine(step, total, plan.warmup_steps, plan.lr)
        for group in run.optimizer.param_groups:
            group["lr"] = lr
        loss = torch.zeros((), device=device)
        clock.lap("setting")
        for number, (rows, views) in enumerate(feed(step), start=1):  # noqa: B007 (used below)
            with fabric.no_backward_sync(run.trained, enabled=number < plan.accumulate):
                outcome = run.trained(views)
                clock.lap("forward")
                # The gradient of a step is the mean of its micro-batches' own gradients.
                fabric.backward(outcome.loss / plan.accumulate)
                clock.lap("backward")
            loss += outcome.loss.detach() / plan.accumulate
        run.optimizer.step()
        run.optimizer.zero_grad()
        clock.lap("optimizer")
        run.method.after_step(step, total)
        clock.lap("target")
        labels = None if canvases.labels is None else canvases.labels[rows].to(device)
        observer.see(step, outcome, labels, loss)
        if (step + 1) % run.config.log_every == 0 or step + 1 == total:
            tau = ema_rate(step, total, plan.tau)
            observer.report(step, outcome, {"epoch": run.batches.epoch(step), "lr": lr, "tau": tau})
        clock.lap("observing")
        keeper.after(step + 1)
        clock.lap("saving")


def reseed(seed: int, step: int, rank: int) -> None:
    """Make dropout, drop-path and all else that draws from torch's generator a function of the
    step, so that it needs no state either."""
    key = hashlib.blake2b(f"{seed} {step} {rank}".encode(), digest_size=8).digest()
    number = int.from_bytes(key, "big", signed=True)
    torch.default_generator.manual_seed(number)
    if torch.cuda._initialized:  # torch.manual_seed would note the call stack until it is
        torch.cuda.manual_seed(number)
