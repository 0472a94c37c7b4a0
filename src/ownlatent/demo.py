"""The demo: the whole job on real images, in minutes on two CPU cores."""

import shutil
import sys
import time
from importlib.resources import files
from pathlib import Path
from typing import Any

from ownlatent.config import Pretrain
from ownlatent.errors import UsageError

IMAGES = files("ownlatent") / "demo_data"
TRAIN, TEST = str(IMAGES / "cifar10-train.parquet"), str(IMAGES / "cifar10-test.parquet")
FITTED = 10_000
"""Labelled training images that the probes are fitted on."""
OPTIONS = {
    "backbone": "small-resnet",
    "size": 20,
    "set": ("tau=0.9",),  # ten epochs are too few for a slower target to follow
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
    from ownlatent.data import as_canvases
    from ownlatent.evaluation import evaluate
    from ownlatent.evaluation.table import table
    from ownlatent.report.run import report
    from ownlatent.training import run

    out = Path(out)
    if out.exists():
        _make_way(out)
    began = time.perf_counter()
    train, test = (as_canvases(part, view_size=32) for part in (TRAIN, TEST))  # decoded once
    options: dict[str, Any] = {**OPTIONS, "steps": steps, "seed": seed, "reference": reference}
    run(Pretrain(data=TRAIN, out=out, **options), train)
    trained = time.perf_counter()
    results = evaluate(out, train, test=test, limit=FITTED, seed=seed)["results"]
    print(table(results))
    path = report(out, train, test=test)
    seconds = time.perf_counter() - trained
    print(
        f"Pretrained in {(trained - began) / 60:.1f} minutes, measured in {seconds:.0f} seconds.",
        file=sys.stderr,
    )
    return path


def _make_way(out: Path) -> None:
    """Remove an earlier demo, and nothing else."""
    from ownlatent.training.folder import RunFolder

    folder = RunFolder(out)
    if folder.busy():
        raise UsageError(f"{out} is in use by a run; choose another --out.")
    if out.is_dir() and not any(out.iterdir()):
        return
    try:
        earlier = Path(folder.config()["asked"]["data"]).name == Path(TRAIN).name
    except UsageError:
        earlier = False
    if not earlier:
        raise UsageError(f"{out} holds something else than a demo; choose another --out.")
    shutil.rmtree(out)
