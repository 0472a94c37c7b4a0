"""A cell: one run, measured; and many of them, some at a time."""

import hashlib
import json
import os
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any

import ownlatent as ol
from benchmarks.ablations.axes import AXES, Axis, Row
from benchmarks.ablations.scales import SCALES, Scale, data, register_views
from benchmarks.kept import fill, keep


def rows(axis: Axis, scale: Scale) -> list[Row]:
    """An axis's rows, or of each label the first and the last."""
    if not scale.ends:
        return list(axis.rows)
    kept = {}
    for label in dict.fromkeys(row.label for row in axis.rows):
        alike = [row for row in axis.rows if row.label == label]
        kept |= {id(row): row for row in (alike[0], alike[-1])}
    return list(kept.values())


def seeds(axis: Axis, row: Row, scale: Scale) -> range:
    return range(scale.seeds or row.seeds or axis.seeds)


def name(options: dict[str, Any]) -> str:
    """The method, a hash of everything, and the seed: whatever axis it is trained for."""
    text = json.dumps(options, sort_keys=True)
    digest = hashlib.blake2b(text.encode(), digest_size=5).hexdigest()
    return f"{options['method']}-{digest}-{options['seed']}"


def cells(scale: Scale, axes: list[str]) -> dict[str, dict[str, Any]]:
    """Options by name: first the axes with several seeds, seed by seed, then the others."""
    wanted = [
        (axis.seeds == 1, seed, number, row)
        for number, axis in enumerate(AXES)
        if axis.name in axes
        for row in rows(axis, scale)
        for seed in seeds(axis, row, scale)
    ]
    found: dict[str, dict[str, Any]] = {}
    for _, seed, _, row in sorted(wanted, key=lambda each: each[:3]):
        options = scale.options(row.options, seed)
        found.setdefault(name(options), options)
    return found


def launch(
    todo: dict[str, dict[str, Any]],
    scale: str,
    data: str | None,
    folder: Path,
    record: Path,
    jobs: int,
) -> int:
    """Train what is not in the record; returns how many failed."""
    return fill(
        record,
        {cell: (folder / cell, options, scale, data) for cell, options in todo.items()},
        run,
        jobs,
    )


PRESET: dict[str, dict[str, Any]] = {"byol": {"predictor_lr": 1.0}}
"""What presets held when the record was begun, and no longer do. It is no part of a cell's name."""


def run(folder: Path, options: dict[str, Any], scale: str, data_folder: str | None) -> Any:
    """Train one cell, or go on with it, and measure it: accuracies in percent, and the verdict."""
    register_views(SCALES[scale])
    train, test = data(scale, data_folder)
    with open(os.devnull, "w") as nowhere, redirect_stderr(nowhere):
        keep(folder, train, **PRESET.get(options["method"], {}) | options)
    verdict = json.loads((folder / "verdict.json").read_text())["verdict"]
    if verdict == "diverged":
        return {"verdict": verdict, "options": options}
    # What the same network does untrained is asked once a seed: of BYOL as it is.
    plain = options == SCALES[scale].options({"method": "byol"}, options["seed"])
    results = ol.evaluate(
        folder, train, test=test, limit=SCALES[scale].fitted, seed=options["seed"],
        baselines=plain,
    )["results"]  # fmt: skip
    given: dict[str, Any] = {"verdict": verdict}
    for result in results:
        whose = {"random initialisation": "random ", "raw pixels": "pixels "}
        protocol = "linear" if result["protocol"].startswith("linear") else result["protocol"]
        given[whose.get(result["features"], "") + protocol] = round(100 * result["accuracy"], 2)
    return given | {"options": options}
