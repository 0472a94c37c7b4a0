"""Does a long run's memory grow? A tiny run for many minutes, its memory sampled all along.

Run: python benchmarks/soak.py --minutes 30
After a warm-up of two minutes and three checkpoints (caches fill, allocators settle; on a busy
machine two minutes are not three checkpoints) the resident memory is sampled every ten seconds.
Exit code 1 where the last minute's mean is more than 1 % above the first's. The result goes to
benchmarks/results/soak.md.
"""

import argparse
import contextlib
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

import ownlatent as ol
from ownlatent.demo import TEST
from ownlatent.training.keeper import Keeper
from ownlatent.training.provenance import machine, versions

MOST = 0.01  # growth, as a share
RESULTS = Path(__file__).parent / "results" / "soak.md"
OPTIONS: dict[str, Any] = {
    "backbone": "small-resnet",
    "size": 16,
    "batch_size": 32,
    "hidden": 64,
    "dim": 32,
    "steps": 10**9,
    "log_every": 20,
    "checkpoint_steps": 200,
    "precision": "fp32",
    "compile": "off",
}


class Enough(Exception):
    """The time is up."""


def resident() -> float:
    """This process's resident memory in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


class Sampler:
    """Samples memory between two steps, and ends the run when its time is up."""

    def __init__(self, minutes: float, warm_up: float, every: float) -> None:
        self.end, self.every, self.warm_up = 60 * minutes, every, 60 * warm_up
        self.began, self.due = time.monotonic(), 0.0
        self.samples: list[tuple[float, float]] = []  # seconds, MB
        self.steps = 0

    def look(self, done: int) -> None:
        now, self.steps = time.monotonic() - self.began, done
        if not self.samples and (now < self.warm_up or done < 3 * OPTIONS["checkpoint_steps"]):
            return
        if not self.samples:
            self.began, now = time.monotonic(), 0.0
        if now >= self.due:
            self.samples.append((now, resident()))
            self.due += self.every
            print(f"{now / 60:5.1f} min  step {done:7,}  {self.samples[-1][1]:8.1f} MB", flush=True)
        if now >= self.end:
            raise Enough


def slope(samples: list[tuple[float, float]]) -> float:
    """MB per hour, by least squares."""
    x, y = (torch.tensor(values, dtype=torch.float64) for values in zip(*samples, strict=True))
    x, y = x - x.mean(), y - y.mean()
    return float((x * y).sum() / x.square().sum().clamp(min=1e-12)) * 3600


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--warm-up", type=float, default=2.0, help="minutes")
    parser.add_argument("--every", type=float, default=10.0, help="seconds between samples")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    sampler, after = Sampler(asked.minutes, asked.warm_up, asked.every), Keeper.after

    def watched(keeper: Keeper, done: int) -> None:
        after(keeper, done)
        sampler.look(done)

    Keeper.after = watched  # type: ignore[method-assign]
    with tempfile.TemporaryDirectory() as folder, contextlib.suppress(Enough):
        ol.pretrain(TEST, out=Path(folder, "run"), **OPTIONS)
    samples = sampler.samples
    if len(samples) < 4:
        sys.exit("Too few samples: give more --minutes, or less --warm-up.")
    values = [value for _, value in samples]
    window = max(1, min(6, len(values) // 2))  # a minute's, or half of a short try's
    first, last = sum(values[:window]) / window, sum(values[-window:]) / window
    growth = last / first - 1
    where, version = machine("cpu", 1), versions()
    lines = [
        f"first      {first:,.1f} MB",
        f"last       {last:,.1f} MB",
        f"max        {max(values):,.1f} MB",
        f"slope      {slope(samples):+.2f} MB per hour",
        f"growth     {growth:+.2%} (at most {MOST:.0%})",
    ]
    print(*lines, sep="\n")
    RESULTS.write_text(
        "# Soak: memory over a long run\n\n"
        "Written by `python benchmarks/soak.py"
        f" --minutes {asked.minutes:g}`: a small BYOL run with a log line every 20 steps and a "
        "checkpoint every 200.\nFirst and last are means over "
        f"{window} samples, {asked.every:g} seconds apart, after a warm-up of {asked.warm_up:g} "
        "minutes and three checkpoints.\n\n```\n" + "\n".join(lines) + "\n```\n\n"
        f"{sampler.steps:,} steps, {len(samples)} samples; {where['processor']}, one thread, "
        f"Python {version['python']}, torch {version['torch']}.\n"
    )
    sys.exit(growth > MOST)


if __name__ == "__main__":
    main()
