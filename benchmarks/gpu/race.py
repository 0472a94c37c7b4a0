"""A race against the clock: the best encoder that so many minutes of one GPU give.

The rate is measured first, by a short run of the same kind; the schedule then ends where the
minutes do. A call stops before its own minutes are over, and the next goes on from the checkpoint.
"""

import functools
import io
import math
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

import ownlatent as ol
from benchmarks.gpu.common import DEVICE, Budget, Cell, OutOfTime, card, fill, finish, parser
from benchmarks.kept import keep, read_record, write_record
from ownlatent.data import Canvases, decode_canvases, open_source
from ownlatent.training.folder import RunFolder

RECIPES: dict[str, dict[str, Any]] = {
    # lightly's CIFAR benchmark, with the target's decay rising to 1 (METHODS.md, section 10)
    "sgd": {"optimizer": "sgd", "base_lr": 0.12, "weight_decay": 5e-4, "warmup_epochs": 5.0,
            "predictor_lr": 1.0, "tau": 0.99, "hidden": 1024},
    # the official README's for one GPU
    "lars": {"optimizer": "lars", "base_lr": 2.0, "weight_decay": 1e-6, "warmup_epochs": 10.0,
             "predictor_lr": 1.0, "tau": 0.99, "hidden": 4096},
    # the preset "small"
    "adamw": {"optimizer": "adamw", "base_lr": 0.001, "weight_decay": 0.05, "warmup_epochs": 2.0,
              "predictor_lr": 10.0, "tau": 0.97, "hidden": 1024},
}  # fmt: skip
PARTS = "train", "test"
TRIAL, TOY_TRIAL = 300, 6
"""Steps by which the rate is measured."""
SAVING = 20
"""Seconds kept free at the end of a call, to save."""
MARGIN = 0.97
"""Of the time that is left, what the schedule is made for."""


def options(doc: str | None) -> ArgumentParser:
    made = parser(doc, minutes=9.0)
    made.add_argument("--total", type=float, help="minutes of all calls together [--minutes]")
    made.add_argument("--recipe", choices=RECIPES, default="sgd")
    made.add_argument("--batch", type=int, help="images per step")
    made.add_argument("--size", type=int, help="side of the views")
    made.add_argument("--seed", type=int, default=0)
    made.add_argument("--reserve", type=float, default=75.0, help="seconds for measuring")
    made.add_argument("--data", type=Path, help="what carry.py made for it")
    return made


def unpacked(carried: Path, folder: Path, size: int) -> tuple[Canvases, Canvases]:
    """Training and test images on the device, labelled; unpacked to ``train.npz`` and ``test.npz``
    of the folder, once."""
    unpack_all(carried, folder)
    sources = (open_source(str(folder / f"{part}.npz"), labelled=True) for part in PARTS)
    train, test = (decode_canvases(each, view_size=size, device=DEVICE) for each in sources)
    return train, test


def unpack_all(carried: Path, folder: Path) -> None:
    for part in PARTS:
        if not (folder / f"{part}.npz").is_file():
            folder.mkdir(parents=True, exist_ok=True)
            (packed,) = carried.glob(f"*_{part}_jpeg.npz")
            unpack(packed, folder / f"{part}.npz")


def unpack(packed: Path, into: Path) -> None:
    """An array of JPEGs that share a header (``header``, ``body``, ``length`` and ``label``) to one
    of pixels; labels go along."""
    from PIL import Image

    with np.load(packed) as held:
        ends = np.cumsum(held["length"].astype(np.int64)).tolist()
        header, body, labels = held["header"].tobytes(), held["body"].tobytes(), held["label"]
    parts = zip([0, *ends[:-1]], ends, strict=True)
    images = [np.asarray(Image.open(io.BytesIO(header + body[a:b]))) for a, b in parts]
    fresh = into.with_suffix(".tmp.npz")
    np.savez(fresh, images=np.stack(images), labels=labels.astype(np.int64))
    fresh.replace(into)


