"""The papers' claims as experiments: cells of a few minutes, tables and plots beside print.

    make ablations                       # the CPU scale, into docs/reproductions.md
    make ablations SCALE=tiny            # every axis, for nothing but to see that it runs
    python -m benchmarks.ablations --scale gpu --data FOLDER_OF_NPZ --minutes 9
    python -m benchmarks.ablations --axes bn-batch tau --jobs 1

Cells of the CPU scale that are in benchmarks/results/ablations.json are passed over, and stopped
ones go on. Whatever there is goes into the tables.
"""

import argparse
import time
from pathlib import Path

from benchmarks.ablations import page, results
from benchmarks.ablations.axes import AXES
from benchmarks.ablations.cells import cells, launch
from benchmarks.ablations.plots import draw
from benchmarks.ablations.scales import SCALES
from benchmarks.kept import read_record
from benchmarks.tables import between, marks

DOCUMENT = Path("docs/reproductions.md")
RECORD = Path("benchmarks/results/ablations.json")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = [axis.name for axis in AXES]
    parser.add_argument("--scale", choices=SCALES, default="cpu")
    parser.add_argument("--axes", nargs="+", choices=names, default=names)
    parser.add_argument("--data", help="folder with train.npz and test.npz, instead of the sample")
    parser.add_argument("--jobs", type=int, default=2, help="cells at a time, one thread each")
    parser.add_argument("--folder", type=Path, default=Path("runs/ablations"))
    parser.add_argument("--out", type=Path, help="document and plots; default: docs/ for cpu only")
    parser.add_argument("--tables", action="store_true", help="train nothing")
    arguments = parser.parse_args()
    scale, folder = SCALES[arguments.scale], arguments.folder / arguments.scale
    folder.mkdir(parents=True, exist_ok=True)
    record = folder / "record.json" if arguments.scale != "cpu" else RECORD
    began, failed = time.monotonic(), 0
    if not arguments.tables:
        todo = cells(scale, arguments.axes)
        failed = launch(todo, arguments.scale, arguments.data, folder, record, arguments.jobs)
        print(f"{len(todo)} cells, {(time.monotonic() - began) / 60:.1f} minutes")
    into = arguments.out or (DOCUMENT.parent if arguments.scale == "cpu" else folder)
    plots = into / "ablations"
    plots.mkdir(parents=True, exist_ok=True)
    document = into / DOCUMENT.name
    text = document.read_text() if document.is_file() else ""
    given = read_record(record)
    base = results.untrained(given)
    for axis in AXES:
        found = results.read(given, axis, scale)
        lines = [*page.table(axis, found, base), ""]
        if any(result.linear for result in found):
            draw(plots / f"{axis.name}.svg", axis, found, base)
            lines.append(f"![{axis.title}](ablations/{axis.name}.svg)")
        text = replaced(text, axis.name, axis.title, lines)
    document.write_text(text)
    print(document)
    if failed:
        raise SystemExit(f"{failed} cells failed.")


def replaced(text: str, mark: str, title: str, lines: list[str]) -> str:
    """``text`` with the axis's part replaced; appended where there is none."""
    if marks(mark)[0] not in text:
        text += f"\n## {title}\n\n{''.join(marks(mark))}\n"
    return between(text, mark, lines)


if __name__ == "__main__":
    main()
