"""The verdict's thresholds: figures of healthy and broken runs, and what is said of each.

    python benchmarks/verdict.py derive          # the runs that the thresholds were chosen on
    python benchmarks/verdict.py check           # other data, nets, seeds and recipes
    python benchmarks/verdict.py check --images FOLDER   # with photographs besides

Finished runs are kept and passed over, so a stopped table fills up when started again.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from kept import keep

from ownlatent.demo import TRAIN

BROKEN: dict[str, dict[str, Any]] = {
    "no predictor": {"predictor": False},
    "gradient through both": {"targets": "shared"},
}
SGD: dict[str, Any] = {"optimizer": "sgd", "base_lr": 0.4, "weight_decay": 5e-4, "tau": 0.97}
LARS: dict[str, Any] = {"optimizer": "lars", "base_lr": 3.0, "weight_decay": 1e-6, "tau": 0.97}
ADAMW: dict[str, Any] = {"optimizer": "adamw", "base_lr": 0.004, "weight_decay": 0.05, "tau": 0.97}

# name, what is to be found, options; the thresholds were chosen on DERIVE alone.
Rows = list[tuple[str, str, dict[str, Any]]]
DERIVE: Rows = [
    ("SGD", "healthy", SGD),
    ("LARS", "healthy", LARS),
    ("SGD, tau 0", "healthy", SGD | {"tau": 0.0}),
    *((f"SGD, {name}", "collapsed", SGD | broken) for name, broken in BROKEN.items()),
    *((f"LARS, {name}", "collapsed", LARS | broken) for name, broken in BROKEN.items()),
    ("SGD, rate times 30", "dimensional collapse", SGD | {"base_lr": 12.0}),
    ("SGD, rate times 100,000", "diverged", SGD | {"base_lr": 4e4}),
]
DEMO: dict[str, Any] = SGD | {"tau": 0.9, "size": 20}
CHECK: Rows = [
    *((f"demo, seed {seed}", "healthy", DEMO | {"seed": seed}) for seed in (1, 2, 3)),
    *(
        (f"demo, {name}, seed {seed}", "collapsed", DEMO | {"seed": seed} | broken)
        for name, broken in BROKEN.items()
        for seed in (1, 2, 3)
    ),
    ("AdamW, narrow heads", "healthy", ADAMW | {"hidden": 128, "dim": 32}),
    ("SGD, batch 256", "healthy", SGD | {"batch_size": 256, "steps": 400}),
    ("residual net of timm", "healthy", SGD | {"backbone": "test_resnet"}),
    (
        "the same, no predictor",
        "collapsed",
        SGD | BROKEN["no predictor"] | {"backbone": "test_resnet"},
    ),
    ("AdamW, rate times 100,000", "diverged", ADAMW | {"base_lr": 400.0}),
]
PHOTOS: Rows = [
    ("photographs", "healthy", SGD | {"size": 32, "views": "byol", "steps": 500}),
    (
        "photographs, no predictor",
        "collapsed",
        SGD | BROKEN["no predictor"] | {"size": 32, "views": "byol", "steps": 500},
    ),
]
COMMON: dict[str, Any] = {
    "backbone": "small-resnet",
    "size": 16,
    "steps": 1000,
    "batch_size": 64,
    "log_every": 100,
}


def one(data: str, folder: Path, options: dict[str, Any]) -> dict[str, Any]:
    """The run's ``verdict.json``, from disk where it has been made before."""
    keep(folder, data, **COMMON | options)
    summary: dict[str, Any] = json.loads((folder / "verdict.json").read_text())
    return summary


def line(name: str, expected: str, summary: dict[str, Any]) -> str:
    """One row: the verdict, when it was first found, and the least shares of the untrained net."""
    checks = summary["checks"]
    measured = [check for check in checks[1:] if "features" in check]

    def least(part: str, figure: str) -> str:
        shares = [check[part][figure] / checks[0][part][figure] for check in measured]
        return f"{min(shares):.3f}" if shares else "-"

    bad = [check for check in checks if check["verdict"] != "healthy"]
    first = bad[0]["step"] if bad else "-"
    found = summary["verdict"]
    mark = "" if found == expected and (bad or expected == "healthy") else f" (not {expected})"
    cells = [name, f"{found}{mark}", first, least("embeddings", "std"), least("features", "std")]
    cells += [least("embeddings", "effective_rank"), least("features", "effective_rank")]
    return "| " + " | ".join(map(str, cells)) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("which", choices=["derive", "check"])
    parser.add_argument("--images", help="a folder of photographs, for two rows more")
    parser.add_argument("--folder", type=Path, default=Path("runs/benchmark-verdict"))
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    rows = [(TRAIN, row) for row in (DERIVE if arguments.which == "derive" else CHECK)]
    if arguments.images:
        rows += [(arguments.images, row) for row in PHOTOS]
    table = [
        "| run | verdict | first at step | z std | f std | z rank | f rank |",
        "|---|---|---|---|---|---|---|",
    ]
    for data, (name, expected, options) in rows:
        slug = "".join(c if c.isalnum() else "-" for c in name.lower())
        summary = one(data, arguments.folder / arguments.which / slug, options)
        table.append(line(name, expected, summary))
        print(table[-1], flush=True)
    out = Path(__file__).parent / "results" / f"verdict-{arguments.which}.md"
    steps = f"{COMMON['steps']:,} steps of 64 images unless said, 16-pixel views, small-resnet"
    head = (
        f"# Verdict: {arguments.which}\n\nCIFAR-10 (JPEG) sample, {steps}. z: embeddings, f: "
        "features; the least share of the untrained network's figure over all checks.\n\n"
    )
    out.write_text(head + "\n".join(table) + "\n")


if __name__ == "__main__":
    main()
