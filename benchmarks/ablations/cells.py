"""A cell: one run, measured; and many of them, some at a time.

What a cell gave goes into a record, a file of a few kilobytes that is kept with the project: cells
in it are not trained again.
"""

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


def read_record(path: Path) -> dict[str, Any]:
    """What the cells gave, by name."""
    found: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
    return found


def launch(
    todo: dict[str, dict[str, Any]],
    scale: str,
    data: str | None,
    folder: Path,
    record: Path,
    jobs: int,
) -> int:
    """Train what is not in the record; a cell that fails is named, and the others go on.

    Returns:
        how many failed.
    """
    if jobs > 1:
        os.environ["OMP_NUM_THREADS"] = "1"  # read when a worker imports torch
    given, failed = read_record(record), 0
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context) as pool:
        started = {
            pool.submit(run, folder / cell, options, scale, data): cell
            for cell, options in todo.items()
            if cell not in given
        }
        for number, done in enumerate(as_completed(started), start=1):
            cell, error = started[done], done.exception()
            if error is None:
                given[cell] = done.result()
                _write(record, given)
            failed += error is not None
            told = f"failed: {error}" if error else "done"
            print(f"{number}/{len(started)} {cell} {told}", flush=True)
    return failed


def _write(record: Path, given: dict[str, Any]) -> None:
    fresh = record.with_suffix(".tmp")
    lines = (f"{json.dumps(cell)}: {json.dumps(given[cell])}" for cell in sorted(given))
    fresh.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    fresh.replace(record)


def run(folder: Path, options: dict[str, Any], scale: str, data_folder: str | None) -> Any:
    """Train one cell, or go on with it, and measure it: accuracies in percent, and the verdict."""
    import ownlatent as ol
    from benchmarks.ablations.scales import data, register_views
    from benchmarks.kept import keep

    register_views(SCALES[scale])
    train, test = data(scale, data_folder)
    with open(os.devnull, "w") as nowhere, redirect_stderr(nowhere):
        keep(folder, train, **options)
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
