"""What a result depends on besides its settings: versions and machine."""

import os
import platform
from importlib.metadata import version
from typing import Any

import torch


def versions() -> dict[str, str]:
    """The versions a result depends on."""
    packages = ("ownlatent", "torch", "torchvision", "timm", "lightning-fabric")
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}


def machine(device: str, processes: int) -> dict[str, Any]:
    """Where a run is at work."""
    return {
        "device": device,
        "processor": processor(),
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
        "processes": processes,
        "system": platform.system(),
    }


def processor() -> str:
    """The processor's name and widest vector instructions, on which the last bits may depend."""
    name = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo") as file:
            name = next(
                line.split(":")[1].strip() for line in file if line.startswith("model name")
            )
    except (OSError, StopIteration, IndexError):
        pass
    return f"{name}, {torch.backends.cpu.get_cpu_capability()}"


def cpu_computes_bf16() -> bool:
    """Whether this CPU multiplies bf16 natively; elsewhere bf16 is emulated, and slow."""
    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, check, bool)() for check in checks)


def differences(then: dict[str, Any], device: str, processes: int) -> list[str]:
    """What differs from the machine and versions a run's configuration holds, if anything.

    A run that goes on is the same to the last bit only where there is nothing.
    """
    now = {"machine": machine(device, processes), "versions": versions()}
    found = []
    for group in ("machine", "versions"):
        for name, value in now[group].items():
            before = then.get(group, {}).get(name)
            if name != "cores" and before != value:
                found.append(f"{name} {value} instead of {before}")
    return found
