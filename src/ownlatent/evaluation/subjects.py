"""What is measured: an encoder, wherever it comes from, and the same network untrained."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import torch

from ownlatent.checks import SEED, require_within
from ownlatent.encoder import Encoder
from ownlatent.errors import UsageError
from ownlatent.foreign import find_encoder


class Subjects(NamedTuple):
    """Encoders on their device, by what they are called in a table."""

    encoder: Encoder
    nets: list[tuple[str, Encoder]]
    """The encoder, and the random start, if that is asked for."""
    run: Path | None
    """The run that the encoder lies in, if it does."""

    def keep(self, name: str, report: dict[str, Any], indent: int | None = 2) -> Path | None:
        """Write a report into the run, if there is one; where it was written."""
        if self.run is None:
            return None
        path = self.run / name
        path.write_text(json.dumps(report, indent=indent) + "\n")
        return path


def find_subjects(
    run: str | Path,
    *,
    network: str | None,
    backbone: str | None,
    baselines: bool,
    seed: int,
    device: str,
) -> Subjects:
    """
    Args:
        run, backbone: see :func:`find_encoder`.
        network: which of a run's; None: the one its method is evaluated by.
        baselines: the random start too, drawn by ``seed``.
        device: where they are put.

    Raises:
        UsageError: there is no encoder or device, or the seed is out of bounds.
    """
    require_within("seed", seed, *SEED)
    _require_device(device)
    source = find_encoder(run, backbone)
    nets = [(source.title(network), source.load(network).to(device))]
    if baselines:
        nets.append(("random initialisation", source.blank(seed).to(device)))
    return Subjects(nets[0][1], nets, source.run)


def _require_device(name: str) -> None:
    try:
        device = torch.device(name)
    except RuntimeError:
        device = torch.device("meta")
    if device.type not in ("cpu", "cuda"):
        raise UsageError(f"device must be cpu or cuda; got {name!r}.")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UsageError(f"There is no GPU {name!r} here; take --device cpu, or check the driver.")
