"""Where something is computed."""

import torch

from ownlatent.errors import UsageError


def require_device(name: str) -> None:
    """Raises UsageError where a device is neither the processor nor a GPU that is there."""
    try:
        device = torch.device(name)
    except RuntimeError:
        device = torch.device("meta")
    if device.type not in ("cpu", "cuda"):
        raise UsageError(f"device must be cpu or cuda; got {name!r}.")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UsageError(f"There is no GPU {name!r} here; take --device cpu, or check the driver.")
