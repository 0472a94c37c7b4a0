"""What an installation weighs and how fast it starts: ``benchmarks/results/weight.md``.

    .venv/bin/python scripts/weight.py [--runs 9] [--out FILE]

Distributions are those that ``uv pip compile`` resolves with the pins of requirements.lock. Their
size is that of their files in the environment that runs this; what is not in it has none.
"""

import argparse
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import tomllib
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "benchmarks" / "results" / "weight.md"
LARGEST = 12
COMMANDS = {
    "`ownlatent --help`": ["-m", "ownlatent", "--help"],
    "`ownlatent pretrain --help`": ["-m", "ownlatent", "pretrain", "--help"],
    "`ownlatent completion bash`": ["-m", "ownlatent", "completion", "bash"],
    "`ownlatent runs` in an empty folder": ["-m", "ownlatent", "runs", "."],
    "`import ownlatent`": ["-c", "import ownlatent"],
    "`import ownlatent; ownlatent.pretrain`": ["-c", "import ownlatent; ownlatent.pretrain"],
    "Python alone": ["-c", "pass"],
}


def resolved(extra: str | None) -> set[str]:
    """Names of the distributions that the core, or the core with an extra, installs."""
    uv = shutil.which("uv") or str(ROOT / ".venv-uv" / "bin" / "uv")
    command = [uv, "pip", "compile", "--quiet", "--python-version", "3.11", "--no-annotate"]
    command += ["--no-header", "--no-emit-index-url", "--constraint", "requirements.lock"]
    command += ["--extra", extra] if extra else []
    done = subprocess.run(
        [*command, "pyproject.toml"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return {line.split("==")[0] for line in done.stdout.splitlines() if "==" in line}


def megabytes(name: str) -> float | None:
    """Size of a distribution's files on disk; None where it is not installed."""
    try:
        files = metadata.files(name) or []
    except metadata.PackageNotFoundError:
        return None
    found = [Path(str(file.locate())) for file in files]
    return sum(path.lstat().st_size for path in found if path.is_file()) / 1e6


def total(names: set[str]) -> str:
    sizes = [megabytes(name) for name in names]
    known = sum(size for size in sizes if size is not None)
    unknown = sizes.count(None)
    return f"{known:,.0f}" + (f" and {unknown} not measured" if unknown else "")


def seconds(arguments: list[str], runs: int) -> list[float]:
    """Wall-clock of each of some runs, after one that warms the disk's cache."""
    taken = []
    with tempfile.TemporaryDirectory() as empty:
        for _ in range(runs + 1):
            began = time.perf_counter()
            subprocess.run([sys.executable, *arguments], cwd=empty, check=True, capture_output=True)
            taken.append(time.perf_counter() - began)
    return sorted(taken[1:])


def page(runs: int) -> str:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    core = resolved(None)
    rows = [f"| core | {len(core)} | {total(core)} | |"]
    for extra, wanted in project["optional-dependencies"].items():
        more = resolved(extra) - core
        asked = ", ".join(re.split("[<>=]", text)[0] for text in wanted)
        rows.append(f"| `{extra}` | +{len(more)} | +{total(more)} | {asked} |")
    sizes = {name: megabytes(name) for name in core}
    heavy = sorted(core, key=lambda name: -(sizes[name] or 0))[:LARGEST]
    largest = [f"| {name} | {sizes[name] or 0:,.0f} |" for name in heavy]
    starts = []
    for name, arguments in COMMANDS.items():
        taken = seconds(arguments, runs)
        starts.append(
            f"| {name} | {statistics.median(taken):.3f} | {taken[0]:.3f} | {taken[-1]:.3f} |"
        )
    return "\n".join(
        [
            "# Weight and start-up",
            "",
            f"By `scripts/weight.py`: Python {platform.python_version()}, "
            f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores.",
            "",
            "## What is installed",
            "",
            "With the pins of requirements.lock, for Linux; an extra counts what it adds to the "
            "core.",
            "",
            "| | distributions | MB on disk | asks for |",
            "|---|---|---|---|",
            *rows,
            "",
            "The largest of the core:",
            "",
            "| distribution | MB |",
            "|---|---|",
            *largest,
            "",
            "## Seconds to start",
            "",
            f"Median, least and most of {runs} runs with a warm disk cache.",
            "",
            "| | median | least | most |",
            "|---|---|---|---|",
            *starts,
            "",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=9, help="of each command")
    parser.add_argument("--out", type=Path, default=OUT, help="file to write")
    options = parser.parse_args()
    options.out.write_text(page(options.runs))
    print(options.out)


if __name__ == "__main__":
    main()