def race(
    title: str,
    given: Namespace,
    data: Callable[[], tuple[Canvases, Canvases]],
    more: Mapping[str, Any],
) -> None:
    """Run one race as far as this call's minutes go.

    Args:
        title: its name begins the record's name.
        data: gives training and test images.
        more: options of the run beside the recipe's.
    """
    began, budget = time.monotonic(), Budget(given.minutes)
    minutes = given.total or given.minutes
    options = {**RECIPES[given.recipe], **more, "seed": given.seed}
    name = (
        f"{given.recipe} {minutes:g} min batch {options['batch_size']} size {options['size']} "
        f"seed {given.seed}"
    )
    place = given.out / f"{title}-{name.replace(' ', '-')}"
    record = given.out / f"{title}.json"
    state = place / "race.json"
    if "error" in read_record(record).get(name, {"error": "missing"}):
        place.mkdir(parents=True, exist_ok=True)
        train, test = data()
        trial = TOY_TRIAL if given.toy else TRIAL
        fill(
            state,
            {
                "trial": functools.partial(measure_rate, place / "trial", train, options, trial),
                "plan": functools.partial(plan, state, len(train), given, began),
            },
            budget,
        )
        found = read_record(state)
        if "epochs" in found.get("plan", {}) and not ended(place / "run"):
            epochs = found["plan"]["epochs"]
            try:
                with budget.enforced(0 if given.toy else SAVING):
                    keep(place / "run", train, **options, epochs=epochs, **_kept(given.toy))
            except (ol.Stopped, OutOfTime) as stop:
                print(f"{name}: {stop or 'stopped'}", flush=True)
            spent = found.get("spent", {"seconds": 0.0})["seconds"] + time.monotonic() - began
            write_record(state, found | {"spent": {"seconds": spent}})
        if ended(place / "run"):
            todo = {name: functools.partial(measure, place, train, test, options)}
            fill(record, todo, budget, given.reserve)
    finish(given.out / f"{title}.md", title, table(read_record(record)))


def ended(run: Path) -> bool:
    return RunFolder(run).state()["state"] in ("finished", "diverged")


def _kept(toy: bool) -> dict[str, Any]:
    return {"log_every": 2 if toy else 100, "checkpoint_minutes": 3.0, "keep": 1}


def measure_rate(folder: Path, train: Canvases, options: dict[str, Any], steps: int) -> Cell:
    """Images per second over the second half of a short run, and the seconds before its first
    step is done."""
    began = time.monotonic()
    keep(folder, train, **options, steps=steps, log_every=steps // 6, keep=1)
    seconds = time.monotonic() - began
    rows = RunFolder(folder).log()
    half, last = rows[len(rows) // 2 - 1], rows[-1]
    images = (last["step"] - half["step"]) * options["batch_size"]
    rate = images / (last["seconds"] - half["seconds"])
    start = max(0.0, seconds - last["step"] * options["batch_size"] / rate)
    return {"images_per_second": rate, "start_seconds": start}


def plan(state: Path, images: int, given: Namespace, began: float) -> Cell:
    """Epochs that fit into what is left of all minutes, each call's start taken off."""
    trial = read_record(state)["trial"]
    minutes = given.total or given.minutes
    calls = max(1, math.ceil(minutes / given.minutes))
    starts = calls * trial["start_seconds"] + (calls - 1) * SAVING
    left = 60 * minutes - (time.monotonic() - began) - given.reserve - starts
    fit = MARGIN * left * trial["images_per_second"] / images
    return {"epochs": max(1, int(fit)), "seconds_for_training": left, "calls": calls}


def measure(place: Path, train: Canvases, test: Canvases, options: dict[str, Any]) -> Cell:
    """Accuracies on the test images, of the probe and of both kNN; in per cent."""
    verdict = ol.evaluate(
        place / "run", train, test=test, protocols=["linear", "knn"], baselines=False,
        device=DEVICE.type, seed=options["seed"],
    )["results"]  # fmt: skip
    state = read_record(place / "race.json")
    return {
        "accuracy": {row["protocol"]: round(100 * row["accuracy"], 2) for row in verdict},
        "interval": {row["protocol"]: [round(100 * row[end], 2) for end in ("low", "high")]
                     for row in verdict},
        "images": len(train), "epochs": state["plan"]["epochs"],
        "images_per_second": state["trial"]["images_per_second"],
        "seconds_before_measuring": state["spent"]["seconds"],
        "verdict": read_record(place / "run" / "verdict.json")["verdict"],
        "options": options, **card(),
    }  # fmt: skip


def table(record: dict[str, Any]) -> list[str]:
    lines = [
        "| recipe | epochs | images/s | minutes before measuring | linear, % | kNN, % | verdict |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, cell in record.items():
        if "error" in cell:
            lines.append(f"| {name} | failed: {cell['error']} | | | | | |")
            continue
        found = cell["accuracy"]
        linear = next(v for k, v in found.items() if k.startswith("linear"))
        near = " / ".join(f"{v:.1f}" for k, v in found.items() if not k.startswith("linear"))
        lines.append(
            f"| {name} | {cell['epochs']} | {cell['images_per_second']:,.0f} | "
            f"{cell['seconds_before_measuring'] / 60:.1f} | {linear:.2f} | {near} | "
            f"{cell['verdict']} |"
        )
    return lines
