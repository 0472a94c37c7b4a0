"""What a person may choose about a pretraining run. Light to import: the command line reads it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional

METHOD_NAMES = ("byol",)


@dataclass(frozen=True, kw_only=True)
class Pretrain:
    """Pretrain an encoder on unlabelled images.

    What is left out follows from the data and the preset, and is printed before the first step.
    """

    data: Positional[str]
    """Folder of images, .npy/.npz array or Parquet file."""
    out: Annotated[Path, "run folder"] = Path("runs/pretrain")
    """Folder of the run; it must be new."""
    method: Literal["byol"] = "byol"
    """Method."""
    preset: str = "small"
    """Recipe: small, paper-40, paper-100, paper-300, paper-1000, paper-512 or imagenette."""
    backbone: str = "resnet18"
    """A timm model name, or small-resnet."""
    size: int | None = None
    """Side of the views in pixels. [images up to 64 pixels: their own; else 224]"""
    views: str | None = None
    """Views: byol or cifar-byol. [cifar-byol up to 64 pixels, else byol]"""
    reference: bool = False
    """Make the views one operation at a time, as torchvision does: slow, for comparison."""
    epochs: int | None = None
    """Passes over the data. [the preset's]"""
    steps: int | None = None
    """Optimizer steps, instead of epochs."""
    batch_size: int | None = None
    """Images per optimizer step, over all processes. [the preset's, at most the data]"""
    accumulate: int = 1
    """Micro-batches per optimizer step; each is its own batch-norm batch."""
    optimizer: Literal["lars", "sgd", "adamw"] | None = None
    """Optimizer. [the preset's]"""
    base_lr: float | None = None
    """Peak learning rate per 256 images of batch. [the preset's]"""
    weight_decay: float | None = None
    """Weight decay; biases and normalisation are exempt. [the preset's]"""
    warmup_epochs: float | None = None
    """Epochs of linear warm-up from 0; at most a tenth of the run. [the preset's]"""
    tau: float | None = None
    """Target decay at the first step; it rises to 1. [the preset's]"""
    hidden: int | None = None
    """Width of the heads. [the preset's]"""
    dim: int | None = None
    """Length of a projection. [the preset's]"""
    target_start: Literal["copy", "own"] = "copy"
    """The target starts as a copy of the online network, or from its own draw."""
    init: Path | None = None
    """Start the backbone from timm or torchvision weights (.safetensors or .pth)."""
    drop_path: float = 0.0
    """Stochastic depth: probability of leaving out the backbone's deepest residual branch."""
    labelled: bool = False
    """Class folders are labels: follow the run with an online linear probe."""
    seed: int = 0
    """Seed of everything random."""
    canvas: int | None = None
    """Side of the decoded canvases in pixels. [1.15 times the view]"""
    place: Literal["auto", "device", "host", "disk"] = "auto"
    """Where decoded canvases live."""
    workers: int | None = None
    """Decoding threads. [one per core]"""
    accelerator: Literal["auto", "cpu", "cuda"] = "auto"
    """Device."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Precision of the networks. [bf16 where the machine computes in it, else fp32]"""
    compile: Literal["auto", "on", "off"] = "auto"
    """Compile views and networks. [on a GPU]"""
    on_collapse: Literal["warn", "stop"] = "warn"
    """What to do when the features collapse."""
    log_every: int = 20
    """Optimizer steps between log lines."""
    checkpoint_minutes: float = 10.0
    """Minutes between checkpoints. One is also written at the end and on Ctrl-C or SIGTERM."""
    checkpoint_steps: int | None = None
    """Optimizer steps between checkpoints, besides the minutes. [none]"""
    keep: int = 2
    """Checkpoints kept, the newest ones."""
