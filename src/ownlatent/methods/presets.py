"""The recipe table: each method's settings as data, what its paper trained with and what we tuned.

Each row names its source. Those called "small" are ours, for small images on small machines:
docs/results.md.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Preset:
    """How one method is trained at one scale."""

    source: str
    epochs: int
    batch_size: int
    optimizer: str
    base_lr: float
    """Per 256 samples: the peak learning rate is ``base_lr * batch_size / 256``."""
    weight_decay: float
    warmup_epochs: float
    options: Mapping[str, Any] = field(default_factory=dict)
    """Of the method, where they differ from its constructor's."""
    views: str
    """Family of views; small images take its "cifar-" form."""
    crops: int = 0
    """Local crops beside the two views."""
    schedule: str = "cosine"
    """Of the learning rate after warm-up: cosine, or steps (a tenth at 60 % and at 80 %)."""
    final_lr: float = 0.0
    """Where the cosine ends, as a fraction of the peak."""
    final_weight_decay: float | None = None
    """Where the weight decay ends, by half a cosine; None: it is constant."""
    decay_all: bool = False
    """Biases and normalisation parameters are treated like all others."""
    bias_lr: float = 1.0
    """Learning rate of biases and normalisation parameters, over the others'."""
    predictor_lr: float = 1.0
    """Learning rate of the predictor, over the others'."""
    predictor_fixed: bool = False
    """The predictor's rate stays at its peak."""
    clip: float | None = None
    """Largest norm of the gradient of each tensor."""
    bn_group: int | None = None
    """Images whose batch-norm statistics are taken together; None: all of a micro-batch."""
    norm: str = "batch"
    """Normalisation of the networks: batch, group (with weight standardisation), layer, instance
    or none."""
    frozen_patches: bool = False
    """A ViT's patch projection and position embedding are fixed."""


def _recipe(
    source: str,
    epochs: int,
    batch_size: int,
    optimizer: str,
    base_lr: float,
    weight_decay: float,
    warmup_epochs: float,
    views: str,
    **more: Any,
) -> Preset:
    settings = {name: value for name, value in locals().items() if name != "more"}
    return Preset(**settings, **more)


def _byol(
    epochs: int, base_lr: float, weight_decay: float, tau: float, batch: int = 4096
) -> Preset:
    source = {512: "BYOL, appendix G", 256: "official README, one GPU, 128 px"}
    return _recipe(
        source.get(batch, "official configs/byol.py"),
        *(epochs, batch, "lars", base_lr, weight_decay, 10, "byol"),
        options={"tau": tau},
    )


def _simclr(epochs: int, source: str, weight_decay: float, layers: int) -> Preset:
    row = (epochs, 4096, "lars-simclr", 0.3, weight_decay, 10, "simclr")
    return _recipe(source, *row, options={"layers": layers})


def _moco(epochs: int, version: int) -> Preset:
    v1: dict[str, Any] = {"options": {"head": "linear", "temperature": 0.07}, "schedule": "steps"}
    return _recipe(
        "official moco, main_moco.py",
        *(epochs, 256, "sgd", 0.03, 1e-4, 0, f"moco{version}"),
        **{"decay_all": True, "bn_group": 32} | (v1 if version == 1 else {}),
    )


def _moco3(epochs: int, base_lr: float, weight_decay: float, tau: float) -> Preset:
    row = (epochs, 4096, "lars", base_lr, weight_decay, 10, "moco3")
    return _recipe("official moco-v3, CONFIG.md", *row, options={"tau": tau})


def _small(views: str, base_lr: float, **more: Any) -> Preset:
    """Ours, tuned on ten epochs of 20,000 images on two cores."""
    settings: dict[str, Any] = {
        "epochs": 40, "batch_size": 64, "optimizer": "sgd", "weight_decay": 5e-4,
        "warmup_epochs": 2, "source": "docs/results.md",
    }  # fmt: skip
    return Preset(views=views, base_lr=base_lr, **settings | more)


DEFAULT = _small("byol", 0.2, options={})
"""For a method that comes without a recipe: not tuned for it."""

