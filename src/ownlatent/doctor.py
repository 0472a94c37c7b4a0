"""``ownlatent doctor``: what this machine has, what would be slow on it, and what to do about that.

:func:`examine` finds the facts and :func:`advice` turns facts into sentences: a pure function, so
that every machine can be simulated.
"""

import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ownlatent.columns import columns

_PACKAGES = ("ownlatent", "torch", "torchvision", "timm", "lightning-fabric", "pyarrow", "pillow")
_PROGRAM = "#include <vector>\nint main() { return std::vector<int>(3, 0)[0]; }\n"
_PATIENCE = 3.0  # seconds for the compiler
_DECODED = 300  # images
_SLOW_DECODING = 1000.0  # images/s and core: a tenth of what small JPEGs usually take


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What was found. Sizes are in bytes.

    Attributes:
        cores: that this process may use.
        busy: processes that want a core now, by the system's own average over a minute.
        driver: whether an NVIDIA driver is installed, whatever torch makes of it.
        compiler: the C++ compiler that works; None where there is none, or it is too slow.
        images_per_second: decoded by one core, of the demo's images.
    """

    versions: dict[str, str]
    system: str
    processor: str
    cores: int
    threads: int
    busy: float
    gpus: list[str]
    driver: bool
    compiler: str | None
    native_bf16: bool
    images_per_second: float
    memory: int
    disk: int
    gloo: bool
    torchrun: bool
    tensorboard: bool

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def advice(facts: Facts) -> list[str]:
    """What would be slow or would not work here, and what to do about it: one sentence each."""
    rules: list[tuple[bool, str]] = [
        (
            facts.driver and not facts.gpus,
            "An NVIDIA driver is installed but torch finds no GPU: install a torch built for CUDA, "
            "or see whether CUDA_VISIBLE_DEVICES hides it.",
        ),
        (
            not facts.gpus,
            "Without a GPU, large networks and large views take days: begin with --backbone "
            "small-resnet and --size 32, and expect minutes per 10,000 images and epoch.",
        ),
        (
            facts.compiler is None,
            "No C++ compiler works, so --compile has no effect on a CPU and may fail on a GPU: "
            "install g++ (Debian: apt install g++), or name yours in CXX.",
        ),
        (
            not facts.gpus and not facts.native_bf16,
            "This processor only emulates bf16: leave --precision at auto, which takes fp32 here.",
        ),
        (
            facts.threads < facts.cores,
            f"torch uses {facts.threads} of {facts.cores} cores: unset OMP_NUM_THREADS, or set it "
            f"to {facts.cores}, unless other work needs them.",
        ),
        (
            facts.threads > facts.cores,
            f"torch starts {facts.threads} threads for {facts.cores} cores, which makes every step "
            f"slower: set OMP_NUM_THREADS={facts.cores}.",
        ),
        (
            facts.busy > 1.5 * facts.cores,
            f"{facts.busy:.0f} processes share {facts.cores} cores now: wait for them, or expect a "
            "run to take that much longer.",
        ),
        (
            facts.images_per_second < _SLOW_DECODING,
            f"Decoding is slow ({facts.images_per_second:,.0f} images/s per core): make the files "
            "smaller once, or take --place disk so that later runs find them decoded.",
        ),
        (
            facts.memory < 4e9,
            f"{facts.memory / 1e9:.1f} GB of memory are free: take --place disk for the images and "
            "a --batch-size of 64 or less with --accumulate.",
        ),
        (
            facts.disk < 5e9,
            f"{facts.disk / 1e9:.1f} GB of disk are free here: a run of resnet50 keeps about 2 GB "
            "of checkpoints; free some space, or take --keep 1.",
        ),
        (
            not facts.gloo,
            "This torch has no gloo, so runs of several processes on CPUs do not start: install "
            "torch from its own wheels.",
        ),
        (
            not facts.torchrun,
            "torchrun is not beside this Python: start several processes by "
            "python -m torch.distributed.run.",
        ),
        (
            not facts.tensorboard,
            "TensorBoard is missing, so runs write JSON lines only: pip install "
            "'ownlatent[track]' to have it.",
        ),
    ]
    return [sentence for holds, sentence in rules if holds]


def examine() -> Facts:
    """Look at this machine: a few seconds, most of them torch's import."""
    finish = _begin_compiling()  # beside torch's import
    import torch

    from ownlatent.data.placement import available_memory
    from ownlatent.training.provenance import cpu_computes_bf16, processor

    found = torch.cuda.device_count() if torch.cuda.is_available() else 0
    gpus = [torch.cuda.get_device_properties(index) for index in range(found)]
    has_affinity = hasattr(os, "sched_getaffinity")
    return Facts(
        versions={"python": platform.python_version(), **_versions()},
        system=platform.platform(),
        processor=processor(),
        cores=len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count() or 1,
        threads=torch.get_num_threads(),
        busy=os.getloadavg()[0],
        gpus=[f"{each.name}, {each.total_memory / 1e9:.0f} GB" for each in gpus],
        driver=shutil.which("nvidia-smi") is not None,
        images_per_second=_decoding_speed(),
        memory=available_memory(),
        disk=shutil.disk_usage(".").free,
        native_bf16=cpu_computes_bf16(),
        gloo=torch.distributed.is_available() and torch.distributed.is_gloo_available(),
        torchrun=bool(shutil.which("torchrun") or _beside("torchrun")),
        tensorboard="tensorboard" in _versions("tensorboard"),
        compiler=finish(),
    )


