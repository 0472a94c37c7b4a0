"""Every method at its small preset on the packaged sample, and what happens without its safeguard.

    python benchmarks/methods.py                    # both tables, into docs/results.md
    python benchmarks/methods.py --only accuracy --methods dino swav --passes 48
    python benchmarks/methods.py --jobs 1           # one run at a time, on all threads

A run is a cell. Finished cells are passed over and stopped ones go on, so a table that was
interrupted fills up when started again; --force empties the cells that are asked for.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[1] / "examples"))

from example_packages import register
from kept import keep
from tables import DOCS, spread, write

from ownlatent.demo import FITTED, TEST, TRAIN

SEEDS = {"byol": 3, "simclr": 3, "simsiam": 3, "barlow-twins": 3}
METHODS = [
    *("byol", "simclr", "moco", "moco3", "swav", "simsiam", "barlow-twins", "dino", "vicreg"),
    *("mae", "lejepa", "contrastive-clustering", "adco"),  # the last three: of examples/
]
BACKBONES = {"mae": "small-vit"}
"""Where it is not that of COMMON; these are measured against their own untrained network."""
PASSES = 9.6
"""Passes over the 20,000 images: 3,000 steps of 64, about three minutes on two cores."""
COMMON: dict[str, Any] = {"backbone": "small-resnet", "size": 20, "log_every": 100}
# What is taken away, and what print says becomes of the network then.
SWITCHES: list[tuple[str, dict[str, Any], str]] = [
    ("byol", {"predictor": False}, "complete (BYOL, table 5b: 0.2 %)"),
    ("byol", {"targets": "shared"}, "complete (BYOL, table 5b: 0.3 %)"),
    ("byol", {"targets": "detached"}, "near complete (BYOL, table 21: 5.5 %)"),
    ("simclr", {"negatives": False}, "complete (no term against it)"),
    ("moco", {"negatives": False}, "complete (BYOL, table 5b, average without predictor: 0.2 %)"),
    ("moco3", {"negatives": False}, "none (it is then BYOL)"),
    ("swav", {"equipartition": False}, "complete (SwAV, section 3.1)"),
    ("simsiam", {"stop_gradient": False}, "complete (SimSiam, figure 2: 0.1 %)"),
    ("simsiam", {"predictor": False}, "complete (SimSiam, table 1: 0.1 %)"),
    ("barlow-twins", {"off_diagonal": 0}, "partial (Barlow Twins, table 5: 57.3 %)"),
    ("dino", {"centering": False}, "complete (DINO, figure 7)"),
    ("vicreg", {"variance": 0}, "complete (VICReg, table 7)"),
    ("lejepa", {"sigreg": 0}, "complete (no term against it)"),
    ("contrastive-clustering", {"entropy": False}, "of the clusters (Li et al., section 3.3)"),
    ("contrastive-clustering", {"negatives": False}, "complete (no term of images against it)"),
    ("adco", {"negatives": False}, "complete (it is then MoCo without: BYOL, table 5b)"),
    # MAE has no row: its targets are pixels, which nothing that it learns can change.
]
SWITCHED_STEPS = 1000


def cell(folder: Path, method: str, options: dict[str, Any], measure: str) -> None:
    """One run, in this process: pretrained, or gone on with, and measured."""
    import ownlatent as ol

    register()
    backbone = {"backbone": BACKBONES[method]} if method in BACKBONES else {}
    keep(folder, TRAIN, method=method, **COMMON | backbone | options)
    if measure != "no" and not (folder / "evaluation.json").is_file():
        ol.evaluate(
            folder, TRAIN, test=TEST, limit=FITTED, seed=options.get("seed", 0),
            baselines=measure == "baselines",
        )  # fmt: skip


def launch(cells: list[dict[str, Any]], jobs: int) -> None:
    """Each cell in a process of its own, some at a time."""
    environment = os.environ | ({"OMP_NUM_THREADS": "1"} if jobs > 1 else {})

    def one(job: dict[str, Any]) -> None:
        done = subprocess.run(
            [sys.executable, __file__, "--cell", json.dumps(job)],
            env=environment, capture_output=True, text=True,
        )  # fmt: skip
        if done.returncode:
            print(f"{job['folder']} failed: {done.stderr.strip().splitlines()[-1]}")
        else:
            print(f"{job['folder']} done", flush=True)

    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(one, cells))


def accuracy_cells(folder: Path, methods: list[str], passes: float) -> list[dict[str, Any]]:
    from ownlatent.methods import preset

    cells = []
    for method in methods:
        steps = round(passes * 20_000 / preset(method).batch_size)
        for seed in range(SEEDS.get(method, 1)):
            cells.append({
                "folder": str(folder / f"{method}-{passes:g}-{seed}"), "method": method,
                "options": {"steps": steps, "seed": seed},
                "measure": "baselines" if method == "byol" or method in BACKBONES else "yes",
            })  # fmt: skip
    return cells


def switch_cells(folder: Path, methods: list[str]) -> list[dict[str, Any]]:
    from ownlatent.methods import preset

    cells = []
    for method, switch, _ in SWITCHES:
        if method in methods:
            steps = SWITCHED_STEPS * 64 // preset(method).batch_size
            cells.append({
                "folder": str(folder / name(method, switch)), "method": method,
                "options": switch | {"steps": steps, "log_every": 20}, "measure": "no",
            })  # fmt: skip
    return cells


def name(method: str, switch: dict[str, Any]) -> str:
    (option, value), *_ = switch.items()
    return f"{method}-{option}-{value}"


def results(folder: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """By whose features and protocol; empty where the cell is missing."""
    path = folder / "evaluation.json"
    rows = json.loads(path.read_text())["results"] if path.is_file() else []
    return {(_whose(row), row["protocol"].split(" (")[0] + _k(row)): row for row in rows}


def _whose(row: dict[str, Any]) -> str:
    return "network" if "(" in row["features"] else str(row["features"])


def _k(row: dict[str, Any]) -> str:
    return " 20" if "k=20," in row["protocol"] else " 200" if "k=200" in row["protocol"] else ""


def accuracy_table(folder: Path, methods: list[str], passes: float) -> list[str]:
    import ownlatent as ol

    cells = accuracy_cells(folder, methods, passes)
    untrained: dict[str, list[float]] = {}
    for job in cells:
        found = results(Path(job["folder"])).get(("random initialisation", "linear probe"))
        if found:
            network = BACKBONES.get(job["method"], COMMON["backbone"])
            untrained.setdefault(network, []).append(100 * found["accuracy"])
    lines = [
        "| method | seeds | linear probe, % | over random initialisation | kNN (k=20), % "
        "| verdict | seconds |",
        "|---|---|---|---|---|---|---|",
    ]
    for method in methods:
        mine = [Path(job["folder"]) for job in cells if job["method"] == method]
        found = [r for r in map(results, mine) if r]
        if not found:
            lines.append(f"| {method} | - | missing | | | | |")
            continue
        linear = [100 * r["network", "linear probe"]["accuracy"] for r in found]
        knn = [100 * r["network", "kNN 20"]["accuracy"] for r in found]
        count = found[0]["network", "linear probe"]["n_test"]
        random = untrained.get(BACKBONES.get(method, COMMON["backbone"]), [])
        base = statistics.mean(random) if random else float("nan")
        gain = statistics.mean(linear) - base
        # Of one run: both accuracies are means over the test images.
        p, q = statistics.mean(linear) / 100, base / 100
        half = 196 * ((p * (1 - p) + q * (1 - q)) / count) ** 0.5
        verdicts = {
            json.loads((f / "verdict.json").read_text())["verdict"] for f in mine[: len(found)]
        }
        seconds = [ol.Run(folder).log[-1]["seconds"] for folder in mine[: len(found)]]
        lines.append(
            f"| {method} | {len(found)} | {spread(linear)} | {gain:+.1f} ± {half:.1f} "
            f"| {spread(knn)} | {', '.join(sorted(verdicts))} | {statistics.mean(seconds):.0f} |"
        )
    lines += [
        f"| random initialisation, {network} | {len(random)} | {spread(random)} | | | | |"
        for network, random in untrained.items()
    ]
    return lines


def switch_table(folder: Path, methods: list[str]) -> list[str]:
    lines = [
        "| method | taken away | collapse in print | verdict | first at step | spread of z "
        "| rank of z | rank of f |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for method, switch, expected in SWITCHES:
        path = folder / name(method, switch) / "verdict.json"
        if method not in methods or not path.is_file():
            continue
        summary = json.loads(path.read_text())
        checks = [check for check in summary["checks"] if "features" in check]
        first = next((c["step"] for c in checks[1:] if c["verdict"] != "healthy"), "-")

        def share(part: str, figure: str, checks: Any = checks) -> str:
            return f"{checks[-1][part][figure] / checks[0][part][figure]:.2f}"

        (option, value), *_ = switch.items()
        lines.append(
            f"| {method} | {option} = {str(value).lower()} | {expected} | {summary['verdict']} "
            f"| {first} | {share('embeddings', 'std')} | {share('embeddings', 'effective_rank')} "
            f"| {share('features', 'effective_rank')} |"
        )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=["accuracy", "collapse"])
    parser.add_argument("--methods", nargs="+", default=METHODS, choices=METHODS)
    parser.add_argument("--passes", type=float, default=PASSES)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--force", action="store_true")
    parser.add_argument("--folder", type=Path, default=Path("runs/benchmark-methods"))
    parser.add_argument("--cell", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.cell:
        job = json.loads(arguments.cell)
        cell(Path(job["folder"]), job["method"], job["options"], job["measure"])
        return
    register()
    document = DOCS / "results.md"
    cells = []
    if arguments.only != "collapse":
        cells += accuracy_cells(arguments.folder, arguments.methods, arguments.passes)
    if arguments.only != "accuracy":
        cells += switch_cells(arguments.folder, arguments.methods)
    if arguments.force:
        for job in cells:
            shutil.rmtree(job["folder"], ignore_errors=True)
    launch(cells, arguments.jobs)
    if arguments.only != "collapse":
        lines = accuracy_table(arguments.folder, arguments.methods, arguments.passes)
        print("\n".join(lines))
        if arguments.methods == METHODS and arguments.passes == PASSES:
            write(document, "methods", lines)
    if arguments.only != "accuracy":
        lines = switch_table(arguments.folder, arguments.methods)
        print("\n".join(lines))
        if arguments.methods == METHODS:
            write(document, "collapse", lines)


if __name__ == "__main__":
    main()
