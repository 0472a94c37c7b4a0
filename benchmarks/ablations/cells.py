"""A cell: one run, measured; and many of them, some at a time."""

import hashlib
import json
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any

from benchmarks.ablations.axes import AXES, Axis, Row
from benchmarks.ablations.scales import SCALES, Scale


def rows(axis: Axis, scale: Scale) -> list[Row]:
    """An axis's rows, or of each label the first and the last."""
    if not scale.ends:
        return list(axis.rows)
    kept = {}
    for label in dict.fromkeys(row.label for row in axis.rows):
        alike = [row for row in axis.rows if row.label == label]
        kept |= {id(row): row for row in (alike[0], alike[-1])}
    return list(kept.values())


def folders(root: Path, axis: Axis, row: Row, scale: Scale) -> list[Path]:
    """Where the row's seeds are, whatever axis they were trained for."""
    seeds = scale.seeds or row.seeds or axis.seeds
    return [root / name(scale.options(row.options, seed)) for seed in range(seeds)]


def name(options: dict[str, Any]) -> str:
    """The method, the seed, and a hash of everything."""
    text = json.dumps(options, sort_keys=True)
    digest = hashlib.blake2b(text.encode(), digest_size=5).hexdigest()
    return f"{options['method']}-{digest}-{options['seed']}"


def cells(root: Path, scale: Scale, axes: list[str]) -> dict[Path, dict[str, Any]]:
    """Options by folder: every row of the axes, first seeds first."""
    found: dict[Path, dict[str, Any]] = {}
    for axis in AXES:
        if axis.name in axes:
            at = [(row, folders(root, axis, row, scale)) for row in rows(axis, scale)]
            for seed in range(max(len(places) for _, places in at)):
                for row, places in at:
                    if seed < len(places):
                        found.setdefault(places[seed], scale.options(row.options, seed))
    return found


def launch(todo: dict[Path, dict[str, Any]], scale: str, data: str | None, jobs: int) -> None:
    """Train what is missing; a cell that fails is named, and the others go on."""
    if jobs > 1:
        os.environ["OMP_NUM_THREADS"] = "1"  # read when a worker imports torch
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context) as pool:
        started = {
            pool.submit(run, folder, options, scale, data): folder
            for folder, options in todo.items()
            if not (folder / "evaluation.json").is_file()
        }
        for number, done in enumerate(as_completed(started), start=1):
            error = done.exception()
            told = f"failed: {error}" if error else "done"
            print(f"{number}/{len(started)} {started[done].name} {told}", flush=True)


def run(folder: Path, options: dict[str, Any], scale: str, data_folder: str | None) -> None:
    """Train one cell, or go on with it, and measure it."""
    import ownlatent as ol
    from benchmarks.ablations.scales import data, register_views
    from benchmarks.kept import keep

    register_views(SCALES[scale])
    train, test = data(scale, data_folder)
    with open(os.devnull, "w") as nowhere, redirect_stderr(nowhere):
        keep(folder, train, **options)
    ol.evaluate(
        folder, train, test=test, limit=SCALES[scale].fitted, seed=options["seed"],
        baselines=False,
    )  # fmt: skip
    random = folder.parent / f"random-{options['seed']}.json"
    if not random.is_file() and options["method"] == "byol" and "norm" not in options:
        _measure_random(random, folder, train, test, SCALES[scale].fitted, options["seed"])


def _measure_random(
    path: Path, folder: Path, train: Any, test: Any, fitted: int, seed: int
) -> None:
    """The same network untrained: what every figure is to be held against."""
    from ownlatent.encoder import EncoderFolder
    from ownlatent.evaluation.features import embed
    from ownlatent.evaluation.linear import linear_probe

    net = EncoderFolder.find(folder).blank(seed)
    probe = linear_probe(
        embed(net, train)[:fitted], train.labels[:fitted], embed(net, test), test.labels, seed=seed
    )
    path.write_text(json.dumps({"accuracy": probe.accuracy}))
