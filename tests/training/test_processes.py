"""One process equals two (gloo): METHODS.md §12.10 and .12, and the issue's item 7."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

WORKER = """
import sys, torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from ownlatent.methods import BYOL
from ownlatent.networks import backbone, group_batch_norm
from ownlatent.optim import LARS, parameter_groups
from ownlatent.training.batches import Batches

out, world = sys.argv[1], int(sys.argv[2])
rank = 0
torch.set_num_threads(1)
if world > 1:
    dist.init_process_group("gloo")
    rank = dist.get_rank()
torch.manual_seed(0)
net, _ = backbone("small-resnet", 3, 16)
method = BYOL(net, hidden=32, dim=16, tau=0.9).double()
trained = method
if world > 1:
    group_batch_norm(method, process_group=dist.group.WORLD)
    trained = DistributedDataParallel(method, broadcast_buffers=False)
optimizer = LARS(parameter_groups(method, 1e-4), lr=1.0)
generator = torch.Generator().manual_seed(1)
data = [torch.randn(48, 3, 16, 16, generator=generator, dtype=torch.float64) for _ in range(2)]
batches = Batches(torch.arange(48), 0, 16, 1, rank, world)
record = []
for step in range(3):
    rows = batches.rows(step)[0]
    loss = trained([view[rows] for view in data]).loss
    optimizer.zero_grad()
    loss.backward()
    total = loss.detach().clone()
    if world > 1:
        dist.all_reduce(total)
    gradients = {n: p.grad.clone() for n, p in method.named_parameters() if p.grad is not None}
    optimizer.step()
    method.after_step(step, 3)
    record.append((total / world, gradients))
if rank == 0:
    buffers = {n: b for n, b in method.named_buffers()}
    torch.save({"steps": record, "buffers": buffers}, out)
if world > 1:
    dist.destroy_process_group()
"""


def launch(arguments: list[str], world: int, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable]
    if world > 1:
        command += ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={world}"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command + arguments, cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done


def test_loss_and_gradients_over_three_steps(tmp_path: Path) -> None:
    (tmp_path / "worker.py").write_text(WORKER)
    records = []
    for world in (1, 2):
        launch(["worker.py", f"{world}.pt", str(world)], world, tmp_path)
        records.append(torch.load(tmp_path / f"{world}.pt", weights_only=True))
    for (loss, gradients), (loss2, gradients2) in zip(
        records[0]["steps"], records[1]["steps"], strict=True
    ):
        assert loss2.item() == pytest.approx(loss.item(), rel=1e-9)
        norm = torch.stack([g.norm() for g in gradients.values()]).norm()
        assert gradients.keys() == gradients2.keys()
        for name, gradient in gradients.items():
            assert (gradients2[name] - gradient).norm() <= 1e-8 * norm, name
    for name, buffer in records[0]["buffers"].items():
        torch.testing.assert_close(records[1]["buffers"][name], buffer, msg=name)


def test_the_command_under_torchrun(tmp_path: Path) -> None:
    """The whole run, float32: the same losses, and one encoder."""
    from ownlatent.demo import TEST

    logs = []
    for world in (1, 2):
        options = "--backbone small-resnet --size 16 --batch-size 32 --set hidden=32 dim=16"
        options += f" --steps 4 --log-every 1 --precision fp32 --out run{world}"
        launch(["-m", "ownlatent", "pretrain", TEST, *options.split()], world, tmp_path)
        from ownlatent.training import Run

        logs.append(Run(tmp_path / f"run{world}"))
    # Rounding in float32 grows from step to step; the float64 test above has no room for it.
    for tolerance, one, two in zip((1e-5, 1e-5, 1e-2, 1e-2), logs[0].log, logs[1].log, strict=True):
        assert two["loss"] == pytest.approx(one["loss"], rel=tolerance)
        assert two["lr"] == one["lr"]
    first, second = (run.encoder().state_dict() for run in logs)
    for name, value in first.items():
        torch.testing.assert_close(second[name], value, rtol=0.1, atol=0.01, msg=name)
