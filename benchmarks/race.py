"""Accuracy against wall-clock, beside lightly's BYOL: same network, images and size of view.

    .venv-benchmark/bin/python benchmarks/race.py CIFAR_FOLDER [--pace]

CIFAR_FOLDER holds cifar10_train_jpeg.npz, cifar10_test_jpeg.npz and their load.py. Both train
small-resnet on 32-pixel views: lightly as its published benchmark does (lightly_byol.py), its
learning rate also halved, doubled and doubled again, the best of these with another seed too; ours
with its preset, in bf16. Each run's schedule ends at its own budget. The pace of each, images/s, is
taken first, one after the other with the machine to themselves, and turns minutes into steps, so
that a run that something else slows is the same run. What was measured stays in results/race.json;
the table goes into docs/results.md, the plot into results/race.png.
"""

import argparse
import json
import runpy
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from kept import RESULTS, fill, keep, read_record
from tables import DOCS, spread, write

import ownlatent as ol
from ownlatent.data import as_canvases
from ownlatent.encoder import Encoder
from ownlatent.evaluation.features import embed
from ownlatent.evaluation.knn import SETTINGS, knn
from ownlatent.networks.backbone import backbone
from ownlatent.preprocessing import Preprocessing

SIZE, NET = 32, "small-resnet"
OURS: dict[str, Any] = {"backbone": NET, "size": SIZE, "precision": "bf16"}
BATCH = 64  # the preset's
RECORD = RESULTS / "race.json"
BUDGETS = {"ownlatent": (5, 15), "lightly": (10, 30)}
"""Minutes."""
RATES = 0.06, 0.03, 0.12, 0.24
"""lightly's learning rate: as published, half, twice, four times."""
SEEDS = 0, 1
RUNS = Path("runs/race")


def images(folder: str) -> tuple[Any, Any, Any, Any]:
    """Training and test images uint8 ``[N, 32, 32, 3]`` and labels."""
    load = runpy.run_path(str(Path(folder) / "load.py"))["load"]
    train, test = (load(Path(folder) / f"cifar10_{part}_jpeg.npz") for part in ("train", "test"))
    return *train, *test


def pace(folder: str, steps: int = 200) -> dict[str, float]:
    """Images/s of both, from the difference between a short and a longer run."""
    import lightly_byol

    x = images(folder)[0]

    def theirs(count: int) -> float:
        net = backbone(NET, 3, SIZE)[0]
        return lightly_byol.train(x, net, net.num_features, size=SIZE, steps=count, seed=0)

    def own(count: int) -> float:
        with tempfile.TemporaryDirectory() as place:
            ol.pretrain(x, out=f"{place}/run", steps=count, **OURS)
            return float(json.loads(Path(f"{place}/run/timing.json").read_text())["seconds"])

    few = steps // 10
    lightly = (steps - few) * lightly_byol.BATCH / (theirs(steps) - theirs(few))
    steps, few = 4 * steps, 4 * few
    return {"ownlatent": (steps - few) * BATCH / (own(steps) - own(few)), "lightly": lightly}


def ours(folder: str, minutes: float, per_second: float, seed: int) -> dict[str, Any]:
    steps = round(60 * minutes * per_second / BATCH)
    out = RUNS / f"ownlatent-{minutes:g}-{seed}"
    x, y, x_test, y_test = images(folder)
    keep(out, x, steps=steps, seed=seed, **OURS)
    seconds = json.loads((out / "timing.json").read_text())["seconds"]
    measured = _measure(ol.load_encoder(out), x, y, x_test, y_test)
    return measured | {"images": steps * BATCH, "seconds": round(seconds)}


def lightly(folder: str, minutes: float, per_second: float, seed: int, lr: float) -> dict[str, Any]:
    import lightly_byol

    steps = round(60 * minutes * per_second / lightly_byol.BATCH)
    x, y, x_test, y_test = images(folder)
    RUNS.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    net, name = backbone(NET, 3, SIZE)
    seconds = lightly_byol.train(
        x, net, net.num_features, size=SIZE, steps=steps, seed=seed, lr=lr,
        kept=RUNS / f"lightly-{minutes:g}-{seed}-{lr:g}.pt",
    )  # fmt: skip
    settings = Preprocessing(3, SIZE, 1.0, lightly_byol.MEAN, lightly_byol.STD)
    measured = _measure(Encoder(net, name, settings), x, y, x_test, y_test)
    return measured | {"images": steps * lightly_byol.BATCH, "seconds": round(seconds)}


