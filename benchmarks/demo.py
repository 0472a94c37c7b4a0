"""The demo over seeds: accuracy, time and memory, as a table.

    python benchmarks/demo.py --seeds 0 1 2
    python benchmarks/demo.py --seeds 0 --steps 800 --reference   # views operation by operation

Each seed is a fresh process, so that its peak memory and its time are its own.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any


def one(seed: int, steps: int, reference: bool, folder: Path) -> dict[str, Any]:
    out = folder / f"seed{seed}{'-reference' if reference else ''}"
    command = [sys.executable, "-m", "ownlatent", "demo", "--out", str(out), "--seed", str(seed)]
    command += ["--steps", str(steps)]
    if reference:
        command.append("--reference")
    began = time.perf_counter()
    process = subprocess.Popen(command)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command)} failed")
    timing = json.loads((out / "timing.json").read_text())
    shares = timing["shares"]
    return {
        "results": json.loads((out / "evaluation.json").read_text())["results"],
        "whole": time.perf_counter() - began,
        "pretraining": timing["seconds"],
        "gigabytes": usage.ru_maxrss / 1e6,  # the demo is one process
        "overhead": 1 - shares["forward"] - shares["backward"] - shares["optimizer"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=3200)
    parser.add_argument("--reference", action="store_true")
    parser.add_argument("--folder", type=Path, default=Path("runs/benchmark-demo"))
    parser.add_argument("--out", type=Path, help="markdown file to write")
    arguments = parser.parse_args()
    runs = [
        one(seed, arguments.steps, arguments.reference, arguments.folder)
        for seed in arguments.seeds
    ]

    scores: dict[tuple[str, str], list[float]] = defaultdict(list)
    for run in runs:
        for result in run["results"]:
            scores[result["features"], result["protocol"]].append(100 * result["accuracy"])
    lines = ["| features | protocol | accuracy, % | seeds |", "|---|---|---|---|"]
    for (features, protocol), values in scores.items():
        spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
        each = ", ".join(f"{value:.1f}" for value in values)
        lines.append(
            f"| {features} | {protocol} | {statistics.mean(values):.1f}{spread} | {each} |"
        )
    lines += ["", "| run | value per seed |", "|---|---|"]
    for name, key, form in (
        ("pretraining, seconds", "pretraining", "{:.0f}"),
        ("whole command, seconds", "whole", "{:.0f}"),
        ("peak memory, GB", "gigabytes", "{:.2f}"),
        ("of a step outside forward, backward, optimizer", "overhead", "{:.1%}"),
    ):
        lines.append(f"| {name} | {', '.join(form.format(run[key]) for run in runs)} |")
    import torch

    from ownlatent.training.provenance import processor

    views = "reference views" if arguments.reference else "fast views"
    machine = f"{os.cpu_count()} cores ({processor()}), torch {torch.__version__}, {views}, "
    machine += f"{arguments.steps} steps"
    text = "\n".join([machine, "", *lines]) + "\n"
    print(text)
    if arguments.out:
        arguments.out.write_text(text)


if __name__ == "__main__":
    main()