PRESETS: dict[str, dict[str, Preset]] = {
    "byol": {
        "small": _small(
            "byol",
            0.001,
            optimizer="adamw",
            weight_decay=0.05,
            predictor_lr=10,
            options={"tau": 0.97, "hidden": 1024},
        ),
        "paper-40": _byol(40, 0.45, 1e-6, 0.97),
        "paper-100": _byol(100, 0.45, 1e-6, 0.99),
        "paper-300": _byol(300, 0.3, 1e-6, 0.99),
        "paper-1000": _byol(1000, 0.2, 1.5e-6, 0.996),
        "paper-512": _byol(1000, 0.4, 1.5e-6, 0.9995, batch=512),
        "imagenette": _byol(1000, 2.0, 1e-6, 0.996, batch=256),
    },
    "simclr": {
        "small": _small("simclr", 0.4, options={"temperature": 0.2}),
        "paper-100": _simclr(100, "SimCLR, section 2.2 and appendix B", 1e-6, 2),
        "paper-1000": _simclr(1000, "SimCLR, section 2.2 and appendix B", 1e-6, 2),
        "v2": _simclr(800, "official README; epochs: SimCLR v2", 1e-4, 3),
    },
    "moco": {
        "small": _small(
            "moco2", 0.2, bn_group=16, options={"queue": 4096, "tau": 0.99, "symmetric": True}
        ),
        "v1": _moco(200, 1),
        "v2-200": _moco(200, 2),
        "v2-800": _moco(800, 2),
    },
    "moco3": {
        "small": _small("byol", 0.2, options={"tau": 0.97, "hidden": 1024, "temperature": 0.2}),
        "paper-100": _moco3(100, 0.6, 1e-6, 0.99),
        "paper-300": _moco3(300, 0.3, 1e-6, 0.99),
        "paper-1000": _moco3(1000, 0.3, 1.5e-6, 0.996),
        "vit": _recipe(
            "official moco-v3, CONFIG.md",
            *(300, 4096, "adamw", 1.5e-4, 0.1, 40, "barlow-twins"),
            options={"layers": 3, "predictor_norm": True, "temperature": 0.2},
            decay_all=True,
            frozen_patches=True,
        ),
    },
    "swav": {
        "small": _small(
            "swav", 0.2, options={"prototypes": 300, "queue": 1024, "queue_start": 1.0}
        ),
        "paper": _recipe(
            "official swav, swav_800ep_pretrain.sh",
            *(800, 4096, "larc", 0.3, 1e-6, 10, "swav"),
            crops=6,
            final_lr=1e-3,
            decay_all=True,
        ),
        "paper-256": _recipe(
            "official swav, swav_400ep_bs256_pretrain.sh",
            *(400, 256, "larc", 0.6, 1e-6, 0, "swav"),
            crops=6,
            final_lr=1e-3,
            decay_all=True,
            options={"queue": 3840},
        ),
    },
    "simsiam": {
        "small": _small(
            "moco2",
            0.4,
            options={"hidden": 1024, "dim": 1024, "layers": 2, "bottleneck": 256},
            predictor_fixed=True,
        ),
        "paper": _recipe(
            "official simsiam, main_simsiam.py",
            *(100, 512, "sgd", 0.05, 1e-4, 0, "moco2"),
            decay_all=True,
            predictor_fixed=True,
        ),
        "cifar": _recipe(
            "SimSiam, appendix D",
            *(800, 512, "sgd", 0.03, 5e-4, 0, "moco2"),
            decay_all=True,
            predictor_fixed=True,
            options={"layers": 2},
        ),
    },
    "barlow-twins": {
        "small": _small(
            "byol",
            0.004,
            batch_size=128,
            optimizer="adamw",
            weight_decay=0.05,
            options={"hidden": 512, "dim": 256, "off_diagonal": 0.02},
        ),
        "paper": _recipe(
            "official barlowtwins, main.py",
            *(1000, 2048, "lars", 0.2, 1e-6, 10, "barlow-twins"),
            final_lr=1e-3,
            bias_lr=0.024,
        ),
    },
    "dino": {
        "small": _small(
            "dino",
            0.4,
            options={"prototypes": 1024, "hidden": 512, "bottleneck": 128, "head_norm": True},
        ),
        "paper-100": _recipe(
            "official dino, README, ViT-S/16 on 8 GPUs",
            *(100, 512, "adamw", 5e-4, 0.04, 10, "dino"),
            crops=8,
            clip=3.0,
            final_lr=1e-3,
            final_weight_decay=0.4,
            options={"teacher_end": 0.04},
        ),
        "paper-800": _recipe(
            "official dino, README, ViT-S/16",
            *(800, 1024, "adamw", 5e-4, 0.04, 10, "dino"),
            crops=10,
            clip=3.0,
            final_lr=5e-4,
            final_weight_decay=0.4,
            options={"fixed_length": False},
        ),
        "resnet": _recipe(
            "official dino, README, ResNet-50 on 8 GPUs",
            *(100, 512, "sgd", 0.03, 1e-4, 10, "dino-resnet"),
            crops=8,
            clip=3.0,
            final_lr=1e-6 / 0.06,
            options={"teacher_end": 0.04},
        ),
    },
    "vicreg": {
        "small": _small("byol", 0.2, options={"hidden": 512, "dim": 256}),
        "paper-100": _recipe(
            "official vicreg, README",
            *(100, 512, "lars", 0.3, 1e-6, 10, "barlow-twins"),
            final_lr=1e-3,
        ),
        "paper-1000": _recipe(
            "official vicreg, README",
            *(1000, 2048, "lars", 0.2, 1e-6, 10, "barlow-twins"),
            final_lr=1e-3,
        ),
    },
    "mae": {
        "small": _small(
            "mae",
            0.002,
            optimizer="adamw",
            weight_decay=0.05,
            source="not tuned; needs a ViT, such as small-vit",
            options={"width": 64, "depth": 2, "heads": 4},
        ),
        "paper": _recipe(
            "official mae, PRETRAIN.md; there with AdamW's second beta at 0.95",
            *(800, 4096, "adamw", 1.5e-4, 0.05, 40, "mae"),
        ),
    },
}
