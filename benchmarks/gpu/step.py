"""Images per second of whole training steps, where a step's time goes, and which limit holds it.

    python -m benchmarks.gpu.step [--minutes 8] [--toy]
    python -m benchmarks.gpu.step --minutes 60 --out benchmarks/results    # on a CPU

The loop is the library's own, from canvases on the device to the moved target, with the heads of
each method's paper and two views. Parts of a step are read off the device's clock between the
loop's laps. Operations are counted by torch over one eager step, bytes from what must be read and
written at least: weights, gradients, optimizer and target once, what is saved for the backward
pass once each way. The limits are the fastest product of matrices and the fastest copy, measured
in the same call.
"""

import functools
import math
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.gpu.common import (
    DEVICE,
    Budget,
    Cell,
    DeviceClock,
    arithmetic,
    bandwidth,
    fill,
    finish,
    parser,
    tf32,
    wait,
)  # fmt: skip
from ownlatent.config import Pretrain
from ownlatent.data import Canvases, decode_canvases, open_source
from ownlatent.training.clock import Clock
from ownlatent.training.feed import Feed
from ownlatent.training.loop import train
from ownlatent.training.observer import Observer
from ownlatent.training.session import Session, prepare

PUBLISHED = 871
"""Images/s of Barlow Twins, ViT-S/16, two views, batch 256, on one H200 (PEERS.md, section 5)."""
NETWORKS = {  # side of a view, images of a batch
    "resnet18": (32, 512), "resnet50": (224, 256), "vit_small_patch16_224": (224, 256),
    "small-resnet": (16, 16), "small-vit": (32, 8),
}  # fmt: skip
CPU_BATCH = {"resnet18": 32, "resnet50": 8, "vit_small_patch16_224": 8}
"""Images of a batch where there is no GPU."""
PRESETS = {
    "byol": "paper-100", "simclr": "paper-100", "barlow-twins": "paper", "dino": "paper-100"
}  # fmt: skip
PARTS = {
    "data": "views", "views": "views", "forward": "forward", "backward": "backward",
    "optimizer": "optimizer and target", "target": "optimizer and target",
}  # fmt: skip
"""What each lap of the loop belongs to; all others are "rest"."""
PARTS_SHOWN = [*dict.fromkeys(PARTS.values()), "rest"]


@dataclass(frozen=True)
class Case:
    """One row. ``mode``: compiled, eager, or graphs (compiled, replayed as CUDA graphs)."""

    method: str
    network: str
    precision: str = "bf16"
    mode: str = "compiled"
    optimizer: str | None = None
    warm: int = 10
    steps: int = 30

    @property
    def name(self) -> str:
        return f"{self.method} {self.network} {self.precision} {self.mode}"


_R18, _R50, _VIT = "resnet18", "resnet50", "vit_small_patch16_224"
CASES = [
    Case("barlow-twins", _VIT), Case("byol", _VIT), Case("byol", _R50), Case("byol", _R18),
    Case("byol", _R18, mode="eager"), Case("byol", _R18, mode="graphs"),
    Case("simclr", _R18), Case("barlow-twins", _R18), Case("dino", _R18),
    Case("simclr", _VIT), Case("dino", _VIT), Case("barlow-twins", _VIT, mode="graphs"),
    Case("byol", _R50, mode="eager"), Case("simclr", _R50), Case("barlow-twins", _R50),
    Case("dino", _R50), Case("byol", _R18, precision="tf32"), Case("byol", _R18, precision="fp32"),
]  # fmt: skip
CASES_CPU = [
    Case(method, network, precision, "eager", warm=1, steps=2)
    for network in (_R18, _VIT, _R50)
    for method in (["byol"] if network == _R50 else ["byol", "simclr", "barlow-twins", "dino"])
    for precision in ("fp32", "bf16")
]
TOY = [
    Case("byol", "small-resnet", "fp32", "eager", warm=1, steps=2),
    Case("barlow-twins", "small-vit", "bf16", "eager", warm=1, steps=2),
]
TOY_GPU = [
    Case("byol", "small-resnet", mode="compiled", warm=2, steps=2),
    Case("byol", "small-resnet", mode="graphs", warm=3, steps=2),
]
"""What a CPU does not do, or takes a minute for."""
WATCHED, PROFILED = 3 if DEVICE.type == "cuda" else 0, 2
"""Steps after the timed ones in which the host's waits are noted, and kernels profiled."""


def main() -> None:
    given = parser(__doc__).parse_args()
    budget = Budget(given.minutes)
    cases = CASES if DEVICE.type == "cuda" else CASES_CPU
    if given.toy:
        cases = [*TOY, *(TOY_GPU if DEVICE.type == "cuda" else [])]
    limits = Limits(given.toy)
    todo: dict[str, Callable[[], Cell]] = {
        case.name: functools.partial(measure, case, limits, given.toy) for case in cases
    }
    record = fill(given.out / "step.json", todo, budget, 0 if given.toy else 150)
    finish(given.out / "step.md", "A step", table(record))


