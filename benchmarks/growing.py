"""What views that grow, and local crops that join later, save and cost.

    OMP_NUM_THREADS=1 python benchmarks/growing.py

The demo's images and network, a thousand steps and a half; each schedule at as many steps as the
whole, and again for as much processor time. Time is the processor's, of one process, so that what
else the machine does changes it little. Table in docs/results.md, record in results/growing.json.
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

from kept import RESULTS, fill, read_record
from tables import DOCS, spread, write

from ownlatent.demo import FITTED, OPTIONS, TEST, TRAIN
from ownlatent.evaluation import evaluate
from ownlatent.training import pretrain

STEPS = 1600
RECORD = RESULTS / "growing.json"
RECIPES: dict[str, dict[str, Any]] = {
    "BYOL, 20 pixels": {},
    "BYOL, 12 to 20 pixels": {"start_size": 12},
    "BYOL, 16 to 20 pixels": {"start_size": 16},
    "SwAV, no local crops": {"method": "swav", "crops": 0},
    "SwAV, 4 local crops": {"method": "swav", "crops": 4},
    "SwAV, 4 after half": {"method": "swav", "crops": 4, "crops_after": 0.5},
}
SEEDS = 0, 1
LONGER = "BYOL, 12 to 20 pixels, as long"
"""As many steps of the second as take the first's time."""


def cell(options: dict[str, Any], steps: int, seed: int) -> dict[str, float]:
    given = OPTIONS | options | {"steps": steps, "seed": seed}
    if "method" in options:
        del given["set"]  # the demo's tau
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        began = time.process_time()
        pretrain(TRAIN, out=out, **given)
        seconds = time.process_time() - began
        results = evaluate(out, TRAIN, test=TEST, limit=FITTED, seed=seed, baselines=False)
    found = {r["protocol"]: round(100 * r["accuracy"], 1) for r in results["results"]}
    return found | {"seconds": round(seconds, 1), "steps": steps}


def cells(record: dict[str, Any]) -> dict[str, tuple[Any, ...]]:
    todo: dict[str, tuple[Any, ...]] = {
        f"{name} {seed}": (options, STEPS, seed)
        for seed in SEEDS
        for name, options in RECIPES.items()
    }
    whole, grown = (record.get(f"{name} {SEEDS[0]}") for name in list(RECIPES)[:2])
    if whole and grown:
        steps = round(STEPS * whole["seconds"] / grown["seconds"])
        kept = record.get(f"{LONGER} {SEEDS[0]}", {"steps": steps})["steps"]
        for seed in SEEDS:
            todo[f"{LONGER} {seed}"] = RECIPES["BYOL, 12 to 20 pixels"], kept, seed
    return todo


def table(record: dict[str, Any]) -> list[str]:
    protocols = [k for k in next(iter(record.values())) if k not in ("seconds", "steps")]
    lines = [
        "| schedule | seeds | steps | processor seconds | " + " | ".join(protocols) + " |",
        "|---" * (4 + len(protocols)) + "|",
    ]
    for name in [*list(RECIPES)[:3], LONGER, *list(RECIPES)[3:]]:
        found = [record[f"{name} {seed}"] for seed in SEEDS if f"{name} {seed}" in record]
        if not found:
            continue
        seconds = sum(each["seconds"] for each in found) / len(found)
        scores = [spread([each[protocol] for each in found]) for protocol in protocols]
        lines.append(
            f"| {name} | {len(found)} | {found[0]['steps']:,} | {seconds:.0f} | "
            + " | ".join(scores)
            + " |"
        )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--again", action="store_true", help="make all cells again")
    arguments = parser.parse_args()
    fill(RECORD, cells({}), cell, arguments.jobs, again=arguments.again)
    fill(RECORD, cells(read_record(RECORD)), cell, arguments.jobs)
    write(DOCS / "results.md", "growing", table(read_record(RECORD)))


if __name__ == "__main__":
    main()
