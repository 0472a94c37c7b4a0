"""Ten minutes of BYOL on photographs, against a random start, under every protocol.

    python benchmarks/photos.py FOLDER

The folder holds imagenette/ (train, val), camvid/ (train, train_mask, test, test_mask), bccd/
(VOC's folders) and room/ (rgb, depth). BYOL trains ResNet-18 at 64 pixels on imagenette/train; the
same encoder then starts every run. What was measured is kept in results/photos.json, and goes into
docs/results.md.
"""

import argparse
import shutil
import time
from pathlib import Path
from statistics import mean
from typing import Any

from kept import RESULTS, fill, keep, read_record
from tables import DOCS, spread, write

import ownlatent as ol
from ownlatent.evaluation.dense.run import evaluate_dense

PRETRAIN: dict[str, Any] = {
    "backbone": "resnet18", "stem": "standard", "size": 64, "batch_size": 64, "steps": 1900,
    "precision": "bf16",
}  # fmt: skip
SEEDS = 0, 1, 2
FEW = {"linear@1%": None, "linear@10%": None, "finetune@1%": 60, "finetune@10%": 15}
"""Protocols and their epochs."""
UNSEEN = 20  # frames of the room, its last


def few(run: str, folder: str, protocol: str, seed: int) -> dict[str, Any]:
    """Accuracy on val, by features."""
    data = Path(folder) / "imagenette"
    began = time.perf_counter()
    found = ol.evaluate(
        run, str(data / "train"), test=str(data / "val"), protocols=[protocol],
        epochs=FEW[protocol], seed=seed,
    )  # fmt: skip
    return _kept(found, began, "accuracy")


def dense(run: str, folder: str, protocol: str, seed: int) -> dict[str, Any]:
    """What a dense protocol measures, by features."""
    data, options = _dense(Path(folder), protocol)
    began = time.perf_counter()
    found = evaluate_dense(run, *data[:2], test=data[2], test_targets=data[3], protocol=protocol,
                           seed=seed, **options)  # fmt: skip
    return _kept(found, began, *(n for n in ("mIoU", "AP", "AP50", "rel", "rms", "log10",
                                              "delta 1") if n in found["results"][0]))  # fmt: skip


def _dense(folder: Path, protocol: str) -> tuple[list[Path], dict[str, Any]]:
    if protocol == "segmentation":
        root = folder / "camvid"
        parts = ["train", "train_mask", "test", "test_mask"]
        return [root / part for part in parts], {"size": 160, "void": 11}
    if protocol == "detection":
        root = folder / "bccd"
        lists = root / "ImageSets" / "Main"
        images = root / "JPEGImages"
        places = [images, lists / "train.txt", images, lists / "test.txt"]
        return places, {"size": 256, "steps": 100}
    return _room(folder / "room"), {"size": 160, "steps": 200}


def _room(room: Path) -> list[Path]:
    """The room's frames in two parts: the camera has not been where the last ones are."""
    made = []
    frames = sorted(file.stem for file in (room / "rgb").iterdir())
    for part, names in (("train", frames[:-UNSEEN]), ("test", frames[-UNSEEN:])):
        for kind in ("rgb", "depth"):
            place = room / f"{part}-{kind}"
            place.mkdir(exist_ok=True)
            for file in (room / kind).iterdir():
                if file.stem in names:
                    shutil.copy(file, place / file.name)
            made.append(place)
    return made


def _kept(found: dict[str, Any], began: float, *names: str) -> dict[str, Any]:
    given = {row["features"]: {n: row[n] for n in names} for row in found["results"]}
    return {"features": given, "seconds": time.perf_counter() - began}


def lines(record: dict[str, Any]) -> list[str]:
    """The table: mean and standard deviation over seeds, in per cent but for rel, rms, log10."""
    made = [
        "| protocol | metric | BYOL | random initialisation | raw pixels | seeds | a run, s |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in [*FEW, "segmentation", "detection", "depth"]:
        cells = [given for key, given in record.items() if key.split(" seed ")[0] == name]
        for metric in next(iter(cells[0]["features"].values())) if cells else ():
            factor = 1 if metric in ("rel", "rms", "log10") else 100
            columns = [
                [
                    factor * value[metric]
                    for cell in cells
                    for features, value in cell["features"].items()
                    if column in features
                ]
                for column in ("BYOL", "random", "raw")
            ]
            digits = [_digits(values) if factor == 1 else spread(values) for values in columns]
            networks = 2 + bool(columns[2]) if name.startswith("linear") else 2
            seconds = mean(cell["seconds"] for cell in cells) / networks
            made.append(
                f"| {name} | {metric} | {' | '.join(digits)} | {len(cells)} | {seconds:.0f} |"
            )
    return made


def _digits(values: list[float]) -> str:
    return f"{mean(values):.3f}" if values else "-"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--runs", type=Path, default=Path("runs/photos"))
    arguments = parser.parse_args()
    run, folder = str(arguments.runs / "byol"), str(arguments.folder)
    keep(arguments.runs / "byol", f"{folder}/imagenette/train", **PRETRAIN)
    record = RESULTS / "photos.json"
    tasks: list[tuple[Any, str, tuple[int, ...]]] = [(few, name, SEEDS) for name in FEW]
    tasks += [
        (dense, "segmentation", SEEDS), (dense, "detection", SEEDS[:1]), (dense, "depth", SEEDS[:1])
    ]  # fmt: skip
    for measure, name, seeds in tasks:
        todo = {f"{name} seed {seed}": (run, folder, name, seed) for seed in seeds}
        fill(record, todo, measure, jobs=1)
    write(DOCS / "results.md", "photos", lines(read_record(record)))


if __name__ == "__main__":
    main()