class Limits:
    """What the card can do, each measured once."""

    def __init__(self, toy: bool) -> None:
        self._side, self._size = (8192, 1 << 32) if DEVICE.type == "cuda" else (2048, 1 << 28)
        if toy:
            self._side, self._size = 256, 1 << 20

    @functools.cache  # noqa: B019 (one object a script)
    def arithmetic(self, precision: str) -> float:
        return arithmetic(precision, self._side)

    @functools.cached_property
    def bandwidth(self) -> float:
        return bandwidth(self._size)


class Watch(Observer):
    """The loop's observer and keeper: takes its notes as ever, writes no row, saves nothing, and
    knows when the timed steps begin and end."""

    def __init__(self, session: Session, case: Case, clock: DeviceClock) -> None:
        super().__init__(session, None, clock)  # type: ignore[arg-type]
        self._case, self._points = case, clock.points
        self.first = self.last = 0
        """The points between which the timed steps lie."""
        self.profile: Any = None

    def report(self, step: int, outcome: Any, values: dict[str, float]) -> None:
        """Nothing is read back."""

    def after(self, done: int) -> None:
        if self._case.mode == "graphs":
            torch.compiler.cudagraph_mark_step_begin()
        warm, timed = self._case.warm, self._case.steps
        if done == warm:
            self.first = len(self._points)  # the lap that ends with this call
            forget_peak()
        if done == warm + timed:
            self.last = len(self._points)
            if DEVICE.type == "cuda":
                torch.cuda.set_sync_debug_mode("warn")
        if done == warm + timed + WATCHED:
            if DEVICE.type == "cuda":
                torch.cuda.set_sync_debug_mode("default")
            self.profile = torch.profiler.profile(acc_events=True)
            self.profile.start()
        if done == warm + timed + WATCHED + PROFILED:
            wait()
            self.profile.stop()


def measure(case: Case, limits: Limits, toy: bool = False) -> Cell:
    """Train a few steps of a case, and say what they took."""
    size, batch = NETWORKS[case.network]
    if DEVICE.type == "cpu":
        batch = CPU_BATCH.get(case.network, batch)
    config = Pretrain(
        data="array", method=case.method, preset="small" if toy else PRESETS[case.method], crops=0,
        backbone=case.network, size=size, batch_size=batch, optimizer=case.optimizer,  # type: ignore[arg-type]
        steps=case.warm + case.steps + WATCHED + PROFILED, log_every=10**6,
        precision="bf16" if case.precision == "bf16" else "fp32",
        compile="on" if case.mode == "compiled" else "off",
    )  # fmt: skip
    with tf32(case.precision == "tf32"), warnings.catch_warnings(record=True) as noted:
        warnings.simplefilter("always")
        session = prepare(config, images(4 * batch, size))
        if case.mode == "graphs":
            session.method.compile(dynamic=False, mode="reduce-overhead")
            session.views.compile(dynamic=False, mode="reduce-overhead")
        clock = DeviceClock()
        watch = Watch(session, case, clock)
        try:
            train(session, watch, watch, clock)  # type: ignore[arg-type]
        finally:
            if DEVICE.type == "cuda":
                torch.cuda.set_sync_debug_mode("default")
        waits = Counter(
            f"{'/'.join(Path(each.filename).parts[-2:])}:{each.lineno}"
            for each in noted
            if "called a synchronizing" in str(each.message)
        )
        memory = peak()
        operations, saved = work(session)
    laps = clock.intervals(watch.first, watch.last)
    seconds = sum(each for _, each in laps) / case.steps
    moved = bytes_moved(session, saved)
    share = operations / seconds / limits.arithmetic(case.precision)
    carried = moved / seconds / limits.bandwidth
    return {
        "images_per_second": batch / seconds, "step_seconds": seconds, "batch": batch, "size": size,
        "shares": shares(laps), "peak_bytes": memory,
        "operations_per_image": operations / batch, "bytes_per_step": moved,
        "share_of_arithmetic": share, "share_of_bandwidth": carried,
        "bound": "arithmetic" if share > carried else "bandwidth",
        "waits_per_step": {place: count / WATCHED for place, count in waits.items()},
        "kernels": kernels(watch.profile),
        "limit_flops": limits.arithmetic(case.precision), "limit_bytes": limits.bandwidth,
    }  # fmt: skip


def forget_peak() -> None:
    """Let :func:`peak` be that of what follows."""
    if DEVICE.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    else:
        Path("/proc/self/clear_refs").write_text("5")


def peak() -> int:
    """Most bytes held since: of the GPU, or by this process."""
    if DEVICE.type == "cuda":
        return torch.cuda.max_memory_allocated()
    status = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))


def images(count: int, size: int) -> Canvases:
    """Noise: what is in an image changes nothing of what a step takes."""
    side = size if size <= 64 else round(1.15 * size)
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (count, 3, side, side), dtype=torch.uint8, generator=generator)
    return decode_canvases(open_source(pixels), view_size=size, device=DEVICE, place="device")


