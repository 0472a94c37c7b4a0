"""The loop's order of events: METHODS.md §12.3, and accumulation as the paper means it."""

import copy

import pytest
import torch

from ownlatent.config import Pretrain
from ownlatent.data import Canvases, decode_canvases, open_source
from ownlatent.training.clock import Clock
from ownlatent.training.loop import train
from ownlatent.training.session import prepare


class Silent:
    """Sees everything, says nothing."""

    def __init__(self) -> None:
        self.losses: list[float] = []

    def see(self, step, outcome, labels, loss):  # type: ignore[no-untyped-def]
        self.losses.append(loss.item())

    def report(self, step, outcome, values):  # type: ignore[no-untyped-def]
        self.last = values

    def after(self, done):  # type: ignore[no-untyped-def]
        """Keeps nothing."""


@pytest.fixture
def canvases() -> Canvases:
    torch.manual_seed(0)
    return decode_canvases(open_source(torch.randint(0, 256, (32, 3, 16, 16), dtype=torch.uint8)))


def run(canvases: Canvases, steps: int = 1, tau: float = 0.97, **options):  # type: ignore[no-untyped-def]
    config = Pretrain(
        data="x", batch_size=16, steps=steps, optimizer="sgd", weight_decay=0.0,
        warmup_epochs=0, base_lr=8.0, predictor_lr=1.0, precision="fp32", size=16,
        backbone="small-resnet", log_every=1, set=("hidden=16", "dim=8", f"tau={tau}"), **options,
    )  # fmt: skip
    session = prepare(config, canvases)
    start = copy.deepcopy(session.method)
    silent = Silent()
    train(session, silent, silent, Clock())
    return start, session.method, session.views, session.batches, session.plan, silent


def test_the_target_follows_the_weights_of_the_same_step(canvases: Canvases) -> None:
    """With tau = 0 the first update makes the target what the optimizer has just made online."""
    start, method, *_ = run(canvases, steps=2, tau=0.0)
    # Steps 0 and 1 of 2 have tau 0 and 1/2: theta_1 is followed whole, theta_2 by half.
    first = run(canvases, steps=1, tau=0.0)[1]
    for online, target in zip(
        first.online.parameters(), first.target.network.parameters(), strict=True
    ):
        assert torch.equal(online, target)
    moved = zip(start.online.parameters(), first.online.parameters(), strict=True)
    assert any(not torch.equal(a, b) for a, b in moved)
    assert method.target.network.backbone.stages[0][1].num_batches_tracked == 4


def test_accumulation_is_the_mean_of_separate_gradients(canvases: Canvases) -> None:
    """Two micro-batches, each its own batch-norm batch; one optimizer step, one EMA step."""
    start, method, views, batches, settled, observer = run(canvases, accumulate=2, tau=0.5)
    gradients: list[list[torch.Tensor]] = []
    losses = []
    for rows in batches.rows(0):
        one = copy.deepcopy(start)
        pixels, sizes, ids = canvases.batch(rows, "cpu")
        loss = one(views(pixels, ids, 0, 0, sizes)).loss
        loss.backward()
        losses.append(loss.item())
        gradients.append([p.grad for p in one.parameters() if p.requires_grad])
    trainable = [p for p in start.parameters() if p.requires_grad]
    after = [p for p in method.parameters() if p.requires_grad]
    for old, new, a, b in zip(trainable, after, *gradients, strict=True):
        expected = old.detach() - settled.lr * (a + b) / 2
        torch.testing.assert_close(new.detach(), expected, rtol=1e-4, atol=1e-5)
    assert observer.losses == [pytest.approx(sum(losses) / 2, rel=1e-5)]
    for old, new, target in zip(
        start.online.parameters(),
        method.online.parameters(),
        method.target.network.parameters(),
        strict=True,
    ):
        torch.testing.assert_close(target, (old + new).detach() / 2)  # tau = 1/2, applied once


def test_rates_follow_the_step(canvases: Canvases) -> None:
    *_, settled, observer = run(canvases, steps=4, tau=0.9)
    assert observer.last["epoch"] == 1
    assert observer.last["lr"] == pytest.approx(
        settled.lr * (1 - 0.5**0.5) / 2
    )  # 3 of 4 steps done
