"""Every method at its small preset on the packaged sample, and what happens without its safeguard.

    python benchmarks/methods.py                    # both tables, into docs/results.md
    python benchmarks/methods.py --only accuracy --methods dino swav --passes 48
    python benchmarks/methods.py --jobs 1           # one run at a time, on all threads

A run is a cell. What a cell gave stays in benchmarks/results/methods.json and is not made again;
stopped cells go on. A row without cells there stands as the document has it. --force makes the
cells that are asked for anew.
"""

import argparse
import json
import shutil
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[1] / "examples"))

from example_packages import register
from kept import RESULTS, fill, keep, read_record
from tables import DOCS, spread, standing, write

import ownlatent as ol
from ownlatent.demo import FITTED, TEST, TRAIN
from ownlatent.methods import preset

SEEDS = {"byol": 3, "simclr": 3, "simsiam": 3, "barlow-twins": 3}
METHODS = [
    *("byol", "simclr", "moco", "moco3", "swav", "simsiam", "barlow-twins", "dino", "vicreg"),
    *("mae", "lejepa", "contrastive-clustering", "adco"),  # the last three: of examples/
]
BACKBONES: dict[str, dict[str, Any]] = {"mae": {"backbone": "small-vit"}}
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


RECORD = RESULTS / "methods.json"
Cell = tuple[Path, str, dict[str, Any]]
"""Where, the method and its options."""


def cell(folder: Path, method: str, options: dict[str, Any]) -> Path:
    """Pretrain, or go on."""
    register()
    keep(folder, TRAIN, method=method, **COMMON | options)
    return folder


def accuracies(folder: Path, method: str, options: dict[str, Any]) -> dict[str, Any]:
    """A trained network's, with its verdict and the seconds of its pretraining."""
    evaluated(cell(folder, method, options), options["seed"])
    summary = json.loads((folder / "verdict.json").read_text())
    return {
        "verdict": summary["verdict"],
        "seconds": round(ol.Run(folder).log[-1]["seconds"]),
        **measured(folder, trained=True),
    }


def untrained(folder: Path, method: str, options: dict[str, Any]) -> dict[str, Any]:
    """The accuracies of the network that a run begins with."""
    evaluated(cell(folder, method, options | {"steps": 1}), options["seed"], baselines=True)
    return measured(folder, trained=False)


def checks(folder: Path, method: str, options: dict[str, Any]) -> dict[str, Any]:
    """The verdict, at which step it first came, and what is left of the first check's figures."""
    cell(folder, method, options)
    summary = json.loads((folder / "verdict.json").read_text())
    done = [check for check in summary["checks"] if "features" in check]

    def left(part: str, figure: str) -> float:
        return round(done[-1][part][figure] / done[0][part][figure], 4)

    return {
        "verdict": summary["verdict"],
        "first": next((c["step"] for c in done[1:] if c["verdict"] != "healthy"), None),
        "spread of z": left("embeddings", "std"),
        "rank of z": left("embeddings", "effective_rank"),
        "rank of f": left("features", "effective_rank"),
    }


def evaluated(folder: Path, seed: int, baselines: bool = False) -> None:
    if not (folder / "evaluation.json").is_file():
        ol.evaluate(folder, TRAIN, test=TEST, limit=FITTED, seed=seed, baselines=baselines)


def measured(folder: Path, trained: bool) -> dict[str, Any]:
    rows = json.loads((folder / "evaluation.json").read_text())["results"]
    # A trained network's features say which network they are of, and in brackets which epoch.
    rows = [r for r in rows if ("(" in r["features"] if trained else "random" in r["features"])]
    linear = next(r for r in rows if r["protocol"].startswith("linear"))
    knn = next(r for r in rows if "k=20," in r["protocol"])
    return {
        "linear": round(100 * linear["accuracy"], 3),
        "knn": round(100 * knn["accuracy"], 3),
        "n_test": linear["n_test"],
    }


def accuracy_cells(folder: Path, methods: list[str], passes: float) -> Iterator[Cell]:
    for method in methods:
        steps = round(passes * 20_000 / preset(method).batch_size)
        for seed in range(SEEDS.get(method, 1)):
            options = {"steps": steps, "seed": seed} | BACKBONES.get(method, {})
            yield folder / f"{method}-{passes:g}-{seed}", method, options


def untrained_cells(folder: Path, methods: list[str]) -> Iterator[Cell]:
    networks = {"simsiam" if method not in BACKBONES else method for method in methods}
    for method in sorted(networks):
        for seed in range(3 if method == "simsiam" else 1):
            own = {"seed": seed} | BACKBONES.get(method, {})
            yield folder / f"untrained-{network(method)}-{seed}", method, own


