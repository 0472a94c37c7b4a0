"""The loop: one image's walk from canvas to a better encoder."""

import hashlib

import torch

from ownlatent.config import Plan
from ownlatent.memory import to_device
from ownlatent.networks import is_sharded, norms, shards
from ownlatent.optim import set_rates
from ownlatent.schedules import cosine, warmup_cosine, warmup_steps
from ownlatent.training.clock import Clock
from ownlatent.training.feed import Feed
from ownlatent.training.keeper import Keeper
from ownlatent.training.observer import Observer
from ownlatent.training.session import Session


def train(run: Session, observer: Observer, keeper: Keeper, clock: Clock, start: int = 0) -> None:
    """Take every step of the plan from ``start`` on."""
    fabric, plan, samples = run.fabric, run.plan, run.samples
    device, total, seed = fabric.device, plan.total_steps, run.config.seed
    feed = Feed(run, clock)
    clock.restart()
    for step in range(start, total):
        reseed(seed, step, fabric.global_rank)
        epoch = step / plan.steps_per_epoch
        lr, decay = rates(plan, step)
        set_rates(run.optimizer.param_groups, lr, plan.lr, decay)
        run.method.before_step(step, total, epoch)
        loss, kept = torch.zeros((), device=device), []
        clock.lap("setting")
        for number, (rows, views) in enumerate(feed(step), start=1):  # noqa: B007 (used below)
            with fabric.no_backward_sync(run.trained, enabled=number < plan.accumulate):
                outcome = run.trained(views)
                clock.lap("forward")
                # The gradient of a step is the mean of its micro-batches' own gradients.
                fabric.backward(outcome.loss / plan.accumulate)
                clock.lap("backward")
            loss += outcome.loss.detach() / plan.accumulate
            if outcome.kept is not None:
                kept.append(outcome.kept)
        settle_gradients(run, epoch)
        run.optimizer.step()
        run.optimizer.zero_grad()
        clock.lap("optimizer")
        run.method.after_step(step, total, torch.cat(kept) if kept else None)
        clock.lap("target")
        labels = None if samples.labels is None else to_device(samples.labels[rows], device)
        observer.see(step, outcome, labels, loss)
        if (step + 1) % run.config.log_every == 0 or step + 1 == total:
            values = {"epoch": run.batches.epoch(step), "lr": lr}
            observer.report(step, outcome, values | run.method.scheduled(step, total, epoch))
        clock.lap("observing")
        keeper.after(step + 1)
        clock.lap("saving")


def rates(plan: Plan, step: int) -> tuple[float, float]:
    """The learning rate and the weight decay of a step."""
    total, decay = plan.total_steps, plan.weight_decay
    if plan.final_weight_decay is not None:
        decay = cosine(step, total, decay, plan.final_weight_decay)
    if plan.schedule == "steps":
        return warmup_steps(step, total, plan.warmup_steps, plan.lr), decay
    return warmup_cosine(step, total, plan.warmup_steps, plan.lr, plan.lr * plan.final_lr), decay


def settle_gradients(run: Session, epoch: float) -> None:
    """Clip what is to be clipped, and leave no gradient to what is held."""
    if run.plan.clip is not None:  # tensor by tensor, as DINO (METHODS.md §12.16)
        gradients = [p.grad for p in run.method.parameters() if p.grad is not None]
        parts = shards(gradients)
        sizes = norms(parts, sharded=is_sharded(gradients[0]))
        scales = (run.plan.clip / (sizes + 1e-6)).clamp(max=1.0)
        torch._foreach_mul_(parts, scales.unbind())
    for parameter in run.method.held(epoch):
        parameter.grad = None  # not 0: the optimizer would still decay and move it


def reseed(seed: int, step: int, rank: int) -> None:
    """Make dropout, drop-path and all else that draws from torch's generator a function of the
    step, so that it needs no state either."""
    key = hashlib.blake2b(f"{seed} {step} {rank}".encode(), digest_size=8).digest()
    number = int.from_bytes(key, "big", signed=True)
    torch.default_generator.manual_seed(number)
    if torch.cuda._initialized:  # torch.manual_seed would note the call stack until it is
        torch.cuda.manual_seed(number)
