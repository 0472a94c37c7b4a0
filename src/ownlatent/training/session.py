"""Everything that trains, built in one way for a run that begins and one that goes on."""

import inspect
import math
from dataclasses import dataclass, replace
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim import Optimizer

from ownlatent.config import Plan, Pretrain
from ownlatent.encoder import Encoder
from ownlatent.errors import UsageError
from ownlatent.kinds import KINDS, Samples, kind_of
from ownlatent.methods import Method, find
from ownlatent.methods.options import settle
from ownlatent.networks import (
    blocks,
    group_batch_norm,
    initial_weights,
    load_method,
    load_optimizer,
    recompute,
    replace_batch_norm,
    whole,
)
from ownlatent.optim import optimizer as make_optimizer
from ownlatent.optim import parameter_groups
from ownlatent.schedules import growing_size
from ownlatent.training import fabric as devices
from ownlatent.training.batches import Batches
from ownlatent.training.progress import decoding
from ownlatent.training.provenance import versions
from ownlatent.training.resolve import plan
from ownlatent.views import recipes

_HEADS = ("projector", "predictor")


@dataclass
class Session:
    """The parts of a run.

    Attributes:
        views: what makes them, as they are in the end; see :meth:`views_of`.
        method: the method itself.
        trained: the same, as Fabric wrapped it for this device and these processes.
        encoders: what the run is for; they share the method's weights.
        lines: what the backbone turned out to be, for the person who reads along.
    """

    config: Pretrain
    plan: Plan
    samples: Samples
    batches: Batches
    views: Any
    fabric: Fabric
    method: Method
    trained: Any
    optimizer: Optimizer
    encoders: dict[str, Encoder]
    lines: list[str]

    def __post_init__(self) -> None:
        self._stages = {(self.plan.size, self.plan.crops): self.views}

    def views_of(self, epoch: int) -> Any:
        """What makes the views of an epoch: smaller ones, or without local crops, early on."""
        stage = stage_of(self.plan, epoch)
        if stage not in self._stages:
            self._stages[stage] = _views(self.config, self.plan, self.samples, stage, self.fabric)
        return self._stages[stage]

    @property
    def first(self) -> bool:
        """Whether this process is the one that writes and speaks."""
        return bool(self.fabric.global_rank == 0)

    def state_dict(self) -> dict[str, Any]:
        """What the steps have changed. Every process must call it."""
        state = {"method": self.method.state_dict(), "optimizer": self.optimizer.state_dict()}
        return dict(whole(state, keep=self.first))

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put back what :meth:`state_dict` gave."""
        load_method(self.method, state["method"])
        load_optimizer(self.optimizer, state["optimizer"])

    def weights(self) -> dict[str, dict[str, Tensor]]:
        """Those of each encoder, on the first process. Every process must call it."""
        states = {name: each.backbone.state_dict() for name, each in self.encoders.items()}
        return dict(whole(states, keep=self.first))


def samples_for(config: Pretrain, data: Any = None) -> Samples:
    """The data of a run, in memory; ``data`` stands in for their path."""
    given = config.data if data is None else data
    return kind_of(given).samples(
        config,
        given,
        device=devices.device(config.accelerator),
        progress=decoding() if devices.rank() == 0 else None,
    )


def prepare(config: Pretrain, samples: Samples, settled: Plan | None = None) -> Session:
    """Build a run's parts, ready for step 0.

    Args:
        settled: the plan of a run that goes on; None settles a new one.

    Raises:
        UsageError: something asked for cannot be.
    """
    device, world = devices.device(config.accelerator), devices.processes()
    if settled is None:
        settled = plan(config, samples, device, world)
    torch.manual_seed(config.seed)
    method, encoders, lines = _method(config, settled, samples)
    sharded = config.shard and world > 1  # a run may go on with one process
    fabric = devices.fabric(device, settled.precision, sharded)
    if settled.bn_group is not None:
        share = settled.batch_size // settled.accumulate // world
        group_batch_norm(method, groups=max(1, share // settled.bn_group))
    elif world > 1:
        group_batch_norm(method, process_group=torch.distributed.group.WORLD)
    if not sharded:  # parts are contiguous
        method = method.to(memory_format=torch.channels_last)
    views = _views(config, settled, samples, (settled.size, settled.crops), fabric)
    if settled.compile and not config.recompute:
        method.compile(dynamic=False)
    if settled.compile:  # once for each size and number of crops; beyond the limit torch runs eager
        limit = torch._dynamo.config.recompile_limit
        torch._dynamo.config.recompile_limit = max(limit, 2 * len(_stages(settled)))
    trained = fabric.setup_module(method)
    groups = parameter_groups(
        method,
        settled.weight_decay,
        decay_all=settled.decay_all,
        bias_lr=settled.bias_lr,
        predictor_lr=settled.predictor_lr,
        predictor_fixed=settled.predictor_fixed,
    )
    fused = True if device.type == "cuda" else None  # on a CPU torch's default, with its bits
    optimizer: Any = fabric.setup_optimizers(
        make_optimizer(settled.optimizer, groups, settled.lr, fused=fused)
    )
    batches = Batches(
        samples.ids,
        config.seed,
        settled.batch_size,
        settled.accumulate,
        fabric.global_rank,
        fabric.world_size,
    )
    return Session(
        config=config,
        plan=settled,
        samples=samples,
        batches=batches,
        views=views,
        fabric=fabric,
        method=method,
        trained=trained,
        optimizer=optimizer,
        encoders=encoders,
        lines=lines,
    )


def stage_of(settled: Plan, epoch: int) -> tuple[int, int]:
    """Side of the views and number of local crops in an epoch, from 0."""
    epochs = math.ceil(settled.total_steps / settled.steps_per_epoch)
    size = growing_size(epoch, epochs, settled.start_size or settled.size, settled.size)
    return size, settled.crops if epoch >= settled.crops_after * epochs else 0


def _stages(settled: Plan) -> set[tuple[int, int]]:
    """All of a run's."""
    epochs = math.ceil(settled.total_steps / settled.steps_per_epoch)
    return {stage_of(settled, epoch) for epoch in range(epochs)}


