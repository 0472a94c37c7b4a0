"""The recipe table: each method's settings as data, what its paper trained with and what we tuned.

``base_lr`` and the rest are METHODS' published values, their source beside them. The rows called
"small" are ours, for small images on small machines: docs/results.md.
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
    """Normalisation of the networks: batch, or group (with weight standardisation)."""
    frozen_patches: bool = False
    """A ViT's patch projection and position embedding are fixed."""


def _byol(epochs: int, base_lr: float, weight_decay: float, tau: float, **more: Any) -> Preset:
    recipe: dict[str, Any] = {
        "source": "official configs/byol.py", "batch_size": 4096, "optimizer": "lars",
        "warmup_epochs": 10, "views": "byol",
    }  # fmt: skip
    options = {"tau": tau}
    return Preset(
        epochs=epochs, base_lr=base_lr, weight_decay=weight_decay, options=options, **recipe | more
    )


def _simclr(epochs: int, **more: Any) -> Preset:
    recipe: dict[str, Any] = {
        "source": "SimCLR, section 2.2 and appendix B", "batch_size": 4096,
        "optimizer": "lars-simclr", "base_lr": 0.3, "weight_decay": 1e-6, "warmup_epochs": 10,
        "views": "simclr",
    }  # fmt: skip
    return Preset(epochs=epochs, **recipe | more)


def _moco(epochs: int, version: int) -> Preset:
    options: dict[str, Any] = {"head": "linear", "temperature": 0.07} if version == 1 else {}
    return Preset(
        source="official moco, main_moco.py", epochs=epochs, batch_size=256, optimizer="sgd",
        base_lr=0.03, weight_decay=1e-4, warmup_epochs=0, options=options, views=f"moco{version}",
        schedule="steps" if version == 1 else "cosine", decay_all=True, bn_group=32,
    )  # fmt: skip


def _moco3(epochs: int, base_lr: float, weight_decay: float, tau: float) -> Preset:
    return Preset(
        source="official moco-v3, CONFIG.md", epochs=epochs, batch_size=4096, optimizer="lars",
        base_lr=base_lr, weight_decay=weight_decay, warmup_epochs=10, options={"tau": tau},
        views="moco3",
    )  # fmt: skip


def _small(source: str = "docs/results.md", **more: Any) -> Preset:
    recipe: dict[str, Any] = {
        "epochs": 40, "batch_size": 64, "optimizer": "sgd", "base_lr": 0.4, "weight_decay": 5e-4,
        "warmup_epochs": 2,
    }  # fmt: skip
    return Preset(source=source, **recipe | more)


