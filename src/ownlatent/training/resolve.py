"""From what was asked to what will run: every choice that depends on the data or the machine."""

import math
import os
import shutil
import sys
from typing import Any

import torch

from ownlatent.config import Plan, Pretrain
from ownlatent.errors import UsageError
from ownlatent.kinds import KINDS, Samples
from ownlatent.methods import Method, find, preset
from ownlatent.methods.options import defaults, parse, settle
from ownlatent.methods.presets import Preset
from ownlatent.training import fabric as devices
from ownlatent.training.provenance import cpu_computes_bf16


def requested(config: Pretrain) -> tuple[Preset, type[Method], dict[str, Any]]:
    """What is asked for, as far as it can be judged before the data are read.

    Returns:
        the preset, the method and the options given for it.

    Raises:
        UsageError: there is no such method, preset or option, or two of them contradict.
    """
    recipe, method = preset(config.method, config.preset), find(config.method)
    asked = settle(config.method, method, parse(config.set))
    if config.steps is not None and config.epochs is not None:
        raise UsageError("Give --steps or --epochs, not both.")
    if config.shard and devices.processes() == 1:
        raise UsageError(
            "There is one process and --shard needs several: torchrun --nproc-per-node=2 -m "
            "ownlatent pretrain ... starts two."
        )
    if config.crops and not method.local_crops:
        raise UsageError(f"{config.method} makes no use of local crops: leave --crops out.")
    return recipe, method, asked


def plan(config: Pretrain, samples: Samples, device: torch.device, world: int) -> Plan:
    """Settle the run.

    Raises:
        UsageError: the choices contradict one another or the data.
    """
    recipe, method, asked = requested(config)

    def pick(name: str) -> Any:
        given = getattr(config, name)
        return getattr(recipe, name) if given is None else given

    images, noun = len(samples), KINDS[samples.kind].noun
    if bool((samples.digests == samples.digests[0]).all()):
        one = f"only one {noun.removesuffix('s')}"
        held = one if images == 1 else f"{images:,} {noun} that are all the same"
        raise UsageError(f"The data hold {held}: give {noun} that differ.")
    batch_size = config.batch_size or min(recipe.batch_size, _even(images, config, world))
    if batch_size > images:
        raise UsageError(
            f"A batch of {batch_size} is more than the {images} {noun}{_left(samples)}; take "
            f"--batch-size "
            f"{_even(images, config, world)} or less."
        )
    require_share(batch_size, config.accumulate, world)
    bn_group = pick("bn_group")
    if bn_group is not None:
        bn_group = _group(bn_group, batch_size // config.accumulate, world, config.bn_group)
    steps_per_epoch = images // batch_size
    total = config.steps if config.steps is not None else pick("epochs") * steps_per_epoch
    looks = KINDS[samples.kind].looks(config, samples, recipe.views)
    crops = pick("crops")
    if config.start_size is not None:
        _require_growth(config.start_size, looks.size, samples.kind, total / steps_per_epoch)
    if config.crops_after and not crops:
        raise UsageError(
            "There are no local crops to wait for: give --crops or leave --crops-after."
        )
    epochs = math.ceil(total / steps_per_epoch)
    if config.crops_after * epochs > epochs - 1:
        raise UsageError(
            f"Local crops join from epoch to epoch, and of {epochs} none begins after "
            f"{config.crops_after:.0%} of the run: take a smaller --crops-after, or more epochs."
        )
    return Plan(
        size=looks.size,
        start_size=config.start_size,
        views=looks.views,
        crops=crops,
        crops_after=config.crops_after,
        batch_size=batch_size,
        accumulate=config.accumulate,
        total_steps=total,
        steps_per_epoch=steps_per_epoch,
        # A warm-up made for hundreds of epochs must not eat a short run.
        warmup_steps=min(round(pick("warmup_epochs") * steps_per_epoch), math.ceil(total / 10)),
        optimizer=pick("optimizer"),
        lr=pick("base_lr") * batch_size / 256,
        schedule=recipe.schedule,
        final_lr=recipe.final_lr,
        weight_decay=pick("weight_decay"),
        final_weight_decay=recipe.final_weight_decay,
        decay_all=recipe.decay_all,
        bias_lr=recipe.bias_lr,
        predictor_lr=pick("predictor_lr"),
        predictor_fixed=recipe.predictor_fixed,
        clip=pick("clip"),
        bn_group=bn_group,
        norm=pick("norm"),
        frozen_patches=pick("frozen_patches"),
        options=defaults(method) | dict(recipe.options) | asked,
        precision=_precision(config.precision, device),
        compile=_compile(config.compile, device, world),
        mean=looks.mean,
        std=looks.std,
    )


def _require_growth(start: int, size: int, kind: str, epochs: float) -> None:
    """Raises UsageError where views cannot grow from ``start`` to ``size``."""
    if kind != "images":
        raise UsageError(f"Views of {KINDS[kind].noun} do not grow: leave --start-size out.")
    if start > size:
        raise UsageError(
            f"Views of {start} pixels cannot grow to {size}: take a smaller --start-size."
        )
    if start < size and epochs < 4:
        raise UsageError(
            f"Views grow from epoch to epoch and there are {epochs:.1f}: take 4 or more, or leave "
            "--start-size out."
        )


def require_share(batch_size: int, accumulate: int, world: int) -> None:
    """Raises UsageError where a batch cannot be cut evenly into parts that batch norm can use."""
    share = accumulate * world
    if batch_size < 2 * share or batch_size % share:
        raise UsageError(
            f"A batch of {batch_size} cannot be cut into {accumulate} micro-batches on {world} "
            f"process(es) of at least 2 images each; take a multiple of {share} from {2 * share} "
            "on."
        )


def _group(size: int, batch: int, world: int, asked: int | None) -> int:
    """A batch-norm group that cuts a micro-batch of all processes evenly, none across two.

    Raises:
        UsageError: the one that was asked for does not.
    """
    share = batch // world
    if size <= share and share % size == 0:
        return size
    fitting = next((n for n in range(min(size, share), 1, -1) if share % n == 0), share)
    if asked is not None:
        raise UsageError(
            f"Batch-norm groups of {size} do not fit into the {share} images that a process has "
            f"of a micro-batch; take --bn-group {fitting}."
        )
    return fitting


def _left(samples: Samples) -> str:
    """Why there are fewer samples than a person counts, where some could not be used."""
    if not samples.skipped:
        return ""
    name, why = samples.skipped[0]
    return f" that are left of {len(samples) + len(samples.skipped)} ({name}: {why})"


def _even(images: int, config: Pretrain, world: int) -> int:
    """The largest batch that the data fill and that can be cut evenly."""
    share = config.accumulate * world
    return max(images // share, 1) * share


def _precision(asked: str, device: torch.device) -> str:
    if asked != "auto":
        return asked
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    return "bf16" if cpu_computes_bf16() else "fp32"


def _compile(asked: str, device: torch.device, world: int) -> bool:
    wanted = device.type == "cuda" if asked == "auto" else asked == "on"
    if wanted and world > 1:
        return False  # collectives inside batch norm would break the graph at every layer
    if wanted and device.type == "cpu" and not _compiler():
        print("No C++ compiler found: running eager, with the same results.", file=sys.stderr)
        return False
    return wanted


def _compiler() -> bool:
    return shutil.which(os.environ.get("CXX", "g++")) is not None
