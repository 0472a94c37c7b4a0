"""A step never makes the host wait for a GPU: nothing in it is made on the host and copied there.

A plain copy waits until the device has done all that was asked of it before. There is no GPU here:
torch's "meta" device stands in for one. It has no values, but its calls can be watched.
"""

from dataclasses import replace
from itertools import permutations
from typing import Any

import pytest
import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from ownlatent.config import Pretrain
from ownlatent.data import decode_canvases, open_source
from ownlatent.optim import LARS
from ownlatent.training.clock import Clock
from ownlatent.training.feed import Feed
from ownlatent.training.session import prepare
from ownlatent.views import Views
from ownlatent.views.draw import ordered

META = torch.device("meta")


class Copies(TorchFunctionMode):
    """Notes each call that brings a value or a tensor of the host to another device."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        made = func(*args, **kwargs)
        given = args[0] if args else None
        moved = isinstance(given, torch.Tensor) and given.device.type == "cpu"
        built = func in (torch.tensor, torch.as_tensor) and not isinstance(given, torch.Tensor)
        if isinstance(made, torch.Tensor) and made.device == META and (moved or built):
            self.calls.append(func.__name__)
        return made


@pytest.mark.parametrize("recipe", ["byol", "simclr", "cifar-byol", "moco1", "dino"])
@pytest.mark.parametrize("channels", [3, 2])
def test_views_are_made_without_the_host(recipe: str, channels: int) -> None:
    views = Views(recipe, 32, mean=[0.5] * channels, std=[0.2] * channels, crops=2).to(META)
    canvases = torch.empty(4, channels, 40, 40, dtype=torch.uint8, device=META)
    ids = torch.empty(4, dtype=torch.int64, device=META)
    sizes = torch.empty(4, 2, dtype=torch.int32, device=META)
    epoch = torch.empty((), dtype=torch.int64, device=META)
    with Copies() as noted:
        made = views(canvases, ids, epoch, 0, sizes)
    assert [tuple(view.shape) for view in made[:2]] == [(4, channels, 32, 32)] * 2
    assert noted.calls == []


@pytest.mark.parametrize("options", [{}, {"rate_inside": True}, {"joint_norm": False}])
def test_lars_steps_without_the_host(options: dict[str, bool]) -> None:
    parameters = [nn.Parameter(torch.empty(3, 4, device=META)) for _ in range(3)]
    lars = LARS(parameters, lr=0.1, weight_decay=1e-6, **options)
    for parameter in parameters:
        parameter.grad = torch.empty_like(parameter)
    with Copies() as noted:
        lars.step()
    assert noted.calls == []


def test_a_step_is_fed_from_pinned_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows, sizes and ids go through ``to_device``, which pins them; the epoch is made there."""
    from ownlatent.data import canvases as room

    pixels = torch.arange(32 * 3 * 256).remainder(251).view(32, 3, 16, 16).byte()
    samples = decode_canvases(open_source(pixels))
    config = Pretrain(
        data="x", batch_size=16, steps=2, size=16, backbone="small-resnet", precision="fp32",
        set=("hidden=16", "dim=8"),
    )  # fmt: skip
    run = prepare(config, samples)
    pinned = []

    def to_device(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
        pinned.append(tensor.dtype)
        return torch.empty(tensor.shape, dtype=tensor.dtype, device=device)

    monkeypatch.setattr(room, "to_device", to_device)
    monkeypatch.setattr(type(run.fabric), "device", META)
    run.samples = replace(samples, pixels=samples.pixels.to(META))
    run.views = run.views.to(META)
    with Copies() as noted:
        list(Feed(run, Clock())(0))
    assert noted.calls == []
    assert pinned == [torch.int64, torch.uint8, torch.int32, torch.int64]


def test_orders_are_those_of_the_standard_library() -> None:
    found = ordered(torch.arange(24)).tolist()
    assert found == [list(order) for order in permutations(range(4))]
