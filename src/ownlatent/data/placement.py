"""Where canvases live: on the device, in host memory, or in a file on disk."""

import os
import shutil
from pathlib import Path
from typing import Literal

import torch

from ownlatent.errors import UsageError

Place = Literal["device", "host", "disk"]
PLACES = ("auto", "device", "host", "disk")
DEVICE_SHARE = 0.3  # of free device memory; networks and activations need the rest
HOST_SHARE = 0.5  # of available host memory
_CGROUP = Path("/sys/fs/cgroup")


def choose_place(size: int, place: Literal["auto"] | Place, device: torch.device) -> Place:
    """The place for ``size`` bytes.

    ``auto`` takes the device if it is a GPU and 30 % of its free memory is enough, else host memory
    if half of what is available is enough, else the disk. On a CPU, ``device`` means ``host``.

    Raises:
        UsageError: an unknown place, or one asked for by name that is too small.
    """
    if place not in PLACES:
        raise UsageError(f"{place!r} is no place for canvases: choose one of {', '.join(PLACES)}")
    on_gpu = device.type == "cuda"
    if place == "auto":
        if on_gpu and size <= DEVICE_SHARE * free_device_memory(device):
            return "device"
        return "host" if size <= HOST_SHARE * available_memory() else "disk"
    if place == "disk":
        return "disk"
    if place == "device" and device.type != "cpu":
        free = free_device_memory(device) if on_gpu else size
        where, instead = f"memory of {device}", "'host' or 'disk'"
    else:
        place, free, where, instead = "host", available_memory(), "host memory", "'disk'"
    if size > free:
        raise UsageError(
            f"the canvases need {gigabytes(size)} and {gigabytes(free)} of {where} are free: "
            f"place them on {instead}, or choose a smaller canvas side"
        )
    return place


def require_disk(size: int, folder: Path) -> None:
    """Raises UsageError where the disk under ``folder`` has less than ``size`` bytes free."""
    free = shutil.disk_usage(folder).free
    if size > free:
        raise UsageError(
            f"the canvases need {gigabytes(size)} and {gigabytes(free)} are free under {folder}: "
            f"free some space, choose another cache folder or a smaller canvas side, or decode "
            f"anew for every batch (place 'stream')"
        )


def free_disk(folder: Path) -> int:
    """Bytes free where ``folder`` is, or will be."""
    folder = folder.absolute()
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def free_device_memory(device: torch.device) -> int:
    """Bytes free on a CUDA device."""
    return torch.cuda.mem_get_info(device)[0]


def available_memory() -> int:
    """Bytes that can still be had in host memory, within the container's limit if there is one."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        table = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines}
        available = table["MemAvailable"]
    except (OSError, KeyError):  # not Linux: half of what the machine has
        available = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    try:
        limit = int((_CGROUP / "memory.max").read_text())
        statistics = (_CGROUP / "memory.stat").read_text().split()
        used = int((_CGROUP / "memory.current").read_text())
        # Files that the kernel keeps in memory count as used but are given back on demand.
        used -= int(statistics[statistics.index("inactive_file") + 1])
    except (OSError, ValueError):  # no container, or "max": no limit
        return available
    return max(0, min(available, limit - used))


def gigabytes(size: int) -> str:
    """``size`` bytes as text, in MB below one GB."""
    return f"{size / 1e9:,.1f} GB" if size >= 1e9 else f"{size / 1e6:,.1f} MB"