def _views(
    config: Pretrain, settled: Plan, samples: Samples, stage: tuple[int, int], fabric: Fabric
) -> Any:
    size, crops = stage
    plan = replace(settled, size=size, crops=crops)
    views = KINDS[samples.kind].views(config, plan, samples).to(fabric.device)
    if settled.compile:
        views.compile(dynamic=False)
    return views


def _method(
    config: Pretrain, settled: Plan, samples: Samples
) -> tuple[Method, dict[str, Encoder], list[str]]:
    """The method, its encoders (which share its weights), and lines that say what they are."""
    data = KINDS[samples.kind]
    preprocessing = data.preprocessing(settled, samples)
    name = config.backbone or data.backbone
    kind = find(config.method)
    options = settle(config.method, kind, settled.options)
    built: dict[str, Any] = {"norm": settled.norm, "frozen_patches": settled.frozen_patches}
    if config.stem != "auto":
        built["stem"] = config.stem
    net, line = data.network(name, preprocessing, settled.size, drop_path=config.drop_path, **built)
    lines = [line]
    if settled.start_size is not None:
        _require_any_size(net, name, preprocessing.channels, settled.start_size)
    if config.init is not None:
        lines.append(initial_weights(net, name, config.init))
    if config.recompute:
        lines.append(f"{recompute(net, name)} blocks computed again in the backward pass")
    if config.shard and not blocks(net):
        raise UsageError(f"{name} has no sequence of blocks to cut over processes; leave --shard.")
    if config.target_start == "own":
        if "target" not in inspect.signature(kind).parameters:
            raise UsageError(
                f"The target of {config.method} starts as a copy; leave --target-start."
            )
        if settled.frozen_patches:
            raise UsageError("Frozen patches are the same in both networks; leave --target-start.")
        options["target"], _ = data.network(name, preprocessing, settled.size, **built)
    if settled.norm == "instance" and data.name == "images":  # which needs maps of several pixels
        sides = {
            round(size * recipe.side)
            for size, crops in _stages(settled)
            for recipe in recipes(settled.views, crops)
        }
        for side in sides:
            net(torch.zeros(2, preprocessing.channels, side, side))
    method = kind(net, **options)
    for head in _heads(method):
        last = [m for m in head if isinstance(m, nn.Linear)][-1:]
        replace_batch_norm(head, settled.norm, keep=last)
    provenance = {
        "method": config.method,
        "view_size": settled.size,
        "plan": settled.as_dict(),
        "data": {"images": len(samples), "fingerprint": samples.fingerprint},
        "seed": config.seed,
        "versions": versions(),
    }
    encoders = {
        kept: Encoder(each, name, preprocessing, provenance, built)
        for kept, each in method.encoders.items()
    }
    return method, encoders, lines


def _require_any_size(net: nn.Module, name: str, channels: int, size: int) -> None:
    """Raises UsageError where a backbone takes views of its own size alone."""
    training = net.training
    try:
        with torch.no_grad():
            net.eval()(torch.zeros(1, channels, size, size))
    except (RuntimeError, AssertionError, ValueError) as error:
        raise UsageError(
            f"{name} does not take views of {size} pixels; leave --start-size out, or take a "
            "convolutional network or a plain ViT."
        ) from error
    finally:
        net.train(training)


def _heads(method: Method) -> list[nn.Sequential]:
    """The multi-layer perceptrons of a method, its targets' too."""
    named = (module for name, module in method.named_modules() if name.split(".")[-1] in _HEADS)
    return [module for module in named if isinstance(module, nn.Sequential)]
