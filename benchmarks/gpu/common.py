"""What the scripts for a GPU share: a record of what is done, a budget, the card and its limits."""

import argparse
import gc
import os
import shutil
import signal
import statistics
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from types import FrameType
from typing import Any

import torch

from benchmarks.kept import read_record, write_record
from ownlatent.training.clock import Clock

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
Cell = dict[str, Any]


class OutOfTime(KeyboardInterrupt):
    """The script's minutes are over; what it finished is in its record."""


class Budget:
    """The minutes of one call of a script."""

    def __init__(self, minutes: float) -> None:
        self._ends = time.monotonic() + 60 * minutes

    @property
    def left(self) -> float:
        """Seconds."""
        return self._ends - time.monotonic()

    @contextmanager
    def enforced(self, reserve: float = 0.0) -> Iterator[None]:
        """Ends what runs inside ``reserve`` seconds before the budget does, by SIGTERM: a
        pretraining run saves itself then and raises Stopped; anything else raises OutOfTime."""

        def stop(number: int, frame: FrameType | None) -> None:
            raise OutOfTime

        before = signal.getsignal(signal.SIGTERM)
        wait = max(self.left - reserve, 0.0)
        timer = threading.Timer(wait, os.kill, (os.getpid(), signal.SIGTERM))
        try:
            signal.signal(signal.SIGTERM, stop)
            timer.start()
            yield
        finally:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)  # one that comes late ends nothing
            timer.cancel()
            signal.signal(signal.SIGTERM, before)


def parser(doc: str | None, minutes: float = 8.0) -> argparse.ArgumentParser:
    """The options that every script has."""
    made = argparse.ArgumentParser(description=(doc or "").splitlines()[0])
    made.add_argument("--minutes", type=float, default=minutes, help="of this call")
    made.add_argument("--out", type=Path, default=Path("runs/gpu"), help="records, tables, runs")
    made.add_argument("--toy", action="store_true", help="everything at a size of seconds")
    return made


def fill(
    record: Path,
    todo: Mapping[str, Callable[[], Cell]],
    budget: Budget,
    reserve: float = 0.0,
) -> dict[str, Any]:
    """Keep what each call gives under its name, unless the record has it.

    One that fails is kept as its error, and tried again by the next call of the script. None is
    begun where less than ``reserve`` seconds are left.

    Returns:
        the record.
    """
    record.parent.mkdir(parents=True, exist_ok=True)
    for name, run in todo.items():
        if "error" not in read_record(record).get(name, {"error": "missing"}):
            continue
        if budget.left < reserve:
            print(f"{name}: left for the next call, {budget.left:.0f} s remain", flush=True)
            break
        began = time.monotonic()
        try:
            cell = run()
        except Exception as error:
            traceback.print_exc()
            cell = {"error": f"{type(error).__name__}: {error}".splitlines()[0][:300]}
        cell |= {"seconds": round(time.monotonic() - began, 1), **card()}
        write_record(record, read_record(record) | {name: cell})
        print(f"{name}: {cell.get('error', 'done')} ({cell['seconds']} s)", flush=True)
        clear()
    return read_record(record)


def finish(page: Path, title: str, lines: Sequence[str]) -> None:
    """Write a page; it and the record beside it also go where ``$OUT`` says, if it does."""
    where = "; ".join(f"{name} {value}" for name, value in card().items())
    page.write_text(f"# {title}\n\nLast call: {where}.\n\n" + "\n".join(lines) + "\n")
    print(page.read_text(), flush=True)
    if out := os.environ.get("OUT"):
        for file in (page, page.with_suffix(".json")):
            if file.is_file():
                shutil.copy(file, out)


def card() -> Cell:
    """What a figure was measured on."""
    name = torch.cuda.get_device_name() if DEVICE.type == "cuda" else "CPU"
    return {"card": name, "torch": torch.__version__}


def clear() -> None:
    """Forget compiled programs and give memory back, so that one measurement leaves the next
    alone."""
    torch._dynamo.reset()
    gc.collect()
    if DEVICE.type == "cuda":
        torch.cuda.empty_cache()


def wait() -> None:
    """Until the device has done what was asked of it."""
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()


def timed(run: Callable[[], Any], repeats: int, warm: int = 3) -> float:
    """Median seconds of a call, on the device's own clock."""
    for _ in range(warm):
        run()
    clock = DeviceClock()
    for _ in range(repeats):
        run()
        clock.lap("call")
    return statistics.median(seconds for _, seconds in clock.intervals())


class DeviceClock(Clock):
    """A clock whose laps are points on the device's own line of time: where the device waits for
    the host, its waiting counts for the lap that it waits in."""

    def __init__(self) -> None:
        self.points: list[tuple[str, Any]] = []
        super().__init__()

    def restart(self) -> None:
        super().restart()
        self._point("start")

    def lap(self, name: str) -> None:
        super().lap(name)
        self._point(name)

    def _point(self, name: str) -> None:
        if DEVICE.type == "cuda":
            event = torch.cuda.Event(enable_timing=True)
            event.record()
            self.points.append((name, event))
        else:
            self.points.append((name, time.perf_counter()))

    def intervals(self, first: int = 0, last: int | None = None) -> list[tuple[str, float]]:
        """Name and seconds of each lap between two points."""
        wait()
        points = self.points[first : None if last is None else last + 1]
        pairs = list(pairwise(points))
        if DEVICE.type == "cuda":
            return [(name, a.elapsed_time(b) / 1e3) for (_, a), (name, b) in pairs]
        return [(name, b - a) for (_, a), (name, b) in pairs]


def arithmetic(precision: str, side: int) -> float:
    """Operations per second of products of two square matrices of random numbers, on a CPU of a
    3x3 convolution where that is faster (two libraries compute them): what networks could reach at
    best. ``precision``: bf16, fp32 or tf32."""
    kind = torch.bfloat16 if precision == "bf16" else torch.float32
    a, b = (torch.randn(side, side, device=DEVICE).to(kind) for _ in range(2))
    with tf32(precision == "tf32"):
        found = 2 * side**3 / timed(lambda: a @ b, 10)
    if DEVICE.type == "cuda":
        return found
    width = max(side // 8, 8)
    x = torch.randn(8, width, 32, 32).to(kind).contiguous(memory_format=torch.channels_last)
    w = torch.randn(width, width, 3, 3).to(kind).contiguous(memory_format=torch.channels_last)
    counted = 2 * x.numel() * width * 9
    return max(found, counted / timed(lambda: torch.conv2d(x, w, padding=1), 10))


def bandwidth(size: int) -> float:
    """Bytes per second of a copy on the device, read and written ones."""
    source = torch.randint(0, 255, (size,), dtype=torch.uint8, device=DEVICE)
    target = torch.empty_like(source)
    return 2 * size / timed(lambda: target.copy_(source), 10)


@contextmanager
def tf32(on: bool) -> Iterator[None]:
    """Products and convolutions of float32 numbers with 10 bits of mantissa, where the card can."""
    matmul, cudnn = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = on
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = matmul
        torch.backends.cudnn.allow_tf32 = cudnn