def _measure(encoder: Any, x: Any, y: Any, x_test: Any, y_test: Any) -> dict[str, float]:
    """kNN accuracy of all test images among all training images, %, as published for k."""
    bank, queries = (
        embed(encoder.eval(), as_canvases(part, view_size=SIZE)) for part in (x, x_test)
    )
    labels, truth = (torch.from_numpy(np.asarray(part)).long() for part in (y, y_test))
    return {
        f"kNN {k}": round(100 * knn(bank, labels, queries, truth, k=k, temperature=t).accuracy, 2)
        for k, t in SETTINGS
    }


def cells(folder: str, record: dict[str, Any]) -> dict[str, tuple[Any, ...]]:
    """All runs, those that decide first: lightly's rates with one seed, the best with the others
    and for a shorter time."""
    paces, todo = record["pace"], {}
    for short in (False, True):
        mine, peers = (BUDGETS[who][0 if short else -1] for who in ("ownlatent", "lightly"))
        for seed in SEEDS:
            todo[f"ownlatent {mine} {seed}"] = ours, folder, mine, paces["ownlatent"], seed
            for lr in [best(record)] if seed or short else RATES:
                name = f"lightly {peers} {seed} {lr:g}"
                todo[name] = lightly, folder, peers, paces["lightly"], seed, lr
    return todo


def best(record: dict[str, Any]) -> float:
    """lightly's learning rate with the highest accuracy at the longest budget, of those measured;
    the published one while none is."""
    names = {lr: f"lightly {BUDGETS['lightly'][-1]} {SEEDS[0]} {lr:g}" for lr in RATES}
    known = {lr: record[name]["kNN 200"] for lr, name in names.items() if name in record}
    return max(known, key=lambda lr: known[lr], default=RATES[0])


def table(record: dict[str, Any]) -> list[str]:
    lines = [
        "| | minutes | images seen | kNN (k=200), % | kNN (k=20), % |",
        "|---|---|---|---|---|",
    ]
    for (title, minutes), found in grouped(record).items():
        scores = [spread([each[k] for each in found]) for k in ("kNN 200", "kNN 20")]
        lines.append(
            f"| {title} | {minutes} | {found[0]['images']:,} | {scores[0]} | {scores[1]} |"
        )
    return lines


def grouped(record: dict[str, Any]) -> dict[tuple[str, int], list[dict[str, Any]]]:
    """What each seed gave, by what ran and for how many minutes."""
    groups: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for name, found in record.items():
        if name != "pace":
            who, minutes, _, *lr = name.split()
            title = who + (f", learning rate {lr[0]}" if lr else "")
            groups.setdefault((title, int(minutes)), []).append(found)
    return dict(sorted(groups.items()))


def draw(record: dict[str, Any]) -> None:
    """results/race.png: kNN accuracy over minutes, a dot for each seed."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    dots: dict[str, list[tuple[int, float]]] = {}
    for (title, minutes), found in grouped(record).items():
        dots.setdefault(title, []).extend((minutes, each["kNN 200"]) for each in found)
    figure, axes = plt.subplots(figsize=(6, 3.6), layout="constrained")
    for title, points in sorted(dots.items(), reverse=True):
        told = "ownlatent, its preset" if title == "ownlatent" else title
        axes.plot(*zip(*sorted(points), strict=True), "o", label=told, alpha=0.8)
    axes.set(xlabel="minutes on two cores, idle", ylabel="kNN accuracy (k=200), %", xlim=(0, 32))
    axes.set_title("BYOL, CIFAR-10 (JPEG), the same small network", loc="left")
    axes.grid(alpha=0.3)
    axes.legend(loc="lower left", frameon=False)
    figure.savefig(RESULTS / "race.png", dpi=150)


def run(who: Any, *arguments: Any) -> Any:
    return who(*arguments)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", help="CIFAR-10 (JPEG)")
    parser.add_argument("--pace", action="store_true", help="take both paces again")
    parser.add_argument("--only", nargs="*", help="cells by the beginning of their names")
    arguments = parser.parse_args()
    RESULTS.mkdir(exist_ok=True)
    fill(RECORD, {"pace": (pace, arguments.folder)}, run, 1, again=arguments.pace)
    print(read_record(RECORD)["pace"], flush=True)
    for _ in range(2):  # which rate is best is known after the first
        todo = cells(arguments.folder, read_record(RECORD))
        only = arguments.only or [""]
        chosen = {n: v for n, v in todo.items() if any(n.startswith(each) for each in only)}
        fill(RECORD, chosen, run, 1)
    write(DOCS / "results.md", "race", table(read_record(RECORD)))
    draw(read_record(RECORD))


if __name__ == "__main__":
    began = time.perf_counter()
    main()
    print(f"{(time.perf_counter() - began) / 60:.1f} minutes")
