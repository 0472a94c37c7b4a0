"""What a step costs, in time and memory, as batch, views, crops and processes grow.

    python benchmarks/scale.py

BYOL on small-resnet, the demo's images; each row is a process of its own, and changes one thing of
64 images, 32 pixels, no local crops, one process, all threads. Images/s is of the steps after the
first ten. Memory is the largest that the processes held, together. Samples have a benchmark of
their own (stream.py).
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from kept import RESULTS, fill, read_record
from tables import DOCS, write

from ownlatent.demo import TEST

BASE = {"batch_size": 64, "size": 32, "crops": 0, "processes": 1}
AXES = {
    "batch_size": (16, 64, 256, 1024),
    "size": (16, 32, 64, 128),
    "crops": (0, 2, 4, 8),
    "processes": (1, 2),
}
IMAGES = 2048
"""Seen in a row, at the base size; as much arithmetic in the others."""
RECORD = RESULTS / "scale.json"


def cell(batch_size: int, size: int, crops: int, processes: int) -> dict[str, float]:
    work = (size / BASE["size"]) ** 2 * (1 + crops / 4)
    steps = max(4, round(IMAGES / work / batch_size))
    with tempfile.TemporaryDirectory() as out:
        options = f"--backbone small-resnet --size {size} --batch-size {batch_size} --crops {crops}"
        options += f" --steps {10 + steps} --log-every 1 --out {out}/run"
        command = [sys.executable]
        if processes > 1:
            command += ["-m", "torch.distributed.run", "--standalone"]
            command += [f"--nproc-per-node={processes}"]
        command += ["-m", "ownlatent", "pretrain", TEST, *options.split()]
        threads = str(max(1, len(os.sched_getaffinity(0)) // processes))
        began = subprocess.Popen(
            command, env=os.environ | {"OMP_NUM_THREADS": threads}, stderr=subprocess.DEVNULL
        )
        peak = 0.0
        while began.poll() is None:
            peak = max(peak, _resident(began.pid))
            time.sleep(0.2)
        if began.returncode:
            raise RuntimeError(" ".join(command))
        log = [json.loads(line) for line in Path(f"{out}/run/log.jsonl").read_text().splitlines()]
    seconds = log[-1]["seconds"] - log[9]["seconds"]
    return {"images/s": steps * batch_size / seconds, "MB": peak}


def _resident(parent: int) -> float:
    """Memory of a process and of those that it started, MB."""
    pids, total = [parent], 0
    while pids:
        pid = pids.pop()
        try:
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text()
            status = Path(f"/proc/{pid}/status").read_text()
        except OSError:
            continue
        pids += [int(child) for child in children.split()]
        total += sum(int(li.split()[1]) for li in status.splitlines() if li.startswith("VmRSS"))
    return total / 1e3


def table(record: dict[str, Any]) -> list[str]:
    lines = ["| grown | to | images/s | MB |", "|---|---|---|---|"]
    for axis, values in AXES.items():
        for value in values:
            found = record.get(_name(BASE | {axis: value}))
            if found:
                told = axis.replace("_", " ")
                lines.append(
                    f"| {told} | {value} | {found['images/s']:,.0f} | {found['MB']:,.0f} |"
                )
    return lines


def _name(settings: dict[str, int]) -> str:
    return " ".join(f"{key}={value}" for key, value in settings.items())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--again", action="store_true", help="measure all rows again")
    arguments = parser.parse_args()
    rows = [BASE | {axis: value} for axis, values in AXES.items() for value in values]
    todo = {_name(row): tuple(row.values()) for row in rows}
    fill(RECORD, todo, cell, 1, again=arguments.again)
    write(DOCS / "results.md", "scale", table(read_record(RECORD)))


if __name__ == "__main__":
    main()
