"""The ablations at a scale where they say nothing, but every cell, table and plot is made."""

import json
import re
import subprocess
import sys
from pathlib import Path

from benchmarks.ablations.axes import AXES
from benchmarks.ablations.results import Result, half_width, spread
from benchmarks.ablations.scales import SCALES, views

ROOT = Path(__file__).parent.parent


def ablate(folder: Path, *words: str) -> str:
    command = [sys.executable, "-m", "benchmarks.ablations", "--scale", "tiny", "--folder"]
    done = subprocess.run([*command, folder, *words], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_axis_is_run_tabled_and_drawn(tmp_path: Path) -> None:
    ablate(tmp_path)
    page = (tmp_path / "tiny" / "reproductions.md").read_text()
    for axis in AXES:
        (table,) = re.findall(f"<!-- {axis.name}: begin -->\n(.*?)<!--", page, re.DOTALL)
        assert "missing" not in table and len(table.splitlines()) > 4
        assert (tmp_path / "tiny" / "ablations" / f"{axis.name}.svg").stat().st_size > 3000
    given = json.loads((tmp_path / "tiny" / "record.json").read_text())
    assert all(0 <= cell["linear"] <= 100 for cell in given.values())
    # Started again, it makes what is missing and nothing else.
    lost = next(iter(given))
    kept = {cell: value for cell, value in given.items() if cell != lost}
    (tmp_path / "tiny" / "record.json").write_text(json.dumps(kept))
    assert ablate(tmp_path).startswith(f"1/1 {lost} done")


def test_only_batch_norm_sees_the_smaller_batch() -> None:
    """BYOL, section 5: gradients of N micro-batches are averaged before one step."""
    (axis,) = (axis for axis in AXES if axis.name == "bn-batch")
    for scale in (SCALES["cpu"], SCALES["gpu"]):
        runs = [scale.options(row.options, 0) for row in axis.rows if row.label == "byol"]
        assert {run["batch_size"] for run in runs} == {256}
        assert len({run["steps"] for run in runs}) == 1
        assert [256 // run.get("accumulate", 1) for run in runs] == [256, 128, 64, 32, 16]


def test_views_lose_what_their_name_says() -> None:
    """BYOL, table 17."""
    kinds = {name: pair[0] for name, pair in views(1.0).items()}
    assert kinds["no grayscale"].grayscale == 0 and kinds["no grayscale"].jitter > 0
    assert (kinds["no colour"].jitter, kinds["no colour"].grayscale) == (0, 0)
    assert kinds["crop + blur"].blur > 0 and kinds["crop + blur"].flip == 0
    assert kinds["crop only"].blur == 0 and kinds["crop only"].solarize == 0


def test_intervals_pool_the_seeds() -> None:
    """Student's t on the pooled deviation: variances 1 and 4 with 2 degrees of freedom each."""
    rows = AXES[0].rows
    results = [
        Result(rows[0], [1.0, 2.0, 3.0], [], []),
        Result(rows[1], [8.0, 10.0, 12.0], [], []),
        Result(rows[2], [5.0], [], []),
    ]
    deviation, freedom = spread(results)
    assert freedom == 4 and abs(deviation - 2.5**0.5) < 1e-12
    assert abs(half_width(deviation, freedom, 3) - 2.7764 * (2.5 / 3) ** 0.5) < 1e-3
    assert abs(half_width(deviation, freedom, 3, 1) - 2.7764 * (2.5 * (1 / 3 + 1)) ** 0.5) < 1e-3
