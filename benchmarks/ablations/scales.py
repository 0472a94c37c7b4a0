"""How large a cell is: for a test, for two cores, for a GPU."""

from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from ownlatent.data import Canvases, as_canvases
from ownlatent.demo import FITTED, TEST, TRAIN
from ownlatent.methods import preset
from ownlatent.views.recipe import RECIPES, Recipe


@dataclass(frozen=True)
class Scale:
    """The base that every row changes.

    Attributes:
        batch: images per optimizer step of the base.
        steps: of the base.
        common: options of every cell.
        methods: options by method, over its preset.
        sigma: the strongest blur, in pixels of the view.
        fitted: training images that the probe is fitted on.
        seeds: of every row, where they are not the axis's.
        ends: of each label only the first and the last row are run.
    """

    batch: int
    steps: int
    common: dict[str, Any]
    methods: dict[str, dict[str, Any]] = field(default_factory=dict)
    sigma: float = 1.0
    fitted: int = FITTED
    seeds: int | None = None
    ends: bool = False

    def options(self, row: dict[str, Any], seed: int) -> dict[str, Any]:
        """What ``ownlatent.pretrain`` is called with for a row."""
        changed = dict(row)
        length, share = changed.pop("length", 1), changed.pop("batch_share", 1)
        method = changed["method"]
        batch = max(2, round(self.batch * share))
        base = {"batch_size": batch, "steps": max(1, round(self.steps * length / share))}
        if method in ("byol", "simclr"):
            base["views"] = "full"
        group = preset(method).bn_group
        if group and batch % group:
            base["bn_group"] = batch // 2
        if "accumulate" in changed:  # 256 images in the paper's terms
            changed["accumulate"] = min(changed["accumulate"], batch // 2)
        return base | self.common | self.methods.get(method, {}) | changed | {"seed": seed}


BYOL = {
    "optimizer": "adamw", "base_lr": 0.001, "weight_decay": 0.05, "tau": 0.9, "hidden": 1024,
}  # fmt: skip

CPU = Scale(
    batch=256,
    steps=375,
    common={"backbone": "small-resnet", "size": 20, "log_every": 100},
    # Tried for 375 steps, seed 0, linear: BYOL by SGD, base_lr 0.4, 46.8 (tau 0.7: 46.4); by AdamW,
    # 0.004, 47.2, 0.002, 49.6 (tau 0.97: 48.1), 0.001, 49.6; SimCLR by SGD 57.0.
    methods={"byol": BYOL},
)
SCALES = {
    "tiny": replace(
        CPU, batch=32, steps=2, fitted=128, seeds=1, ends=True,
        common={"backbone": "small-resnet", "size": 8, "log_every": 2, "warmup_epochs": 0.0,
                "precision": "fp32"},
    ),
    "cpu": CPU,
    "gpu": Scale(
        batch=256, steps=19_500, fitted=50_000,
        common={"backbone": "resnet18", "size": 32, "log_every": 500},
    ),
}  # fmt: skip


def views(sigma: float) -> dict[str, tuple[Recipe, Recipe]]:
    """The symmetric form of BYOL's views (table 17: as good as T and T'), and with less."""
    full = Recipe(attempts=10, style="torchvision", blur=0.5, sigma=(0.1, sigma), solarize=0.2)
    plain = replace(full, jitter=0.0, grayscale=0.0, solarize=0.0, flip=0.0)
    kinds = {
        "full": full,
        "no grayscale": replace(full, grayscale=0.0),
        "no colour": replace(full, jitter=0.0, grayscale=0.0),
        "crop + blur": plain,
        "crop only": replace(plain, blur=0.0),
    }
    return {name: (kind, kind) for name, kind in kinds.items()}


def register_views(scale: Scale) -> None:
    RECIPES.update(views(scale.sigma))


@cache
def data(scale: str, folder: str | None) -> tuple[Canvases, Canvases]:
    """Training and test images, decoded once per process.

    Args:
        folder: with CIFAR-10 as ``train.npz`` and ``test.npz``; None: the packaged sample.
    """
    if scale == "tiny":
        train, test = (_first(as_canvases(part, view_size=32, labelled=True), count)
                       for part, count in ((TRAIN, 256), (TEST, 128)))  # fmt: skip
        return train, test
    parts = (TRAIN, TEST) if folder is None else (
        str(Path(folder) / "train.npz"), str(Path(folder) / "test.npz"))  # fmt: skip
    return tuple(as_canvases(part, view_size=32, labelled=True) for part in parts)


def _first(canvases: Canvases, count: int) -> Canvases:
    kept = slice(count)
    return replace(
        canvases, pixels=canvases.pixels[kept], sizes=canvases.sizes[kept], ids=canvases.ids[kept],
        labels=canvases.labels[kept],
        names=canvases.names[kept], digests=canvases.digests[kept],
    )  # fmt: skip