PRESETS: dict[str, dict[str, Preset]] = {
    "byol": {
        "small": _small(views="byol", options={"tau": 0.97, "hidden": 1024}),
        "paper-40": _byol(40, 0.45, 1e-6, 0.97),
        "paper-100": _byol(100, 0.45, 1e-6, 0.99),
        "paper-300": _byol(300, 0.3, 1e-6, 0.99),
        "paper-1000": _byol(1000, 0.2, 1.5e-6, 0.996),
        "paper-512": _byol(1000, 0.4, 1.5e-6, 0.9995, batch_size=512, source="BYOL, appendix G"),
        "imagenette": _byol(
            1000, 2.0, 1e-6, 0.996, batch_size=256, source="official README, one GPU, 128 px"
        ),
    },
    "simclr": {
        "small": _small(views="simclr", options={"temperature": 0.2, "dim": 128}),
        "paper-100": _simclr(100),
        "paper-1000": _simclr(1000),
        "v2": _simclr(
            800, weight_decay=1e-4, options={"layers": 3}, source="official README, SimCLRv2"
        ),
    },
    "moco": {
        "small": _small(
            views="moco2",
            options={"queue": 4096, "temperature": 0.2, "tau": 0.99, "symmetric": True},
            bn_group=16,
        ),
        "v1": _moco(200, 1),
        "v2-200": _moco(200, 2),
        "v2-800": _moco(800, 2),
    },
    "moco3": {
        "small": _small(views="byol", options={"tau": 0.97, "hidden": 1024, "temperature": 0.2}),
        "paper-100": _moco3(100, 0.6, 1e-6, 0.99),
        "paper-300": _moco3(300, 0.3, 1e-6, 0.99),
        "paper-1000": _moco3(1000, 0.3, 1.5e-6, 0.996),
        "vit": Preset(
            source="official moco-v3, CONFIG.md", epochs=300, batch_size=4096, optimizer="adamw",
            base_lr=1.5e-4, weight_decay=0.1, warmup_epochs=40, views="byol", decay_all=True,
            options={"layers": 3, "predictor_norm": True, "temperature": 0.2}, frozen_patches=True,
        ),  # fmt: skip
    },
    "swav": {
        "small": _small(
            views="swav", options={"prototypes": 300, "queue": 1024, "queue_start": 1.0}
        ),
        "paper": Preset(
            source="official swav, swav_800ep_pretrain.sh", epochs=800, batch_size=4096,
            optimizer="larc", base_lr=0.3, weight_decay=1e-6, warmup_epochs=10, views="swav",
            crops=6, final_lr=1e-3, decay_all=True,
        ),  # fmt: skip
        "paper-256": Preset(
            source="official swav, swav_RN50_ep400_bs256.sh", epochs=400, batch_size=256,
            optimizer="larc", base_lr=0.6, weight_decay=1e-6, warmup_epochs=0, views="swav",
            crops=6, final_lr=1e-3, decay_all=True, options={"queue": 3840},
        ),  # fmt: skip
    },
    "simsiam": {
        "small": _small(
            views="moco2", options={"hidden": 1024, "dim": 1024, "layers": 2, "bottleneck": 256},
            predictor_fixed=True,
        ),  # fmt: skip
        "paper": Preset(
            source="official simsiam, main_simsiam.py", epochs=100, batch_size=512,
            optimizer="sgd", base_lr=0.05, weight_decay=1e-4, warmup_epochs=0, views="moco2",
            decay_all=True, predictor_fixed=True,
        ),  # fmt: skip
        "cifar": Preset(
            source="SimSiam, appendix D", epochs=800, batch_size=512, optimizer="sgd",
            base_lr=0.03, weight_decay=5e-4, warmup_epochs=0, views="moco2", decay_all=True,
            predictor_fixed=True, options={"layers": 2},
        ),  # fmt: skip
    },
    "barlow-twins": {
        "small": _small(views="byol", options={"hidden": 1024, "dim": 1024, "off_diagonal": 0.01}),
        "paper": Preset(
            source="official barlowtwins, main.py", epochs=1000, batch_size=2048, optimizer="lars",
            base_lr=0.2, weight_decay=1e-6, warmup_epochs=10, views="barlow-twins", final_lr=1e-3,
            bias_lr=0.024,
        ),  # fmt: skip
    },
    "dino": {
        "small": _small(
            views="dino",
            options={"prototypes": 1024, "hidden": 512, "bottleneck": 128, "head_norm": True},
        ),
        "paper-100": Preset(
            source="official dino, main_dino.py", epochs=100, batch_size=1024, optimizer="adamw",
            base_lr=5e-4, weight_decay=0.04, final_weight_decay=0.4, warmup_epochs=10,
            views="dino", crops=8, final_lr=5e-4, clip=3.0, options={"teacher_end": 0.04},
        ),  # fmt: skip
        "paper-800": Preset(
            source="official dino, README (ViT-S/16)", epochs=800, batch_size=1024,
            optimizer="adamw", base_lr=5e-4, weight_decay=0.04, final_weight_decay=0.4,
            warmup_epochs=10, views="dino", crops=10, final_lr=5e-4, clip=3.0,
            options={"fixed_length": False},
        ),  # fmt: skip
        "resnet": Preset(
            source="official dino, README (ResNet-50)", epochs=100, batch_size=256,
            optimizer="sgd", base_lr=0.03, weight_decay=1e-4, warmup_epochs=10, views="swav",
            crops=6, final_lr=3e-5, clip=3.0, options={"teacher_end": 0.04},
        ),  # fmt: skip
    },
    "vicreg": {
        "small": _small(views="byol", options={"hidden": 1024, "dim": 1024}),
        "paper-100": Preset(
            source="official vicreg, README", epochs=100, batch_size=512, optimizer="lars",
            base_lr=0.3, weight_decay=1e-6, warmup_epochs=10, views="barlow-twins", final_lr=2e-3,
        ),  # fmt: skip
        "paper-1000": Preset(
            source="official vicreg, README", epochs=1000, batch_size=2048, optimizer="lars",
            base_lr=0.2, weight_decay=1e-6, warmup_epochs=10, views="barlow-twins", final_lr=2e-3,
        ),  # fmt: skip
    },
}
