"""One process equals two and four (gloo): METHODS.md §12.10 and .12, and the issue's item 7."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

WORKER = """
import sys, torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel
from ownlatent.methods import BYOL
from ownlatent.networks import backbone, group_batch_norm
from ownlatent.optim import LARS, parameter_groups
from ownlatent.training.batches import Batches

STEPS = 10
torch.set_num_threads(1)
dist.init_process_group("gloo")
rank = dist.get_rank()
generator = torch.Generator().manual_seed(1)
data = [torch.randn(160, 3, 16, 16, generator=generator, dtype=torch.float64) for _ in range(2)]


def train(world, group):
    torch.manual_seed(0)
    net, _ = backbone("small-resnet", 3, 16)
    method = BYOL(net, hidden=32, dim=16, tau=0.9).double()
    trained = method
    if world > 1:
        group_batch_norm(method, process_group=group)
        trained = DistributedDataParallel(method, broadcast_buffers=False, process_group=group)
    optimizer = LARS(parameter_groups(method, 1e-4), lr=1.0)
    batches = Batches(torch.arange(160), 0, 16, 1, rank, world)
    record = []
    for step in range(STEPS):
        rows = batches.rows(step)[0]
        loss = trained([view[rows] for view in data]).loss
        optimizer.zero_grad()
        loss.backward()
        total = loss.detach().clone()
        if world > 1:
            dist.all_reduce(total, group=group)
        gradients = {n: p.grad.clone() for n, p in method.named_parameters() if p.grad is not None}
        optimizer.step()
        method.after_step(step, STEPS)
        record.append((total / world, gradients))
    return {"steps": record, "buffers": {n: b for n, b in method.named_buffers()}}


for world in (1, 2, 4):
    group = dist.new_group(list(range(world)))
    if rank < world:
        record = train(world, group)
        if rank == 0:
            torch.save(record, f"{world}.pt")
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


def test_loss_and_gradients_over_ten_steps(tmp_path: Path) -> None:
    (tmp_path / "worker.py").write_text(WORKER)
    launch(["worker.py"], 4, tmp_path)
    records = {w: torch.load(tmp_path / f"{w}.pt", weights_only=True) for w in (1, 2, 4)}
    for world in (2, 4):
        for (loss, gradients), (other, others) in zip(
            records[1]["steps"], records[world]["steps"], strict=True
        ):
            assert other.item() == pytest.approx(loss.item(), rel=1e-9)
            norm = torch.stack([g.norm() for g in gradients.values()]).norm()
            assert gradients.keys() == others.keys()
            for name, gradient in gradients.items():
                assert (others[name] - gradient).norm() <= 1e-7 * norm, name
        for name, buffer in records[1]["buffers"].items():
            torch.testing.assert_close(records[world]["buffers"][name], buffer, msg=name)


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


def test_a_killed_process_ends_all_and_the_run_goes_on(tmp_path: Path) -> None:
    """One sentence, no process left, and a checkpoint that a single process goes on from."""
    from ownlatent.demo import TEST
    from ownlatent.training import Run, resume

    options = "--backbone small-resnet --size 8 --batch-size 32 --set hidden=32 dim=16 --steps 100"
    options += " --log-every 5 --checkpoint-steps 5 --precision fp32 --out run"
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command += ["-m", "ownlatent", "pretrain", TEST, *options.split()]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    both = subprocess.Popen(
        command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True
    )
    children = Path(f"/proc/{both.pid}/task/{both.pid}/children")
    while not (tmp_path / "run" / "checkpoints" / "latest").is_file():
        assert both.poll() is None, both.communicate()[1][-2000:]
        time.sleep(0.05)
    ranks = {_rank(pid): pid for pid in map(int, children.read_text().split())}
    os.kill(ranks["1"], signal.SIGKILL)
    told = both.communicate(timeout=60)[1]
    assert both.returncode != 0
    assert not Path(f"/proc/{ranks['0']}").exists()
    assert "Another process of this run ended" in told
    assert "ownlatent resume run" in told
    state = json.loads((tmp_path / "run" / "state.json").read_text())
    assert state["state"] == "failed"
    assert "Another process" in state["message"]
    run = resume(tmp_path / "run")
    assert [row["step"] for row in Run(run.folder).log] == list(range(5, 101, 5))


def _rank(pid: int) -> str | None:
    """The number that torchrun gave to a process."""
    pairs = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    found = [pair[5:].decode() for pair in pairs if pair.startswith(b"RANK=")]
    return found[0] if found else None
