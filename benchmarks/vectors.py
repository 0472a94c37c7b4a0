"""BYOL and others on tables: linear probe and few labels, against what learned nothing.

    python benchmarks/vectors.py FOLDER_OF_TABLES

The folder holds UCI's adult-train.csv.gz, phoneme.csv.gz, winequality-white.csv.gz, abalone.csv.gz
and sonar.csv.gz, without headers, the label in the last column.
A split is a cell: what it gave stays in benchmarks/results/vectors.json and is not made again.
"""

import argparse
import statistics
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch
from kept import RESULTS, fill, keep, read_record
from pyarrow import csv
from tables import DOCS, spread, standing, write

RECORD = RESULTS / "vectors.json"

TABLES = {
    "adult": "adult-train",
    "phoneme": "phoneme",
    "wine": "winequality-white",
    "abalone": "abalone",
    "sonar": "sonar",
}
METHODS: dict[str, dict[str, Any]] = {
    "byol": {"tau": 0.9, "hidden": 512, "dim": 128},
    "simclr": {"hidden": 512, "dim": 128, "temperature": 0.5},
    "vicreg": {"hidden": 512, "dim": 128},
}
COMMON: dict[str, Any] = {
    "views": "rows", "optimizer": "adamw", "base_lr": 0.002, "weight_decay": 0.01, "steps": 1000,
    "batch_size": 128, "log_every": 100, "precision": "fp32",
}  # fmt: skip
FEW, DRAWS = 10, 5
"""Labels of each class, and how often they are drawn."""
MOST_ROWS = 10_000


def table(folder: Path, name: str) -> tuple[pa.Table, torch.Tensor]:
    """Features and labels; ages of abalones in the usual three classes, wine's as they are."""
    whole = csv.read_csv(
        folder / f"{TABLES[name]}.csv.gz",
        read_options=csv.ReadOptions(autogenerate_column_names=True),
    )
    last = whole.column_names[-1]
    if name == "abalone":
        rings = torch.tensor(whole[last].to_pylist())
        labels = (rings > 8).long() + (rings > 10).long()
    else:
        answers = whole[last].to_pylist()
        order = {answer: number for number, answer in enumerate(sorted(set(answers)))}
        labels = torch.tensor([order[answer] for answer in answers])
    return whole.drop_columns([last]), labels


def cell(folder: Path, name: str, seed: int, out: Path) -> dict[str, dict[str, float]]:
    """One split of one table: every method's features measured, and the baselines'."""
    from ownlatent.data.table import open_table
    from ownlatent.encoder import EncoderFolder
    from ownlatent.evaluation import embed
    from ownlatent.evaluation.linear import stratified_holdout
    from ownlatent.kinds import KINDS

    whole, labels = table(folder, name)
    generator = torch.Generator().manual_seed(seed)
    taken = torch.randperm(len(labels), generator=generator)[:MOST_ROWS].sort().values
    held = stratified_holdout(labels[taken], 0.2, seed)
    rows, others = taken[~held], taken[held]
    # Means, deviations and categories are those of the training rows.
    train = replace(open_table(whole.take(rows.numpy())), labels=labels[rows])
    test = open_table(whole.take(others.numpy()), columns=train.columns)
    test = replace(test, labels=labels[others])
    _, raw = KINDS["vectors"].raw(train.columns)
    sets = {"raw features": (embed(raw, train), embed(raw, test))}
    sets["PCA"] = pca(*sets["raw features"])
    for method, own in METHODS.items():
        run = out / f"{name}-{method}-{seed}"
        batch = min(COMMON["batch_size"], len(train) // 2)
        keep(run, train, method=method, seed=seed, **COMMON | {"batch_size": batch} | own)
        encoder = EncoderFolder.find(run)
        if method == "byol":
            blank = encoder.blank(seed)
            sets["random encoder"] = (embed(blank, train), embed(blank, test))
        net = encoder.load()
        sets[method] = (embed(net, train), embed(net, test))
    return {
        features: measure(a, train.labels, b, test.labels, seed)
        for features, (a, b) in sets.items()
    }


def pca(train: torch.Tensor, test: torch.Tensor, most: int = 32):
    """Whitened principal components, as many as hold 99 % of the variance, at most 32."""
    mean = train.mean(0)
    _, s, v = torch.linalg.svd(train - mean, full_matrices=False)
    held = (s.square().cumsum(0) / s.square().sum() < 0.99).sum().item() + 1
    basis = v[: min(held, most)].T / s[: min(held, most)] * len(train) ** 0.5
    return (train - mean) @ basis, (test - mean) @ basis


def measure(train, labels, test, test_labels, seed: int) -> dict[str, float]:
    from ownlatent.evaluation.knn import knn
    from ownlatent.evaluation.linear import linear_probe

    few = []
    for draw in range(DRAWS):
        rows = few_rows(labels, seed * DRAWS + draw)
        probe = linear_probe(
            train[rows], labels[rows], test, test_labels, seed=seed, strengths=(0.1,)
        )
        few.append(probe.accuracy)
    return {
        "linear": linear_probe(train, labels, test, test_labels, seed=seed).accuracy,
        "few": statistics.mean(few),
        "knn": knn(train, labels, test, test_labels, k=20, temperature=0.07).accuracy,
    }


def few_rows(labels, seed: int):
    """As many rows of each class as there are few labels."""
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    return torch.cat([order[labels[order] == c][:FEW] for c in labels.unique()])


def lines(record: dict[str, Any], seeds: int) -> list[str]:
    names = ["raw features", "PCA", "random encoder", *METHODS]
    made = [f"| table | what | splits | {' | '.join(names)} |", "|" + "---|" * (len(names) + 3)]
    for name in TABLES:
        found: dict[tuple[str, str], list[float]] = defaultdict(list)
        for seed in range(seeds):
            for features, given in record.get(f"{name}-{seed}", {}).items():
                for what, value in given.items():
                    found[what, features].append(100 * value)
        titles = {"linear": "linear probe", "few": f"linear, {FEW} labels a class", "knn": "kNN"}
        for what, title in titles.items():
            count = len(found[what, names[0]])
            row = " | ".join(spread(found[what, features]) for features in names)
            lead = f"| {name} | {title} |"
            made.append(f"{lead} {count} | {row} |" if count else f"{lead} - | missing |")
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tables", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--folder", type=Path, default=Path("runs/benchmark-vectors"))
    parser.add_argument("--only", nargs="+", choices=TABLES, default=list(TABLES))
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    todo = {
        f"{name}-{seed}": (arguments.tables, name, seed, arguments.folder)
        for seed in range(arguments.seeds)
        for name in arguments.only
    }
    failed = fill(RECORD, todo, cell, arguments.jobs)
    made = lines(read_record(RECORD), arguments.seeds)
    print("\n".join(made))
    write(DOCS / "results.md", "vectors", standing(DOCS / "results.md", "vectors", made))
    if failed:
        raise SystemExit(f"{failed} cells failed.")


if __name__ == "__main__":
    main()
