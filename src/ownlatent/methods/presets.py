"""Each method's recipes as data: what its paper trained with, and what we tuned."""

from dataclasses import dataclass

from ownlatent.errors import UsageError


@dataclass(frozen=True)
class Preset:
    """Optimization of one method at one scale."""

    epochs: int
    batch_size: int
    optimizer: str
    base_lr: float
    """Per 256 samples: the peak learning rate is ``base_lr * batch_size / 256``."""
    weight_decay: float
    warmup_epochs: float
    tau: float
    hidden: int = 4096
    dim: int = 256
    source: str = ""


def _paper(epochs: int, base_lr: float, weight_decay: float, tau: float) -> Preset:
    return Preset(
        epochs, 4096, "lars", base_lr, weight_decay, 10, tau, source="official configs/byol.py"
    )


PRESETS: dict[str, dict[str, Preset]] = {
    "byol": {
        # Tuned on ten epochs of 20,000 images on two cores: docs/results.md.
        "small": Preset(40, 64, "sgd", 0.4, 5e-4, 2, 0.97, 1024, 256, source="docs/results.md"),
        "paper-40": _paper(40, 0.45, 1e-6, 0.97),
        "paper-100": _paper(100, 0.45, 1e-6, 0.99),
        "paper-300": _paper(300, 0.3, 1e-6, 0.99),
        "paper-1000": _paper(1000, 0.2, 1.5e-6, 0.996),
        "paper-512": Preset(1000, 512, "lars", 0.4, 1.5e-6, 10, 0.9995, source="BYOL, appendix G"),
        "imagenette": Preset(
            1000, 256, "lars", 2.0, 1e-6, 10, 0.996, source="official README, one GPU, 128 px"
        ),
    },
}


def preset(method: str, name: str) -> Preset:
    """The preset called ``name``.

    Raises:
        UsageError: there is none.
    """
    known = PRESETS[method]
    if name not in known:
        raise UsageError(f"{method} has no preset {name!r}; choose one of {', '.join(known)}.")
    return known[name]