def switch_cells(folder: Path, methods: list[str]) -> Iterator[Cell]:
    for method, switch, _ in SWITCHES:
        if method in methods:
            steps = SWITCHED_STEPS * 64 // preset(method).batch_size
            options = switch | {"steps": steps, "log_every": 20}
            yield folder / name(method, switch), method, options


def name(method: str, switch: dict[str, Any]) -> str:
    (option, value), *_ = switch.items()
    return f"{method}-{option}-{value}"


def network(method: str) -> str:
    return str((COMMON | BACKBONES.get(method, {}))["backbone"])


def accuracy_table(record: dict[str, Any], folder: Path, passes: float) -> list[str]:
    base: dict[str, list[float]] = {}
    for place, method, _ in untrained_cells(folder, METHODS):
        if place.name in record:
            base.setdefault(network(method), []).append(record[place.name]["linear"])
    lines = [
        "| method | seeds | linear probe, % | over random initialisation | kNN (k=20), % "
        "| verdict | seconds |",
        "|---|---|---|---|---|---|---|",
    ]
    for method in METHODS:
        names = [place.name for place, *_ in accuracy_cells(folder, [method], passes)]
        found = [record[name] for name in names if name in record]
        if not found:
            lines.append(f"| {method} | - | missing | | | | |")
            continue
        linear, knn = [r["linear"] for r in found], [r["knn"] for r in found]
        random = base.get(network(method), [])
        gain = "-"
        if random:
            # Of one run: both accuracies are means over the test images.
            p, q = statistics.mean(linear) / 100, statistics.mean(random) / 100
            half = 196 * ((p * (1 - p) + q * (1 - q)) / found[0]["n_test"]) ** 0.5
            gain = f"{100 * (p - q):+.1f} ± {half:.1f}"
        lines.append(
            f"| {method} | {len(found)} | {spread(linear)} | {gain} | {spread(knn)} "
            f"| {', '.join(sorted({r['verdict'] for r in found}))} "
            f"| {statistics.mean(r['seconds'] for r in found):.0f} |"
        )
    lines += [
        f"| random initialisation, {network} | {len(random)} | {spread(random)} | | | | |"
        for network, random in base.items()
    ]
    return lines


def switch_table(record: dict[str, Any]) -> list[str]:
    lines = [
        "| method | taken away | collapse in print | verdict | first at step | spread of z "
        "| rank of z | rank of f |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for method, switch, expected in SWITCHES:
        (option, value), *_ = switch.items()
        lead = f"| {method} | {option} = {str(value).lower()} | {expected} |"
        found = record.get(name(method, switch))
        if found is None:
            lines.append(lead + " missing | | | | |")
            continue
        shares = " | ".join(f"{found[of]:.2f}" for of in ("spread of z", "rank of z", "rank of f"))
        lines.append(f"{lead} {found['verdict']} | {found['first'] or '-'} | {shares} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=["accuracy", "collapse"])
    parser.add_argument("--methods", nargs="+", default=METHODS, choices=METHODS)
    parser.add_argument("--passes", type=float, default=PASSES)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--force", action="store_true")
    parser.add_argument("--folder", type=Path, default=Path("runs/benchmark-methods"))
    arguments = parser.parse_args()
    register()
    folder, methods = arguments.folder, arguments.methods
    wanted: list[tuple[Any, Cell]] = []
    if arguments.only != "collapse":
        wanted += [(untrained, each) for each in untrained_cells(folder, methods)]
        wanted += [(accuracies, each) for each in accuracy_cells(folder, methods, arguments.passes)]
    if arguments.only != "accuracy":
        wanted += [(checks, each) for each in switch_cells(folder, methods)]
    if arguments.force:
        for _, (place, *_) in wanted:
            shutil.rmtree(place, ignore_errors=True)
    todo = {each[0].name: (make, *each) for make, each in wanted}
    failed = fill(RECORD, todo, made, arguments.jobs, again=arguments.force)
    record, document = read_record(RECORD), DOCS / "results.md"
    tables = {
        "methods": accuracy_table(record, folder, arguments.passes),
        "collapse": switch_table(record),
    }
    for mark, lines in tables.items():
        print("\n".join(lines))
        if arguments.passes == PASSES:
            write(document, mark, standing(document, mark, lines))
    if failed:
        raise SystemExit(f"{failed} cells failed.")


def made(make: Any, *each: Any) -> Any:
    """In a worker."""
    return make(*each)


if __name__ == "__main__":
    main()
