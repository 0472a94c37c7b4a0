"""Sentences: WordNet's glosses, pretrained without labels and probed for their synset's class.

    python benchmarks/text.py DICT                 # the table, into docs/results.md
    python benchmarks/text.py DICT --only bag      # the cells of one backbone
    python benchmarks/text.py DICT --jobs 2        # two runs at a time

DICT is the folder that holds WordNet's data.noun and data.verb: see wordnet.py beside this. A run
is a cell: what it gave stays in benchmarks/results/text.json and is not made again.
"""

import argparse
from pathlib import Path
from typing import Any

import wordnet
from kept import RESULTS, fill, keep, read_record
from tables import DOCS, spread, standing, write

import ownlatent as ol

RECORD = RESULTS / "text.json"
COMMON: dict[str, Any] = {
    "optimizer": "adamw", "weight_decay": 0.05, "batch_size": 128, "log_every": 100,
}  # fmt: skip
BACKBONES: dict[str, dict[str, Any]] = {
    "bag": {"backbone": "bag", "steps": 600, "base_lr": 4e-3},
    "small-transformer": {"backbone": "small-transformer", "steps": 200, "base_lr": 4e-3},
}
# The predictor at the rate of the rest: rates were tried with it.
METHODS: dict[str, dict[str, Any]] = {"byol": {"tau": 0.97, "predictor_lr": 1.0}, "simclr": {}}
RECIPES = ("text-dropout", "text-mask", "text-crop")
"""By SimCLR on the bag, with one seed each; "text" has all seeds."""
SEEDS = 3
LINEAR, KNN = "linear probe", "kNN (k=20, T=0.07)"
Measured = dict[str, float]


def cells(only: str | None) -> list[tuple[str, str, str, int]]:
    """Backbone, method, views and seed of each run."""
    found = [(b, m, "text", seed) for seed in range(SEEDS) for b in BACKBONES for m in METHODS]
    found += [("bag", "simclr", views, 0) for views in RECIPES]
    return [each for each in found if only in (None, each[0])]


def cell(
    data: tuple[Path, Path, Path], folder: Path, backbone: str, method: str, views: str, seed: int
) -> dict[str, Measured]:
    """One run measured, in per cent; a seed's first run brings what learned nothing."""
    sentences, train, test = data
    options = COMMON | BACKBONES[backbone] | METHODS[method]
    keep(folder, sentences, method=method, views=views, seed=seed, **options)
    plain = method == "byol"  # what learned nothing is asked once a backbone and seed
    report = ol.evaluate(folder, train, test=test, seed=seed, baselines=plain)
    given: dict[str, Measured] = {}
    for row in report["results"]:
        features = method if "(" in row["features"] else row["features"]
        given.setdefault(features, {})[row["protocol"]] = round(100 * row["accuracy"], 2)
    return given


def name(backbone: str, method: str, views: str, seed: int) -> str:
    return f"{backbone}-{method}-{views}-{seed}"


def lines(record: dict[str, dict[str, Measured]]) -> list[str]:
    """The table, of the cells that are there."""
    rows = [("none", "bag of tokens", "none")]
    for backbone in BACKBONES:
        rows.append((backbone, "random initialisation", "none"))
        rows += [(backbone, method, "text") for method in METHODS]
        rows += [("bag", "simclr", views) for views in RECIPES if backbone == "bag"]
    table = [
        "| backbone | features | views | seeds | linear probe, % | kNN (k=20), % |",
        "|---|---|---|---|---|---|",
    ]
    for backbone, features, views in rows:
        run = ("bag" if backbone == "none" else backbone, "byol", "text")
        of = (backbone, features, views) if features in METHODS else run
        given = [record.get(name(*of, seed), {}).get(features) for seed in range(SEEDS)]
        found = [each for each in given if each]
        values = [spread([each[p] for each in found]) for p in (LINEAR, KNN)]
        lead = f"| {backbone} | {features} | {views} |"
        told = f"{lead} {len(found)} | {' | '.join(values)} |"
        table.append(told if found else f"{lead} - | missing | |")
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dictionary", type=Path, metavar="DICT")
    parser.add_argument("--only", choices=BACKBONES)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--folder", type=Path, default=Path("runs/benchmark-text"))
    arguments = parser.parse_args()
    data = wordnet.write(arguments.dictionary, arguments.folder / "data")
    todo = {
        name(*each): (data, arguments.folder / name(*each), *each) for each in cells(arguments.only)
    }
    failed = fill(RECORD, todo, cell, arguments.jobs)
    made = standing(DOCS / "results.md", "text", lines(read_record(RECORD)))
    print("\n".join(made))
    write(DOCS / "results.md", "text", made)
    if failed:
        raise SystemExit(f"{failed} cells failed.")


if __name__ == "__main__":
    main()
