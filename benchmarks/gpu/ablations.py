"""Cells of ``benchmarks.ablations`` at the scale of a GPU, as many as the minutes give.

    python -m benchmarks.gpu.ablations --data runs/carry/cifar10 [--axes bn-batch tau]

A cell that is cut off goes on with the next call. What is done lies where
``python -m benchmarks.ablations --scale gpu --tables --folder runs/gpu/ablations`` looks for it.
"""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ownlatent as ol
from benchmarks.ablations.axes import AXES
from benchmarks.ablations.cells import cells, run
from benchmarks.ablations.scales import SCALES
from benchmarks.gpu.common import Budget, Cell, OutOfTime, fill, finish, parser
from benchmarks.gpu.race import unpack_all
from benchmarks.kept import read_record, write_record


def main() -> None:
    made = parser(__doc__)
    names = [axis.name for axis in AXES]
    made.add_argument("--axes", nargs="+", choices=names, default=names)
    made.add_argument("--data", type=Path, default=Path("runs/carry/cifar10"), help="from carry.py")
    given = made.parse_args()
    scale = "tiny" if given.toy else "gpu"
    data = None if given.toy else str(given.out / "cifar10")
    if not given.toy:
        unpack_all(given.data, given.out / "cifar10")
    folder = given.out / "ablations" / scale
    wanted = cells(SCALES[scale], given.axes)
    if given.toy:
        wanted = dict(list(wanted.items())[:2])
    todo: dict[str, Callable[[], Cell]] = {
        cell: functools.partial(run, folder / cell, options, scale, data)
        for cell, options in wanted.items()
    }
    record, budget = folder / "record.json", Budget(given.minutes)
    try:
        with budget.enforced(0 if given.toy else 20):
            fill(record, todo, budget, 0 if given.toy else 60)
    except (ol.Stopped, OutOfTime) as stop:
        print(stop or "stopped", flush=True)
    found = read_record(record)
    finish(given.out / "ablations.md", "Ablations", table(found, wanted))
    if found:  # the ablations' own tables take what is measured
        write_record(record, {k: cell for k, cell in found.items() if "error" not in cell})


def table(record: dict[str, Any], wanted: dict[str, dict[str, Any]]) -> list[str]:
    lines = ["| cell | options | linear, % | kNN, % | verdict |", "|---|---|---|---|---|"]
    for name, options in wanted.items():
        cell = record.get(name, {"error": "not done"})
        told = ", ".join(f"{k} {v}" for k, v in options.items())
        found = [f"{v:.2f}" for k, v in cell.items() if k == "linear" or k.startswith("kNN")]
        if "error" in cell:
            lines.append(f"| {name} | {told} | {cell['error']} | | |")
        else:
            linear, near = (found or ["-"])[0], " / ".join(found[1:]) or "-"
            lines.append(f"| {name} | {told} | {linear} | {near} | {cell['verdict']} |")
    done = sum("error" not in record.get(name, {"error": ""}) for name in wanted)
    return [*lines, "", f"{done} of {len(wanted)} cells."]


if __name__ == "__main__":
    main()
