"""A pretraining run, from the data to the encoder."""

import json
import platform
import sys
import time
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ownlatent.config import Pretrain
from ownlatent.data import Canvases, Data, decode_canvases, open_source
from ownlatent.encoder import Encoder, EncoderFolder, Preprocessing, load_encoder
from ownlatent.errors import UsageError
from ownlatent.methods import METHODS, Method
from ownlatent.networks import backbone, group_batch_norm, load_weights
from ownlatent.optim import optimizer as make_optimizer
from ownlatent.optim import parameter_groups
from ownlatent.training import fabric as devices
from ownlatent.training.batches import Batches
from ownlatent.training.clock import Clock
from ownlatent.training.log import Log, decoding
from ownlatent.training.loop import train
from ownlatent.training.observer import Observer
from ownlatent.training.probe import OnlineProbe
from ownlatent.training.resolve import Plan, plan, view_size
from ownlatent.views import SMALL, Views


@dataclass(frozen=True)
class Run:
    """A finished run on disk."""

    folder: Path

    @property
    def log(self) -> list[dict[str, float]]:
        """The rows of ``log.jsonl``."""
        return [json.loads(line) for line in (self.folder / "log.jsonl").read_text().splitlines()]

    @property
    def config(self) -> dict[str, Any]:
        """What was asked, what it came to, and where it ran."""
        settings: dict[str, Any] = json.loads((self.folder / "config.json").read_text())
        return settings

    def encoder(self, network: str | None = None) -> Encoder:
        """See :func:`ownlatent.load_encoder`."""
        return load_encoder(self.folder, network=network)


def pretrain(data: Data, *, out: str | Path, **options: Any) -> Run:
    """Pretrain an encoder on unlabelled images.

    Args:
        data: a folder of images, a ``.npy``, ``.npz`` or Parquet file, or an array of uint8 or
            uint16 images.
        out: the run's folder; it must be new.
        **options: the fields of :class:`ownlatent.config.Pretrain`.

    Returns:
        the finished run: its encoder is in ``out/encoder``.

    Raises:
        UsageError: something asked for cannot be; nothing has been written then.
        Diverged: the loss is no longer a number.
    """
    name = data if isinstance(data, str | Path) else f"array {list(data.shape)}"
    known = Pretrain.__dataclass_fields__
    for option in options:
        if option not in known:
            raise UsageError(f"There is no option {option!r}; there are {', '.join(known)}.")
    return run(Pretrain(data=str(name), out=Path(out), **options), data)


def run(config: Pretrain, data: Data | None = None) -> Run:
    """Pretrain as the configuration says; ``data`` stands in for its path where it is an array."""
    _check_out(config.out)
    kind = devices.device(config.accelerator)
    world = devices.processes()
    source = open_source(config.data if data is None else data, labelled=config.labelled)
    size = view_size(config, _largest(source))
    canvases = decode_canvases(
        source,
        side=config.canvas,
        view_size=size,
        workers=config.workers,
        place=config.place,
        device=kind,
        progress=decoding() if devices.rank() == 0 else None,
    )
    settled = plan(config, canvases, size, kind, world)
    views = Views(
        settled.views, size, mean=settled.mean, std=settled.std, reference=config.reference
    )
    torch.manual_seed(config.seed)
    method, encoders, lines = _method(config, settled, canvases)
    fabric = devices.fabric(kind, settled.precision)
    _say(fabric.global_rank == 0, config, settled, canvases, lines)

    if world > 1:
        group_batch_norm(method, process_group=torch.distributed.group.WORLD)
    method = method.to(memory_format=torch.channels_last)
    views = views.to(fabric.device)
    if settled.compile:
        method.compile(dynamic=False)
        views.compile(dynamic=False)
    groups = parameter_groups(method, settled.weight_decay)
    trained, optimizer = fabric.setup(
        method, make_optimizer(settled.optimizer, groups, settled.lr), move_to_device=True
    )
    clock = Clock()
    batches = Batches(
        canvases.ids,
        config.seed,
        settled.batch_size,
        settled.accumulate,
        fabric.global_rank,
        fabric.world_size,
    )
    first = fabric.global_rank == 0
    if first:
        config.out.mkdir(parents=True, exist_ok=True)
        _write_config(config, settled, canvases, str(fabric.device))
    fabric.barrier()
    began = time.perf_counter()
    with Log(config.out, settled.total_steps, active=first) as log:
        observer = Observer(
            fabric,
            log,
            clock,
            every=config.log_every,
            images=settled.batch_size,
            probe=_probe(canvases, encoders),
        )
        try:
            train(
                fabric,
                method,
                trained,
                optimizer,
                views,
                canvases,
                batches,
                settled,
                observer,
                clock,
                seed=config.seed,
                log_every=config.log_every,
            )
        finally:
            # Also on Ctrl-C or divergence: the weights reached so far are worth keeping.
            if first:
                EncoderFolder.write(config.out / "encoder", encoders)
    if first:
        shares = {k: v / clock.total for k, v in clock.seconds.items()}
        summary = {"seconds": time.perf_counter() - began, "shares": shares}
        (config.out / "timing.json").write_text(json.dumps(summary, indent=2) + "\n")
    return Run(config.out)


