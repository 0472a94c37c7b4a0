"""All scripts in order, as far as this call's minutes go; the next call picks up where it stopped.

    python -m benchmarks.gpu.run_all [--minutes 9.5] [--only step views] [--toy]

What is done is in the records and passed over. ``$OUT``, where it is set, gets one file of all
records and one of all tables.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

from benchmarks.gpu.common import Budget, parser

SCRIPTS: dict[str, tuple[float, list[str]]] = {
    "views": (5, []), "step": (8, []), "lightly_step": (6, []), "cifar": (9, []),
    "imagenette": (9, []), "ablations": (9, []),
}  # fmt: skip
"""Minutes at most in one call, and options."""
TOY = ["--reserve", "0", "--total", "0.01"]
LEAST = 1.0
"""Minutes below which nothing is begun."""


def main() -> None:
    made = parser(__doc__, minutes=9.5)
    made.add_argument("--only", nargs="+", choices=SCRIPTS, default=list(SCRIPTS))
    given = made.parse_args()
    budget = Budget(given.minutes)
    environment = {k: v for k, v in os.environ.items() if k != "OUT"}
    for name in given.only:
        most, options = SCRIPTS[name]
        left = budget.left / 60
        if left < LEAST:
            print(f"{name}: left for the next call", flush=True)
            break
        races = name in ("cifar", "imagenette")
        words = ["--out", str(given.out), *options, *(["--toy"] if given.toy else [])]
        words += TOY if given.toy and races else []
        # A race's schedule is made for its whole budget, however little of it this call has.
        words += ["--minutes", f"{min(most, left):.2f}"]
        words += ["--total", str(most)] if races and not given.toy else []
        command = [sys.executable, "-m", f"benchmarks.gpu.{name}", *words]
        code = subprocess.run(command, env=environment).returncode
        print(f"{name}: ended with {code}", flush=True)
        collect(given.out)


def collect(folder: Path) -> None:
    """One file of all records and one of all tables, where ``$OUT`` says."""
    if not (out := os.environ.get("OUT")):
        return
    records = {file.stem: json.loads(file.read_text()) for file in sorted(folder.glob("*.json"))}
    for file in folder.glob("ablations/*/record.json"):
        records[f"ablations {file.parent.name}"] = json.loads(file.read_text())
    (Path(out) / "results.json").write_text(json.dumps(records, indent=1) + "\n")
    pages = [file.read_text() for file in sorted(folder.glob("*.md"))]
    (Path(out) / "results.md").write_text("\n".join(pages))


if __name__ == "__main__":
    main()
