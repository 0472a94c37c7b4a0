"""One definition per method: the same numbers from one process or two, and from micro-batches.

Issue 4, item 2; METHODS.md §12.10, 12.12, 12.13 and 12.15.
"""

import copy
import math
import os
import subprocess
import sys
from typing import Any

import pytest
import torch
from small_methods import ALL, Silent, build, session, views
from torch import Tensor

from ownlatent.methods import METHODS, Method
from ownlatent.methods.options import defaults
from ownlatent.networks import group_batch_norm
from ownlatent.training.clock import Clock
from ownlatent.training.loop import train

# name of the case, method, options beside SMALL, batch-norm groups of the whole batch
CASES: list[tuple[str, str, dict[str, Any], int]] = [
    *((name, name, {}, 1) for name in ALL),
    ("moco, shuffled", "moco", {"symmetric": True}, 2),
    ("byol, groups", "byol", {}, 2),
    ("byol with negatives", "byol", {"beta": 0.5}, 1),
    ("simclr, groups", "simclr", {"layers": 3}, 2),
    ("simclr, memory", "simclr", {"memory": 40}, 1),
    ("swav, queue", "swav", {"queue": 40, "queue_start": 0.0, "freeze": 0.0}, 1),
    ("dino, groups, no head norm", "dino", {"freeze": 0.0, "teacher_warmup": 3}, 2),
    ("dino, head norm", "dino", {"head_norm": True, "fixed_length": False}, 1),
    ("dino, koleo", "dino", {"koleo": 0.1, "freeze": 0.0}, 1),
    ("adco, symmetric", "adco", {"symmetric": True}, 2),
    ("simsiam, alternating", "simsiam", {"alternate": 2}, 1),
    ("barlow, predictor", "barlow-twins", {"predictor": True, "stop_gradient": True}, 1),
]


TAU = 0.9


def doubled(name: str, options: dict[str, Any]) -> Method:
    tau = {"tau": TAU} if "tau" in defaults(ALL[name]) else {}
    return build(name, **tau | options).double()  # type: ignore[no-any-return]