def shares(laps: list[tuple[str, float]]) -> dict[str, float]:
    """The part of a step that each of its parts takes; they sum to one."""
    total = sum(seconds for _, seconds in laps)
    found: dict[str, float] = dict.fromkeys(PARTS_SHOWN, 0.0)
    for name, seconds in laps:
        found[PARTS.get(name, "rest")] += seconds / total
    return found


def work(session: Session) -> tuple[int, int]:
    """Operations of the views and both passes of a step, and bytes saved for the backward pass."""
    held = {p.untyped_storage().data_ptr() for p in session.method.parameters()}
    saved: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in held:
            saved[storage.data_ptr()] = storage.nbytes()
        return tensor

    def step() -> None:
        for _, views in Feed(session, Clock())(0):
            with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
                outcome = session.trained(views)
            session.fabric.backward(outcome.loss)

    session.method.zero_grad()
    with torch.compiler.set_stance("force_eager"):
        counted = operations(step)
    session.method.zero_grad()
    return counted, sum(saved.values())


def operations(run: Callable[[], object]) -> int:
    """Floating-point operations of products and convolutions, a multiplication and its addition
    being two."""
    with FlopCounterMode(display=False) as counter:
        run()
    found: int = counter.get_total_flops()
    return found


def bytes_moved(session: Session, saved: int) -> int:
    """What a step must read and write at least.

    Weights are read by the forward pass and their gradients written; the optimizer reads weights,
    gradients and its buffers and writes weights and buffers; the target is read and written and
    the weights read. What the backward pass needs is written once and read once.
    """
    weights = [p for p in session.method.parameters() if p.requires_grad]
    trained = sum(p.nbytes for p in weights)
    target = sum(p.nbytes for p in session.method.parameters() if not p.requires_grad)
    buffers = 2 if session.plan.optimizer == "adamw" else 1
    return trained * (2 + 3 + 2 * buffers) + target * 3 + 2 * saved


def kernels(profile: Any, most: int = 12) -> list[dict[str, Any]]:
    """What took the device longest, with its share."""
    averages = profile.key_averages()
    if DEVICE.type == "cuda":
        rows = [
            (each.key, each.self_device_time_total, each.count)
            for each in averages
            if each.device_type == torch.autograd.DeviceType.CUDA
        ]
    else:
        rows = [(each.key, each.self_cpu_time_total, each.count) for each in averages]
    total = math.fsum(time for _, time, _ in rows) or 1.0
    rows.sort(key=lambda row: -row[1])
    return [
        {"name": name[:80], "share": time / total, "calls_per_step": count / PROFILED}
        for name, time, count in rows[:most]
    ]


def _three(value: float) -> str:
    """With three digits, or all before the point."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def table(record: dict[str, Any]) -> list[str]:
    done = {name: cell for name, cell in record.items() if "error" not in cell}
    lines = [
        "| case | batch, px | images/s | memory, GB | views | forward | backward | "
        "optimizer and target | rest | GFLOP an image | of arithmetic | of bandwidth | "
        "waits a step |",
        "|---" * 13 + "|",
    ]
    for name, cell in done.items():
        parts = " | ".join(f"{cell['shares'][part]:.1%}" for part in PARTS_SHOWN)
        lines.append(
            f"| {name} | {cell['batch']}, {cell['size']} | {_three(cell['images_per_second'])} | "
            f"{cell['peak_bytes'] / 1e9:.1f} | {parts} | "
            f"{cell['operations_per_image'] / 1e9:.2f} | {cell['share_of_arithmetic']:.0%} | "
            f"{cell['share_of_bandwidth']:.0%} | {sum(cell['waits_per_step'].values()):.1f} |"
        )
    lines += ["", *(f"- {name} failed: {cell['error']}" for name, cell in record.items()
                    if "error" in cell)]  # fmt: skip
    for name in (f"barlow-twins {_VIT} bf16 compiled", f"byol {_VIT} bf16 compiled"):
        if name in done:
            rate = done[name]["images_per_second"]
            lines.append(
                f"- {name}: {rate / PUBLISHED:.2f} times the published {PUBLISHED} images/s of "
                "Barlow Twins on an H200 (goal 3)"
            )
    if (name := f"byol {_R50} bf16 compiled") in done:
        lines.append(f"- {name}: views take {done[name]['shares']['views']:.1%} (goal 5 %)")
    for name, cell in done.items():
        first = ", ".join(f"{each['name']} {each['share']:.0%}" for each in cell["kernels"][:5])
        lines.append(f"- {name}: {cell['bound']} is the nearer limit; longest: {first}")
        if cell["waits_per_step"]:
            lines.append(f"- {name}: the host waits at {', '.join(cell['waits_per_step'])}")
    return lines


if __name__ == "__main__":
    main()
