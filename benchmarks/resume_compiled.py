"""A compiled run that is killed and goes on, against one that never was: the same to the last bit?

Run: python benchmarks/resume_compiled.py
It writes benchmarks/results/resume.md. Exit code 1 where anything differs. tests/training holds the
same for eager runs; compiling takes too long for a test.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

import ownlatent as ol
from ownlatent.demo import TEST
from ownlatent.training.checkpoint import Checkpoints
from ownlatent.training.folder import RunFolder
from ownlatent.training.keeper import Keeper
from ownlatent.training.provenance import machine, versions

STEPS = 24
OPTIONS: dict[str, Any] = {
    "backbone": "small-resnet",
    "size": 16,
    "batch_size": 32,
    "hidden": 64,
    "dim": 32,
    "steps": STEPS,
    "log_every": 4,
    "checkpoint_steps": 5,
    "precision": "fp32",
    "compile": "on",
}
RESULTS = Path(__file__).parent / "results" / "resume.md"
CLOCKS = {"seconds", "images_per_second", "data_wait", "overhead"}


def part(out: Path, at: int) -> None:
    """Begin the run, or go on with it, in this process, which is killed at step ``at``."""
    torch.set_num_threads(1)
    after = Keeper.after

    def struck(keeper: Keeper, done: int) -> None:
        if done == at:
            os.kill(os.getpid(), signal.SIGKILL)
        after(keeper, done)

    Keeper.after = struck  # type: ignore[method-assign]
    if out.exists():
        ol.resume(out)
    else:
        ol.pretrain(TEST, out=out, **OPTIONS)


def run_part(out: Path, at: int, expected: int) -> None:
    command = [sys.executable, __file__, "--part", json.dumps([str(out), at])]
    ended = subprocess.run(command, capture_output=True, text=True)
    if ended.returncode != expected:
        sys.exit(f"the process ended with {ended.returncode}:\n{ended.stderr}")


def tensors(value: Any, where: str = "") -> dict[str, Any]:
    """Every leaf of a nested state by its path, clocks left out."""
    if isinstance(value, dict):
        parts = [(str(k), v) for k, v in value.items() if k not in CLOCKS]
    elif isinstance(value, list | tuple):
        parts = [(str(k), v) for k, v in enumerate(value)]
    else:
        return {where: value}
    found: dict[str, Any] = {}
    for name, each in parts:
        found |= tensors(each, f"{where}/{name}")
    return found


def differing(a: dict[str, Any], b: dict[str, Any]) -> list[str]:
    if a.keys() != b.keys():
        return [f"{len(a.keys() ^ b.keys())} names"]
    return [
        name
        for name in a
        if not (torch.equal(a[name], b[name]) if torch.is_tensor(a[name]) else a[name] == b[name])
    ]


def compare(whole: Path, killed: Path) -> list[tuple[str, int, list[str]]]:
    """Name, number of things compared, and those that differ."""
    states = [Checkpoints(run / "checkpoints").load(STEPS) for run in (whole, killed)]
    found = []
    for name in ("method", "optimizer", "observer"):
        a, b = (tensors(state[name]) for state in states)
        found.append((f"checkpoint: {name}", len(a), differing(a, b)))
    rows = [tensors(RunFolder(run).log()) for run in (whole, killed)]
    found.append(("log", len(rows[0]), differing(*rows)))
    for network in ("online", "target"):
        a, b = (ol.load_encoder(run, network=network).state_dict() for run in (whole, killed))
        found.append((f"encoder: {network}", len(a), differing(a, b)))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="of the steps killed at")
    parser.add_argument("--part", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.part:
        out, at = json.loads(asked.part)
        part(Path(out), at)
        return
    steps = sorted(random.Random(asked.seed).sample(range(1, STEPS), 3))
    with tempfile.TemporaryDirectory() as folder:
        whole, killed = Path(folder, "whole"), Path(folder, "killed")
        run_part(whole, 0, 0)
        for step in steps:
            run_part(killed, step, -signal.SIGKILL)
            print(f"killed at step {step}", flush=True)
        run_part(killed, 0, 0)
        if not RunFolder(killed).config()["plan"]["compile"]:
            sys.exit("Nothing was compiled: install a C++ compiler (g++) first.")
        results = compare(whole, killed)
    lines = [
        f"| {name} | {count} | {'identical' if not other else 'DIFFERS: ' + ', '.join(other[:3])} |"
        for name, count, other in results
    ]
    print(*lines, sep="\n")
    where, version = machine("cpu", 1), versions()
    RESULTS.write_text(
        "# Resume of a compiled run\n\n"
        "Written by `python benchmarks/resume_compiled.py`.\n\n"
        f"A run of {STEPS} steps with `--compile on` was killed (SIGKILL) at steps "
        f"{', '.join(map(str, steps))} and resumed each time in a new process; beside it a run "
        "that was never killed. After the last step:\n\n"
        "| compared | values | outcome |\n|---|---|---|\n" + "\n".join(lines) + "\n\n"
        f"Conditions: {where['processor']}, one thread, Python {version['python']}, torch "
        f"{version['torch']}; small-resnet, views of 16 pixels, batch 32, fp32, checkpoints every "
        f"5 steps. Clocks are left out of the comparison.\n"
    )
    sys.exit(any(other for *_, other in results))


if __name__ == "__main__":
    main()
