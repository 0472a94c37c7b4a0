"""Sentences: WordNet's glosses, pretrained without labels and probed for their synset's class.

    python benchmarks/text.py DICT                 # the table, into docs/results.md
    python benchmarks/text.py DICT --only bag      # the cells of one backbone

DICT is the folder that holds WordNet's data.noun and data.verb: see wordnet.py beside this. Cells
that have ended are passed over and stopped ones go on.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import wordnet
from kept import keep
from tables import DOCS, spread, write

import ownlatent as ol
from ownlatent.data.sentences import open_sentences
from ownlatent.encoder import EncoderFolder
from ownlatent.evaluation import embed, knn, linear_probe
from ownlatent.kinds.text import BagOfTokens

COMMON: dict[str, Any] = {
    "optimizer": "adamw", "weight_decay": 0.05, "batch_size": 128, "log_every": 100,
}  # fmt: skip
BACKBONES: dict[str, dict[str, Any]] = {
    "bag": {"backbone": "bag", "steps": 600, "base_lr": 4e-3},
    "small-transformer": {"backbone": "small-transformer", "steps": 200, "base_lr": 4e-3},
}
METHODS: dict[str, dict[str, Any]] = {"byol": {"tau": 0.97}, "simclr": {}}
RECIPES = ("text-dropout", "text-mask", "text-crop")
"""By SimCLR, with one seed each; "text" has all seeds."""
ORDER = ("none", *BACKBONES)
LINEAR, KNN = "linear probe", "kNN (k=20, T=0.07)"


def cells() -> list[dict[str, Any]]:
    """Backbone, method, views and seed of each run."""
    full = [(m, "text", seed) for m in METHODS for seed in range(3)]
    full += [("simclr", views, 0) for views in RECIPES]
    brief = [(m, "text", 0) for m in METHODS]
    found = [("bag", *each) for each in full] + [("small-transformer", *each) for each in brief]
    return [dict(zip(("backbone", "method", "views", "seed"), each, strict=True)) for each in found]


def baselines() -> list[dict[str, Any]]:
    """What learned nothing: each backbone at random, and the tokens' counts, which have no seed."""
    seeds = {"bag": 3, "small-transformer": 1}
    found = [
        {"backbone": backbone, "method": "random initialisation", "views": "none", "seed": seed}
        for backbone, count in seeds.items()
        for seed in range(count)
    ]
    return [*found, {"backbone": "none", "method": "bag of tokens", "views": "none", "seed": 0}]


def name(cell: dict[str, Any]) -> str:
    return "-".join(str(value) for value in cell.values())


def fill(cell: dict[str, Any], folder: Path, data: tuple[Path, Path, Path]) -> None:
    """Train and measure what is not yet there."""
    sentences, train, test = data
    run = folder / name(cell)
    options = COMMON | BACKBONES[cell["backbone"]] | METHODS[cell["method"]]
    keep(run, sentences, method=cell["method"], views=cell["views"], seed=cell["seed"], **options)
    if not (run / "evaluation.json").is_file():
        ol.evaluate(run, train, test=test, seed=cell["seed"], baselines=False)
        print(name(cell), "measured", flush=True)


def fill_baseline(cell: dict[str, Any], folder: Path, data: tuple[Path, Path, Path]) -> None:
    """Measure what learned nothing, by the protocols that :func:`ownlatent.evaluate` takes."""
    out = folder / name(cell) / "evaluation.json"
    if out.is_file():
        return
    backbone = cell["backbone"] if cell["backbone"] != "none" else "bag"
    encoders = EncoderFolder.find(folder / f"{backbone}-byol-text-0")
    net: Any = encoders.blank(cell["seed"])
    train = open_sentences(data[1], meaning=net.preprocessing)
    test = open_sentences(data[2], meaning=net.preprocessing)
    if cell["backbone"] == "none":
        net = BagOfTokens(net.preprocessing)
    sets = embed(net, train), train.labels, embed(net, test), test.labels
    linear = linear_probe(*sets, seed=cell["seed"]).accuracy
    near = knn(*sets, k=20, temperature=0.07).accuracy
    rows = [{"protocol": LINEAR, "accuracy": linear}, {"protocol": KNN, "accuracy": near}]
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps({"results": rows}, indent=2) + "\n")
    print(name(cell), "measured", flush=True)


def lines(folder: Path) -> list[str]:
    """The table, of the cells that are there."""
    rows: dict[tuple[str, ...], dict[str, list[float]]] = {}
    for cell in baselines() + cells():
        path = folder / name(cell) / "evaluation.json"
        for row in json.loads(path.read_text())["results"] if path.is_file() else []:
            key = (cell["backbone"], cell["method"], cell["views"])
            rows.setdefault(key, {}).setdefault(row["protocol"], []).append(100 * row["accuracy"])
    table = [
        "| backbone | features | views | seeds | linear probe, % | kNN (k=20), % |",
        "|---|---|---|---|---|---|",
    ]
    for key, found in sorted(rows.items(), key=lambda item: list(ORDER).index(item[0][0])):
        values = (*key, str(len(found[LINEAR])), spread(found[LINEAR]), spread(found[KNN]))
        table.append(f"| {' | '.join(values)} |")
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dictionary", type=Path, metavar="DICT")
    parser.add_argument("--only", choices=ORDER)
    parser.add_argument("--folder", type=Path, default=Path("runs/benchmark-text"))
    arguments = parser.parse_args()
    data = wordnet.write(arguments.dictionary, arguments.folder / "data")
    for cell in cells():
        if arguments.only in (None, cell["backbone"]):
            fill(cell, arguments.folder, data)
    for cell in baselines():
        if arguments.only in (None, cell["backbone"]):
            fill_baseline(cell, arguments.folder, data)
    table = lines(arguments.folder)
    print("\n".join(table))
    every = [*cells(), *baselines()]
    if all((arguments.folder / name(cell) / "evaluation.json").is_file() for cell in every):
        write(DOCS / "results.md", "text", table)


if __name__ == "__main__":
    main()
