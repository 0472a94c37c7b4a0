"""Segmentation, depth and detection of an encoder, beside the same network from a random start."""

from collections.abc import Callable
from dataclasses import replace
from math import isnan
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from ownlatent.checks import require_within
from ownlatent.encoder import Encoder
from ownlatent.errors import UsageError
from ownlatent.evaluation.dense import depth, detection, examples, segmentation
from ownlatent.evaluation.dense.boxes import open_boxes
from ownlatent.evaluation.dense.pairs import ENDINGS
from ownlatent.evaluation.subjects import find_subjects

DENSE = ("segmentation", "depth", "detection")
Row = dict[str, Any]


def evaluate_dense(
    run: str | Path,
    data: str | Path,
    targets: str | Path,
    *,
    test: str | Path,
    test_targets: str | Path,
    protocol: str,
    size: int | None = None,
    classes: int | None = None,
    void: int = segmentation.VOID,
    unit: float = 0.001,
    neck: str = "fpn",
    frozen: bool = False,
    steps: int | None = None,
    network: str | None = None,
    backbone: str | None = None,
    baselines: bool = True,
    seed: int = 0,
    device: str = "cpu",
) -> dict[str, Any]:
    """Train a head and the encoder below it on places in images, and score them once.

    Args:
        run: an encoder, wherever it comes from; see :func:`ownlatent.evaluate`.
        data: folder of images to train on.
        targets: what is known of them. "segmentation": folder of masks; "depth": folder of depth
            images; "detection": VOC's ``.xml`` files or one of its lists, or COCO's ``.json``.
        test, test_targets: the same, to score on.
        protocol: "segmentation", "depth" or "detection".
        size: pixels that longer sides are brought down to.
        classes: of the masks; None: one more than the largest number in those to train on.
        void: the value in masks that does not count.
        unit: metres of a step of the depth images.
        neck: of detection, "fpn" or "c4".
        frozen: segmentation trains the head alone.
        steps: of the optimizer; None: 300, of detection 200.
        network, backbone: see :func:`ownlatent.evaluate`.
        baselines: also measure the same network from a random start.
        seed: of everything random.
        device: where.

    Returns:
        ``results``: a dict for each network, with what was measured, n_train, n_test, seed and
        details; ``data``. Also written beside a run's ``evaluation.json``, and then ``examples``
        too, whose files are in a folder of the same name.

    Raises:
        UsageError: something is missing, damaged or does not fit.
    """
    if protocol not in DENSE:
        raise UsageError(f"There is no protocol {protocol!r}; choose one of {', '.join(DENSE)}.")
    require_within("steps", steps, 1, 10**7)
    require_within("size", size, 16, 10**4)
    subjects = find_subjects(
        run, network=network, backbone=backbone, baselines=baselines, seed=seed, device=device
    )
    preprocessing = subjects.encoder.preprocessing
    if preprocessing.kind != "images" or preprocessing.channels != 3:
        raise UsageError(f"{protocol.capitalize()} is for encoders of images in colour.")
    pairs = (data, targets), (test, test_targets)
    brief = {} if steps is None else {"steps": steps}
    if protocol == "segmentation":
        task = _segmentation(pairs, size, classes, void, brief | {"frozen": frozen})
    elif protocol == "depth":
        task = _depth(pairs, size, unit, brief)
    else:
        task = _detection(pairs, size, brief | {"neck": neck})
    results, found = [], {}
    for features, net in subjects.nets:
        row, found[features] = task.measure(net, seed, device)
        results.append({"features": features, "protocol": protocol, "seed": seed, **row})
    report = {"encoder": str(run), "results": results, "data": [str(data), str(test)]}
    if subjects.run is not None:
        report["classes"] = task.classes
        report["examples"] = task.write(subjects.run / f"evaluation-{protocol}", found)
    subjects.keep(f"evaluation-{protocol}.json", report)
    return report


class _Task(NamedTuple):
    """A protocol with its data."""

    measure: Callable[[Encoder, int, str], tuple[Row, Any]]
    """The figures, and what was found in the test set."""
    write: Callable[[Path, dict[str, Any]], examples.Examples]
    classes: list[str]


Pair = tuple[str | Path, str | Path]


