"""The demo: the whole job on real images, in minutes on two CPU cores."""

import shutil
import sys
import time
from importlib.resources import files
from pathlib import Path
from typing import Any

from ownlatent.errors import UsageError

IMAGES = files("ownlatent") / "demo_data"
TRAIN, TEST = str(IMAGES / "cifar10-train.parquet"), str(IMAGES / "cifar10-test.parquet")
FITTED = 10_000
"""Labelled training images that the probes are fitted on."""
OPTIONS = {
    "backbone": "small-resnet",
    "size": 20,
    "tau": 0.9,  # ten epochs are too few for a slower target to follow
    "log_every": 100,
}
"""The pretraining's, beside the preset's; tuned in docs/results.md."""


def demo(out: str | Path, *, seed: int = 0, steps: int = 3200, reference: bool = False) -> Path:
    """Pretrain BYOL on the packaged CIFAR-10 (JPEG) sample, evaluate it, and report.

    Args:
        out: the run's folder; an earlier demo there is replaced.
        seed: of everything random.
        steps: optimizer steps of 64 images.
        reference: make the views operation by operation.

    Returns:
        the path of ``report.html``.

    Raises:
        UsageError: ``out`` holds something other than a demo.
    """
    from ownlatent.evaluation import evaluate
    from ownlatent.evaluation.table import table
    from ownlatent.report.run import report
    from ownlatent.training import pretrain

    out = Path(out)
    if out.is_dir() and any(out.iterdir()):
        if not (out / "log.jsonl").is_file():
            raise UsageError(f"{out} holds something else than a demo; choose another --out.")
        shutil.rmtree(out)
    began = time.perf_counter()
    options: dict[str, Any] = {**OPTIONS, "steps": steps, "seed": seed, "reference": reference}
    run = pretrain(TRAIN, out=out, **options)
    trained = time.perf_counter()
    results = evaluate(out, TRAIN, test=TEST, limit=FITTED, seed=seed)["results"]
    print(table(results))
    path = report(run.folder, TRAIN, test=TEST)
    seconds = time.perf_counter() - trained
    print(
        f"Pretrained in {(trained - began) / 60:.1f} minutes, measured in {seconds:.0f} seconds.",
        file=sys.stderr,
    )
    return path
