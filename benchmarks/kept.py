"""What benchmarks keep: runs, gone on with where they stopped, and what each of them gave.

What a run gave goes into a record, a file of a few kilobytes that stays with the project when the
run's folder is gone: what is in it is not made again.
"""

import json
import multiprocessing
import os
import shutil
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import ownlatent as ol
from ownlatent.training.folder import RunFolder

RESULTS = Path(__file__).parent / "results"


def read_record(path: Path) -> dict[str, Any]:
    """What the cells gave, by name."""
    found: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
    return found


def fill(
    record: Path,
    todo: Mapping[str, tuple[Any, ...]],
    run: Callable[..., Any],
    jobs: int,
    again: bool = False,
) -> int:
    """Keep ``run(*todo[name])`` under each name that the record lacks, some at a time.

    One that fails is named, and the others go on. With several jobs each has one thread.

    Args:
        again: make them all, whether the record has them or not.

    Returns:
        how many failed.
    """
    if jobs > 1:
        os.environ["OMP_NUM_THREADS"] = "1"  # read when a worker imports torch
    given, failed = read_record(record), 0
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context) as pool:
        started = {
            pool.submit(run, *arguments): name
            for name, arguments in todo.items()
            if again or name not in given
        }
        for number, done in enumerate(as_completed(started), start=1):
            name, error = started[done], done.exception()
            if error is None:
                given = read_record(record) | {name: done.result()}  # others may fill it as well
                write_record(record, given)
            failed += error is not None
            told = f"failed: {error}" if error else "done"
            print(f"{number}/{len(started)} {name} {told}", flush=True)
    return failed


def write_record(record: Path, given: dict[str, Any]) -> None:
    """Replace a record: at every moment the old or the new one is whole."""
    fresh = record.with_suffix(".tmp")
    lines = (f"{json.dumps(name)}: {json.dumps(given[name])}" for name in sorted(given))
    fresh.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    fresh.replace(record)


def keep(folder: Path, data: Any, **options: Any) -> None:
    """See that the run is there and has ended; one that diverges has ended too."""
    state = RunFolder(folder).state()["state"]
    if state in ("finished", "diverged"):
        return
    try:
        if (folder / "checkpoints").is_dir():
            ol.resume(folder, data)
        else:
            shutil.rmtree(folder, ignore_errors=True)
            ol.pretrain(data, out=folder, **options)
    except ol.Diverged as error:
        print(error)
