"""What is varied, row by row, with the figure that print gives for it.

A row trains the base of its scale with some options changed. Rows of several axes that come to the
same options are one cell, trained once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from ownlatent.methods import preset
from ownlatent.methods.presets import PRESETS


class Row(NamedTuple):
    label: str
    x: str
    """Where along the axis."""
    options: dict[str, Any]
    """Of ``ownlatent.pretrain``, ``method`` among them; ``length`` multiplies the steps, and
    ``batch_share`` the batch, at as many passes."""
    printed: float | None = None
    """ImageNet linear accuracy in percent; ResNet-50, unless the axis says otherwise."""
    seeds: int | None = None
    """Where they are not the axis's."""


@dataclass(frozen=True)
class Axis:
    """One claim."""

    name: str
    title: str
    source: str
    rows: Sequence[Row]
    seeds: int = 1
    relative: bool = False
    """Its figure shows what each label loses against its own first row."""
    points: bool = False
    """Its places are no sequence: points are not joined."""


BOTH = ("byol", "simclr")


def _bn_batch() -> list[Row]:
    printed = {
        "byol": (71.8, 69.6, 59.7, None, None),
        "simclr": (64.3, 63.6, 59.2, None, None),
    }
    sizes = (256, 128, 64, 32, 16)
    return [
        Row(method, str(size), {"method": method, "accumulate": 256 // size}, figure)
        for method in BOTH
        for size, figure in zip(sizes, printed[method], strict=True)
    ]


def _augmentations() -> list[Row]:
    kinds = ("full", "no grayscale", "no colour", "crop + blur", "crop only")
    printed = {
        "byol": (72.5, 70.3, 63.4, 61.1, 59.4),
        "simclr": (67.9, 61.9, 45.7, 41.7, 40.3),
    }
    return [
        Row(method, kind, {"method": method} | ({"views": kind} if kind != "full" else {}), figure)
        for method in BOTH
        for kind, figure in zip(kinds, printed[method], strict=True)
    ]


def _parts() -> list[Row]:
    """Table 5b and its appendix: predictor, target, negatives (beta)."""
    table = [  # predictor, targets, beta, printed
        (True, "average", 0, 72.5),
        (True, "detached", 0, 5.5),
        (True, "shared", 0, 0.3),
        (False, "average", 0, 0.2),
        (False, "detached", 0, 0.1),
        (False, "shared", 0, 0.1),
        (True, "average", 1, 70.9),
        (False, "average", 1, 70.7),
        (True, "detached", 1, 70.2),
        (False, "shared", 1, 69.4),
    ]
    target = {"average": "average", "detached": "stop-gradient", "shared": "none"}
    rows = []
    for predictor, targets, beta, printed in table:
        changed = {"predictor": predictor, "targets": targets, "beta": float(beta)}
        base = {"predictor": True, "targets": "average", "beta": 0.0}
        label = f"target: {target[targets]}" + (", negatives" if beta else "")
        options = {k: v for k, v in changed.items() if v != base[k]}
        rows.append(
            Row(
                label,
                "predictor" if predictor else "no predictor",
                {"method": "byol"} | options,
                printed,
                1 if beta else None,
            )
        )
    return rows


def _tau() -> list[Row]:
    printed = {0: 0.3, 0.5: None, 0.9: 68.4, 0.99: 72.5, 0.999: 69.8, 1: 18.8}
    return [
        Row(
            "byol",
            f"{tau:g}",
            {"method": "byol"} | ({"tau": float(tau)} if tau else {"targets": "detached"}),
            figure,
        )
        for tau, figure in printed.items()
    ]


def _predictor_lr() -> list[Row]:
    return [
        Row(
            "byol, stop-gradient alone",
            f"x {scale}",
            {"method": "byol", "targets": "detached"}
            | ({"predictor_lr": float(scale)} if scale != 1 else {}),
            printed,
        )
        for scale, printed in ((1, 5.5), (2, 62.8), (10, 66.6))
    ]


def _norms() -> list[Row]:
    printed = {
        ("byol", "batch"): 74.3,
        ("byol", "group"): 73.9,
        ("byol", "none"): 0.1,
    }
    return [
        Row(
            method,
            norm,
            {"method": method} | ({"norm": norm} if norm != "batch" else {}),
            printed.get((method, norm)),
        )
        for method in BOTH
        for norm in ("batch", "group", "none")
    ]


def _crops() -> list[Row]:
    printed = {("simclr", 0): 68.2, ("simclr", 4): 70.6, ("swav", 0): 70.1, ("swav", 4): 74.1}
    return [
        Row(
            method,
            str(crops),
            {"method": method} | ({"crops": crops} if crops else {}),
            printed.get((method, crops)),
        )
        for method in ("byol", "simclr", "swav")
        for crops in (0, 2, 4)
    ]


def _length() -> list[Row]:
    printed = {1: 68.1, 2: 70.0, 4: 70.8}
    return [
        Row(
            "simsiam",
            f"x {length}",
            {"method": "simsiam"} | ({"length": length} if length > 1 else {}),
            figure,
        )
        for length, figure in printed.items()
    ]


def _batch() -> list[Row]:
    return [
        Row(
            method,
            f"{256 * share:g}",
            {"method": method} | ({"batch_share": share} if share != 1 else {}),
        )
        for method in PRESETS
        if method != "mae"
        for share in (0.25, 1, 4)
    ]


def _lambda() -> list[Row]:
    rows = []
    tuned = float(preset("barlow-twins").options["off_diagonal"])
    for dim in (64, 256, 1024):
        for label, weight in (("tuned", tuned), ("1 / (D - 1)", round(1 / (dim - 1), 6))):
            options = {"method": "barlow-twins", "dim": dim, "off_diagonal": weight}
            rows.append(Row(f"lambda: {label}", str(dim), options))
    return rows


AXES = (
    Axis(
        "bn-batch", "Batch-norm batch at a constant optimizer batch",
        "BYOL, figure 3a and table 16: of 256, 128, 64", _bn_batch(), seeds=3, relative=True,
    ),
    Axis(
        "augmentations", "Fewer augmentations",
        "BYOL, figure 3b and table 17", _augmentations(), seeds=3, relative=True,
    ),
    Axis(
        "parts", "Predictor, target network, stop-gradient, negatives",
        "BYOL, table 5b and appendix F", _parts(), seeds=3, points=True,
    ),
    Axis("tau", "The target's decay", "BYOL, table 5a", _tau()),
    Axis(
        "predictor-lr", "A faster predictor instead of a target network",
        "BYOL, appendix F.6", _predictor_lr(),
    ),
    Axis(
        "norm", "Without batch statistics",
        "BYOL works even without batch statistics, abstract and section 3", _norms(), points=True,
    ),
    Axis("crops", "Local crops", "SwAV, figure 3 (2 x 160 + 4 x 96)", _crops()),
    Axis("length", "SimSiam, trained for longer", "SimSiam, table 4 (100, 200, 400 epochs)",
         _length()),
    Axis("batch", "The whole batch, at as many passes", "each paper's own", _batch()),
    Axis(
        "lambda", "Barlow Twins: the weight of the off-diagonal",
        "a heuristic of a popular text; Barlow Twins explored .002 to .02 at D = 8192", _lambda(),
    ),
)  # fmt: skip
"""The most telling first: cells are trained in this order."""