def page(facts: Facts) -> str:
    """Facts, then advice, for a person."""
    versions = dict(facts.versions)
    rows = [
        ("versions", ", ".join(f"{name} {number}" for name, number in versions.items())),
        ("system", facts.system),
        ("processor", facts.processor),
        ("cores", f"{facts.cores}; torch uses {facts.threads} threads; load {facts.busy:.1f}"),
        ("GPU", "; ".join(facts.gpus) or "none"),
        ("compiler", facts.compiler or "none that works"),
        ("bf16", "native on the processor" if facts.native_bf16 else "emulated on the processor"),
        ("decoding", f"{facts.images_per_second:,.0f} images/s per core (the demo's, 32 pixels)"),
        ("memory", f"{facts.memory / 1e9:.1f} GB free"),
        ("disk", f"{facts.disk / 1e9:.1f} GB free here"),
        ("processes", f"gloo {_word(facts.gloo)}, torchrun {_word(facts.torchrun)}"),
        ("TensorBoard", _word(facts.tensorboard)),
    ]
    found = advice(facts) or ["Nothing here would slow a run down."]
    return "\n".join([columns(rows), "", *(f"- {sentence}" for sentence in found)])


def _word(there: bool) -> str:
    return "available" if there else "missing"


def _versions(*names: str) -> dict[str, str]:
    found = {}
    for name in names or _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _beside(name: str) -> bool:
    return (Path(sys.executable).parent / name).exists()


def _begin_compiling() -> Callable[[], str | None]:
    """Start the compiler on a small program; the function returned says how it went."""
    path = shutil.which(os.environ.get("CXX", "g++"))
    if path is None:
        return lambda: None
    folder = tempfile.TemporaryDirectory()
    source, program = Path(folder.name, "a.cpp"), Path(folder.name, "a")
    source.write_text(_PROGRAM)
    process = subprocess.Popen(
        [path, "-O1", "-o", program, source], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    began = time.monotonic()

    def finish() -> str | None:
        with folder:
            try:
                left = max(0.1, _PATIENCE - (time.monotonic() - began))
                works = process.wait(left) == 0
                works = works and subprocess.run([program], timeout=1.0).returncode == 0
            except (subprocess.TimeoutExpired, OSError):
                works = False
            finally:
                process.kill()
                process.wait()
        return path if works else None

    return finish


def _decoding_speed() -> float:
    from ownlatent.data import open_source
    from ownlatent.demo import TEST

    source = open_source(TEST)
    source.read_with_digest(0, 1)  # opens the table; by Pillow, which is there without torchvision
    began = time.perf_counter()
    for index in range(1, _DECODED + 1):
        source.read_with_digest(index, 1)
    return _DECODED / (time.perf_counter() - began)