def _segmentation(
    pairs: tuple[Pair, Pair], size: int | None, classes: int | None, void: int, changed: Row
) -> _Task:
    recipe = replace(segmentation.Recipe(), **changed)
    shape = _shape(pairs[0][0], size)
    if classes is None:
        classes = 1 + _largest(Path(pairs[0][1]), void)
        if classes > segmentation.VOID:
            raise UsageError(
                f"The masks hold {classes - 1}, which is no class; if it is void, give "
                f"--void {classes - 1}, and else --classes."
            )
    require_within("classes", classes, 2, segmentation.VOID)
    train, test = (segmentation.open_masks(*pair, classes, void, shape) for pair in pairs)

    def measure(net: Encoder, seed: int, device: str) -> tuple[Row, Any]:
        scores, found = segmentation.segment(
            net, train, test, classes, recipe=recipe, seed=seed, device=device
        )
        low, high = scores.interval
        return {
            "mIoU": scores.mean, "low": low, "high": high, "pixel accuracy": scores.accuracy,
            "by class": _known(scores.classes), "n_train": len(train), "n_test": len(test),
            "details": f"FCN, {'head alone' if recipe.frozen else 'all layers'}, {recipe.steps} "
            f"steps of {recipe.batch}, {_pixels(train.images.shape[-2:])}, last step",
        }, found  # fmt: skip

    def write(folder: Path, found: dict[str, Any]) -> examples.Examples:
        return examples.write_pairs(folder, test, found, examples.mask)

    return _Task(measure, write, [str(number) for number in range(classes)])


def _depth(pairs: tuple[Pair, Pair], size: int | None, unit: float, changed: Row) -> _Task:
    recipe = replace(depth.Recipe(), **changed)
    shape = _shape(pairs[0][0], size)
    train, test = (depth.open_depth(*pair, unit, shape) for pair in pairs)

    def measure(net: Encoder, seed: int, device: str) -> tuple[Row, Any]:
        errors, found = depth.estimate_depth(
            net, train, test, recipe=recipe, seed=seed, device=device
        )
        near, nearer, nearest = errors.delta
        return {
            "rel": errors.rel, "rms": errors.rms, "log10": errors.log10, "delta 1": near,
            "delta 2": nearer, "delta 3": nearest, "n_train": len(train), "n_test": len(test),
            "pixels": errors.n,
            "details": f"up-projections, all layers, {recipe.steps} steps of {recipe.batch}, "
            f"{_pixels(train.images.shape[-2:])}, last step",
        }, found  # fmt: skip

    def write(folder: Path, found: dict[str, Any]) -> examples.Examples:
        return examples.write_pairs(folder, test, found, examples.millimetres)

    return _Task(measure, write, [])


def _detection(pairs: tuple[Pair, Pair], size: int | None, changed: Row) -> _Task:
    recipe = replace(detection.Recipe(), **changed)
    side = size or 800
    train = open_boxes(*pairs[0], side=side)
    test = open_boxes(*pairs[1], side=side, classes=train.classes)

    def measure(net: Encoder, seed: int, device: str) -> tuple[Row, Any]:
        scores, found = detection.detect(net, train, test, recipe=recipe, seed=seed, device=device)
        return {
            "AP": scores.ap, "AP50": scores.ap50, "AP75": scores.ap75, "VOC07 AP": scores.voc07,
            "by class": _known(scores.by_class), "n_train": len(train), "n_test": len(test),
            "details": f"Faster R-CNN {recipe.neck.upper()}, all layers, {recipe.steps} steps of "
            f"{recipe.batch}, longer side {side}, last step"
            + (f"; boxes without area left out: {train.dropped + test.dropped}"
               if train.dropped + test.dropped else ""),
        }, found  # fmt: skip

    def write(folder: Path, found: dict[str, Any]) -> examples.Examples:
        return examples.write_boxes(folder, test, found)

    return _Task(measure, write, train.classes)


def _shape(images: str | Path, longest: int | None) -> tuple[int, int] | None:
    """Height and width that all are brought to: the first image's, its longer side as asked."""
    if longest is None:
        return None
    first = next((p for p in sorted(Path(images).glob("*")) if p.suffix.lower() in ENDINGS), None)
    if first is None:
        return None  # what is missing is said where it is opened
    try:
        with Image.open(first) as image:
            width, height = image.size
    except OSError:
        return None
    scale = min(1.0, longest / max(width, height))
    return max(1, round(height * scale)), max(1, round(width * scale))


def _largest(masks: Path, void: int) -> int:
    found = 0
    for file in sorted(masks.glob("*")) if masks.is_dir() else ():
        try:
            with Image.open(file) as mask:
                values = np.unique(np.array(mask))
        except OSError:
            continue
        found = max(found, *(int(v) for v in values if v != void), 0)
    return found


def _known(values: list[float]) -> list[float | None]:
    """JSON has no NaN."""
    return [None if isnan(value) else value for value in values]


def _pixels(shape: Any) -> str:
    return f"{shape[1]} x {shape[0]} pixels"