def _check_out(out: Path) -> None:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out} already holds something; choose another --out or remove it.")


def _largest(source: Any) -> int:
    """The largest side among a few images: enough to tell thumbnails from photographs."""
    from ownlatent.data import Unreadable

    largest = 1
    for index in range(0, len(source), max(1, len(source) // 16)):
        try:
            header = source.header(index)
        except Unreadable:
            continue
        largest = max(largest, header.height, header.width)
    return largest


def _method(
    config: Pretrain, settled: Plan, canvases: Canvases
) -> tuple[Method, dict[str, Encoder], list[str]]:
    """The method, its encoders (which share its weights), and lines that say what they are."""
    channels = canvases.pixels.shape[1]
    net, line = backbone(config.backbone, channels, settled.size)
    lines = [line]
    if config.init is not None:
        lines.append(load_weights(net, config.init))
    target: nn.Module | None = None
    if config.target_start == "own":
        target, _ = backbone(config.backbone, channels, settled.size)
    method = METHODS[config.method](
        net, hidden=settled.hidden, dim=settled.dim, tau=settled.tau, target=target
    )
    height, width = canvases.pixels.shape[2:]
    small = max(height, width) <= SMALL
    preprocessing = Preprocessing(
        channels=channels,
        # Small images are encoded at their own size: random crops enlarge what they show, so
        # objects then appear as large as in training.
        size=max(height, width) if small else settled.size,
        crop=1.0 if small else 224 / 256,
        mean=settled.mean,
        std=settled.std,
    )
    provenance = {
        "method": config.method,
        "view_size": settled.size,
        "plan": settled.as_dict(),
        "data": {"images": len(canvases), "fingerprint": canvases.fingerprint},
        "seed": config.seed,
        "versions": versions(),
    }
    encoders = {
        name: Encoder(each, config.backbone, preprocessing, provenance)
        for name, each in method.encoders.items()
    }
    return method, encoders, lines


def _probe(canvases: Canvases, encoders: dict[str, Encoder]) -> OnlineProbe | None:
    if canvases.labels is None or int(canvases.labels.max()) < 1:
        return None
    features = next(iter(encoders.values())).num_features
    return OnlineProbe(features, int(canvases.labels.max()) + 1)


def versions() -> dict[str, str]:
    """The versions a result depends on."""
    packages = ("ownlatent", "torch", "torchvision", "timm", "lightning-fabric")
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}


def _say(
    first: bool, config: Pretrain, settled: Plan, canvases: Canvases, lines: list[str]
) -> None:
    if not first:
        return
    for line in (
        f"data      {canvases.summary()}",
        f"backbone  {'; '.join(lines)}",
        f"views     {settled.views}, {settled.size} pixels"
        + (" (reference pipeline)" if config.reference else ""),
        f"run       {config.method} {config.preset}: {settled.total_steps:,} steps of "
        f"{settled.batch_size} images ({settled.total_steps / settled.steps_per_epoch:.1f} epochs),"
        f" {settled.optimizer}, lr {settled.lr:g}, {settled.precision}, "
        f"{'compiled' if settled.compile else 'eager'}",
    ):
        print(line, file=sys.stderr)


def _write_config(config: Pretrain, settled: Plan, canvases: Canvases, device: str) -> None:
    asked = {k: str(v) if isinstance(v, Path) else v for k, v in asdict(config).items()}
    content = {
        "asked": asked,
        "plan": settled.as_dict(),
        "data": {
            "summary": canvases.summary(),
            "images": len(canvases),
            "fingerprint": canvases.fingerprint,
            "skipped": canvases.skipped,
        },
        "machine": {
            "device": device,
            "processor": platform.processor() or platform.machine(),
            "threads": torch.get_num_threads(),
            "system": platform.system(),
        },
        "versions": versions(),
    }
    (config.out / "config.json").write_text(json.dumps(content, indent=2) + "\n")
