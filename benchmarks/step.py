"""Images per second of whole training steps, and what share of the machine's arithmetic that is.

    python benchmarks/step.py [--steps 24] [--out benchmarks/results/step.md]

Real runs of ``ol.pretrain`` on the demo's images: data, views, both passes, optimizer, target and
the verdict's look. The arithmetic of a run is counted by torch's own counter in a run of its own,
and the limit is the fastest product of two square matrices in the same precision and process.
"""

import argparse
import json
import os
import platform
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

import ownlatent as ol
from ownlatent.demo import TRAIN

CORES = len(os.sched_getaffinity(0))
METHODS: dict[str, dict[str, Any]] = {
    "byol": {}, "simclr": {}, "barlow-twins": {}, "dino": {"prototypes": 1024}
}  # fmt: skip
NETWORKS: dict[str, dict[str, Any]] = {
    "small-resnet": {"size": 20, "batch_size": 64},
    "small-vit": {"size": 32, "batch_size": 64},
    "resnet18": {"size": 32, "batch_size": 32},
}


def limit(precision: str) -> float:
    """Operations per second of the fastest of many products of matrices."""
    side = 2048
    a = torch.randn(side, side).to(torch.bfloat16 if precision == "bf16" else torch.float32)
    best = float("inf")
    for _ in range(40):
        began = time.perf_counter()
        a @ a
        best = min(best, time.perf_counter() - began)
    return 2 * side**3 / best


def run(method: str, network: str, precision: str, steps: int) -> dict[str, float]:
    """Images per second over the second half of the steps, and operations per image."""
    options = {
        "method": method, "backbone": network, "precision": precision, "steps": steps,
        "log_every": steps // 2, **NETWORKS[network], **METHODS[method],
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        ol.pretrain(TRAIN, out=Path(folder) / "timed", **options)
        lines = (Path(folder) / "timed" / "log.jsonl").read_text().splitlines()
        first, last = (json.loads(line) for line in (lines[0], lines[-1]))
        counts = []
        for some in (1, 2):  # the difference is one step without what is done once
            with FlopCounterMode(display=False) as counter:
                ol.pretrain(
                    TRAIN, out=Path(folder) / f"counted-{some}", **options | {"steps": some}
                )
            counts.append(counter.get_total_flops())
    size = options["batch_size"]
    images = (last["step"] - first["step"]) * size
    return {
        "rate": images / (last["seconds"] - first["seconds"]),
        "work": (counts[1] - counts[0]) / size,
        "wait": last["data_wait"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS))
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    limits = {precision: limit(precision) for precision in ("fp32", "bf16")}
    lines = [
        "| network | method | precision | images/s | GFLOP an image | of the limit | waiting |",
        "|---|---|---|---|---|---|---|",
    ]
    for network in given.networks:
        for method in METHODS:
            for precision, most in limits.items():
                found = run(method, network, precision, given.steps)
                lines.append(
                    f"| {network}, {NETWORKS[network]['size']} px | {method} | {precision} "
                    f"| {found['rate']:,.0f} | {found['work'] / 1e9:.2f} "
                    f"| {found['rate'] * found['work'] / most:.0%} | {found['wait']:.0%} |"
                )
                print(lines[-1], flush=True)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    head = (
        f"# A step\n\n    python benchmarks/step.py --steps {given.steps}\n\n{CORES} cores of "
        f"{platform.processor() or platform.machine()}, torch {torch.__version__}. The limit: "
        + ", ".join(f"{most / 1e9:,.0f} GFLOP/s in {name}" for name, most in limits.items())
        + f". At most {memory:.1f} GB over all of it.\n\n"
    )
    if given.out is not None:
        given.out.write_text(head + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