def worker(out: str, world: int) -> None:
    """Three steps of every case, as one process of ``world``."""
    import torch.distributed as dist
    from torch.nn.parallel import DistributedDataParallel

    torch.set_num_threads(1)
    rank = 0
    if world > 1:
        dist.init_process_group("gloo")
        rank = dist.get_rank()
    records = {}
    for case, name, options, groups in CASES:
        method: Any = doubled(name, options)
        if groups > 1:
            group_batch_norm(method, groups=groups // world)
        elif world > 1:
            group_batch_norm(method, process_group=dist.group.WORLD)
        trained = DistributedDataParallel(method, broadcast_buffers=False) if world > 1 else method
        optimizer = torch.optim.SGD([p for p in method.parameters() if p.requires_grad], lr=0.3)
        record = []
        for step in range(3):
            rows = torch.arange(16).view(world, -1)[rank] + 16 * step
            method.before_step(step, 3, float(step))
            outcome = trained([view[rows] for view in views(2, 48, torch.float64)])
            outcome.loss.backward()
            total = outcome.loss.detach().clone()
            if world > 1:
                dist.all_reduce(total)
            gradients = {
                n: p.grad.clone() for n, p in method.named_parameters() if p.grad is not None
            }
            for parameter in method.held(float(step)):
                parameter.grad = None
            optimizer.step()
            optimizer.zero_grad()
            method.after_step(step, 3, outcome.kept)
            record.append((total / world, gradients))
        records[case] = {"steps": record, "state": dict(method.state_dict())}
    if rank == 0:
        torch.save(records, out)
    if world > 1:
        dist.destroy_process_group()


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("worlds")
    made = []
    for world in (1, 2):
        out = folder / f"{world}.pt"
        launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={world}"]
        command = [sys.executable, *(launcher if world > 1 else []), __file__, str(out), str(world)]
        done = subprocess.run(
            command, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr[-3000:]
        made.append(torch.load(out, weights_only=True))
    return made


@pytest.mark.parametrize("case", [case for case, *_ in CASES])
def test_one_process_is_two(case: str, records: list[dict[str, Any]]) -> None:
    one, two = (record[case] for record in records)
    for (loss, gradients), (loss2, gradients2) in zip(one["steps"], two["steps"], strict=True):
        assert loss2.item() == pytest.approx(loss.item(), rel=1e-9)
        norm = torch.stack([g.norm() for g in gradients.values()]).norm()
        assert norm > 0 and gradients.keys() == gradients2.keys()
        for name, gradient in gradients.items():
            assert (gradients2[name] - gradient).norm() <= 1e-8 * norm, name
    groups = next(groups for name, *_, groups in CASES if name == case)
    for name, value in one["state"].items():  # targets, queues, centres and statistics too
        if groups > 1 and "running" in name:
            continue  # of its own groups alone, as in the official MoCo
        torch.testing.assert_close(two["state"][name], value, rtol=1e-6, atol=1e-9, msg=name)


@pytest.mark.parametrize(("name", "options"), [(n, o) for _, n, o, g in CASES if g == 1])
def test_accumulation_averages_the_gradients_of_micro_batches(
    name: str, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each micro-batch's gradient computed apart, from the same state; then one step, and one
    update of target, queue and centre."""
    tau = {"tau": TAU} if "tau" in defaults(ALL[name]) else {}
    monkeypatch.setitem(METHODS, name, ALL[name])
    run = session(
        name, tau | options, accumulate=2, steps=2, crops=0, weight_decay=0.0, predictor_lr=1.0
    )
    run.method.double()
    run.views.double()
    monkeypatch.setattr(
        type(run.views), "forward", lambda self, pixels, *_: _stand_in_views(pixels)
    )
    expected = [copy.deepcopy(run.method) for _ in range(3)]
    train(run, Silent(), Silent(), Clock())  # type: ignore[arg-type]

    reference, *_ = expected
    momentum: dict[str, Tensor] = {}
    for step in range(2):
        gradients, kept = [], []
        state = copy.deepcopy(reference.state_dict())
        for number, rows in enumerate(run.batches.rows(step)):
            apart = copy.deepcopy(reference)
            apart.before_step(step, 2, step / 4)
            if name == "mae":
                apart.part = number  # whose masks it has
            outcome = apart(_stand_in_views(run.samples.pixels[rows]))
            outcome.loss.backward()
            gradients.append({n: p.grad for n, p in apart.named_parameters()})
            kept += [outcome.kept] if outcome.kept is not None else []
            # Batch-norm statistics run on from one micro-batch to the next.
            buffers = dict(apart.named_buffers())
            for name_, buffer in reference.named_buffers():
                buffer.copy_(buffers[name_])
        assert state.keys() == reference.state_dict().keys()
        held = {id(p) for p in reference.held(step / 4)}
        share, end = (1 + math.cos(math.pi * step / 2)) / 2, run.plan.final_lr
        lr = run.plan.lr * (end + (1 - end) * share)
        with torch.no_grad():
            for name_, p in reference.named_parameters():
                if id(p) in held or gradients[0][name_] is None:
                    continue
                mean = (gradients[0][name_] + gradients[1][name_]) / 2
                momentum[name_] = 0.9 * momentum.get(name_, torch.zeros_like(p)) + mean
                fixed = run.plan.predictor_fixed and name_.startswith("predictor.")
                p -= (run.plan.lr if fixed else lr) * momentum[name_]
        reference.after_step(step, 2, torch.cat(kept) if kept else None)
    for key, value in reference.state_dict().items():
        torch.testing.assert_close(
            run.method.state_dict()[key], value, rtol=1e-9, atol=1e-10, msg=key
        )


def _stand_in_views(pixels: Tensor) -> list[Tensor]:
    x = pixels.double() / 255
    return [x - 0.4, x.flip(-1) ** 2]


if __name__ == "__main__":
    worker(sys.argv[1], int(sys.argv[2]))
