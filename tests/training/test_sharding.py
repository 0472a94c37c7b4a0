"""Networks in parts (FSDP) against the same processes with the whole (DDP): the paper's claim is
that nothing but memory changes (Rajbhandari et al., 2020, section 1)."""

from pathlib import Path
from typing import Any

import pytest
import torch

from ownlatent.demo import TEST
from ownlatent.errors import UsageError
from ownlatent.networks import load_optimizer
from ownlatent.training import Run, resume
from ownlatent.training.checkpoint import Checkpoints
from tests.training.test_processes import launch

WORKER = """
import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from timm.models.convnext import ConvNeXt
from torch.nn.parallel import DistributedDataParallel
from ownlatent.methods import BYOL, MAE, SwAV
from ownlatent.networks import backbone, group_batch_norm, shard, whole
from ownlatent.optim import optimizer, parameter_groups

torch.set_num_threads(1)
dist.init_process_group("gloo")
rank = dist.get_rank()
generator = torch.Generator().manual_seed(1)
data = [torch.randn(16, 3, 32, 32, generator=generator, dtype=torch.float64) for _ in range(2)]


def train(name, sharded):
    torch.manual_seed(0)
    net, _ = backbone("small-vit", 3, 32)
    if name == "swav":
        method = SwAV(net, hidden=32, dim=15, prototypes=16, freeze=0).double()
    elif name == "stages":  # that hold blocks themselves
        net = ConvNeXt(depths=(1, 2, 1, 1), dims=(8, 16, 16, 16), num_classes=0)
        method = BYOL(net, hidden=32, dim=15, tau=0.9).double()
    elif name == "mae":
        method = MAE(net, width=16, depth=1, heads=2).double()
    else:
        method = BYOL(net, hidden=32, dim=15, tau=0.9).double()
    group_batch_norm(method, process_group=dist.group.WORLD)
    if sharded:
        trained = shard(method, init_device_mesh("cpu", (2,)))
    else:
        trained = DistributedDataParallel(method, broadcast_buffers=False)
    kind = name if name in ("lars", "adamw") else "sgd"
    moved = optimizer(kind, parameter_groups(method, 1e-2), 0.05)
    losses = []
    for step in range(5):
        loss = trained([view[rank * 8 : rank * 8 + 8] for view in data]).loss
        moved.zero_grad()
        loss.backward()
        moved.step()
        method.after_step(step, 5)
        losses.append(loss.detach())
    held = sum(getattr(p, "to_local", lambda p=p: p)().numel() for p in method.parameters())
    return {"losses": losses, "held": held, "state": whole(method.state_dict(), keep=True)}


names = "lars", "adamw", "sgd", "swav", "mae", "stages"
made = {f"{name} {s}": train(name, s) for name in names for s in (False, True)}
if rank == 0:
    torch.save(made, "made.pt")
dist.destroy_process_group()
"""


def test_nothing_but_memory_changes(tmp_path: Path) -> None:
    """Losses and all weights, the target's too, over five float64 steps."""
    (tmp_path / "worker.py").write_text(WORKER)
    launch(["worker.py"], 2, tmp_path)
    made = torch.load(tmp_path / "made.pt", weights_only=True)
    for name in ("lars", "adamw", "sgd", "swav", "mae", "stages"):
        whole, parts = made[f"{name} False"], made[f"{name} True"]
        torch.testing.assert_close(parts["losses"], whole["losses"], rtol=1e-9, atol=0)
        assert whole["losses"][-1] < whole["losses"][0]
        for key, value in whole["state"].items():
            torch.testing.assert_close(parts["state"][key], value, rtol=1e-6, atol=1e-9, msg=key)
        # An odd number of rows, 15, leaves one process a row more.
        assert whole["held"] / 2 <= parts["held"] <= 0.55 * whole["held"]


def test_the_command_under_torchrun(tmp_path: Path) -> None:
    """In parts, in the whole, and in parts stopped and gone on with: one run."""
    given = "--method dino --set hidden=32 bottleneck=16 prototypes=64 freeze=0 --clip 0.1"
    given += " --crops 2 --accumulate 2 --recompute"
    given += " --backbone small-vit --size 32 --batch-size 32 --steps 4 --log-every 1"
    given += " --precision fp32 --optimizer adamw --checkpoint-steps 2 --keep 4 --labelled"
    command = ["-m", "ownlatent", "pretrain", TEST, *given.split(), "--out"]
    launch([*command, "whole"], 2, tmp_path)
    launch([*command, "parts", "--shard"], 2, tmp_path)
    whole, parts = Run(tmp_path / "whole"), Run(tmp_path / "parts")
    for row, other in zip(whole.log, parts.log, strict=True):
        assert other["loss"] == pytest.approx(row["loss"], rel=1e-4)
        assert other["effective_rank"] == pytest.approx(row["effective_rank"], rel=1e-3)
    first, second = (run.encoder().state_dict() for run in (whole, parts))
    for name, value in first.items():
        torch.testing.assert_close(second[name], value, rtol=1e-2, atol=3e-3, msg=name)
    # The same run from its second step: the same bits.
    ended = Checkpoints(parts.folder / "checkpoints").load(4)
    for path in (parts.folder / "checkpoints").glob("step-4/*"):
        path.unlink()
    (parts.folder / "checkpoints" / "step-4").rmdir()
    launch(["-m", "ownlatent", "resume", "parts"], 2, tmp_path)
    again = Checkpoints(parts.folder / "checkpoints").load(4)
    for part in ("method", "optimizer"):
        assert _bits(again[part]) == _bits(ended[part])
    # And one process alone goes on from what two held in parts.
    (parts.folder / "checkpoints" / "step-4" / "state.pt").unlink()
    resume(parts.folder)
    alone = Run(parts.folder)
    assert alone.log[-1]["loss"] == pytest.approx(whole.log[-1]["loss"], rel=1e-3)


def _bits(state: object) -> object:
    """Nested state as something that equality compares bit by bit."""
    if isinstance(state, torch.Tensor):
        return state.dtype, tuple(state.shape), state.contiguous().numpy().tobytes()
    if isinstance(state, dict):
        return {key: _bits(value) for key, value in state.items()}
    if isinstance(state, list | tuple):
        return [_bits(value) for value in state]
    return state


def test_one_process_has_nothing_to_share(tmp_path: Path) -> None:
    from ownlatent import pretrain

    with pytest.raises(UsageError, match=r"--shard needs several: torchrun"):
        pretrain(TEST, out=tmp_path / "run", shard=True)
    assert not (tmp_path / "run").exists()


def test_an_optimizer_keeps_the_layout_of_its_parameters() -> None:
    """Where parts were saved and the whole goes on: fused AdamW looks at no strides."""
    made = []
    for fused in (False, True):
        torch.manual_seed(0)
        conv = torch.nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
        optimizer = torch.optim.AdamW(conv.parameters(), lr=0.1, fused=fused)
        for loaded in (False, True):
            if loaded:
                load_optimizer(optimizer, _contiguous(optimizer.state_dict()))
            optimizer.zero_grad()
            conv(torch.arange(75.0).view(1, 3, 5, 5) / 75).square().sum().backward()
            optimizer.step()
        made.append(conv.weight.detach())
    torch.testing.assert_close(made[0], made[1], rtol=1e-5, atol=1e-6)


def _contiguous(state: Any) -> Any:
    if isinstance(state, dict):
        return {key: _contiguous(value) for key, value in state.items()}
    return state.contiguous() if isinstance(state, torch.Tensor) else state
