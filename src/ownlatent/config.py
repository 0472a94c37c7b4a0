"""What a person may choose about a pretraining run, and what that comes to.

Light to import: the command line reads it.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import Positional

from ownlatent.checks import SEED


@dataclass(frozen=True, kw_only=True)
class Pretrain:
    """Pretrain an encoder on unlabelled images.

    What is left out follows from the data and the preset, and is printed before the first step.
    """

    data: Positional[str]
    """Folder of images, array file, Parquet file of images, or shards of them (train-{0..9}.tar, at
    https:// or s3:// too); or a table of rows; or a folder of .wav files, or an .npz file of
    sounds; or sentences."""
    out: Annotated[Path, "run folder"] = Path("runs/pretrain")
    """Folder of the run; it must be new."""
    method: str = "byol"
    """Method: ownlatent methods lists them."""
    preset: str = "small"
    """Recipe of the method: small, or its paper's; ownlatent methods METHOD lists them."""
    set: tuple[str, ...] = ()
    """Options of the method as name=value; ownlatent methods METHOD lists them."""
    backbone: str | None = None
    """A timm model name, small-resnet, small-vit, or a wide ResNet as the papers' (resnet50x2); of
    rows mlp; of text small-transformer or bag. [resnet18; rows: mlp; sounds: small-resnet; text:
    small-transformer]"""
    size: int | None = None
    """Side of the views in pixels; of sounds, mel bands and frames. [images up to 64 pixels: their
    own; else 224; sounds: 64]"""
    start_size: int | None = None
    """Side of the views in the first epoch; it grows to --size over three quarters of the run, so
    that early steps cost less. [--size]"""
    views: str | None = None
    """Views by name. [the preset's; up to 64 pixels their cifar- form]"""
    crops: int | None = None
    """Local crops beside the two views. [the preset's]"""
    crops_after: float = 0.0
    """Share of the run after which the local crops join, from the next epoch on."""
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
    predictor_lr: float | None = None
    """Learning rate of the predictor, over that of the rest. [the preset's]"""
    clip: float | None = None
    """Largest norm of each tensor's gradient. [the preset's]"""
    bn_group: int | None = None
    """Images whose batch-norm statistics are taken together. [the preset's]"""
    norm: Literal["batch", "group", "layer", "instance", "none"] | None = None
    """Normalisation of backbone and heads; group is with weight standardisation. [the preset's]"""
    stem: Literal["auto", "standard"] = "auto"
    """How a timm model begins: auto fits ResNets, VGGs and ViTs to views of up to 64 pixels,
    standard leaves them as they are."""
    frozen_patches: bool | None = None
    """Fix a ViT's patch projection and position embedding. [the preset's]"""
    target_start: Literal["copy", "own"] = "copy"
    """The target starts as a copy of the online network, or from its own draw."""
    init: Path | None = None
    """Start the backbone from weights: a .safetensors or .pth file of timm or torchvision, or
    pretrained[:TAG] for timm's own, which timm downloads unless its cache has them."""
    drop_path: float = 0.0
    """Stochastic depth: probability of leaving out the backbone's deepest residual branch."""
    recompute: bool = False
    """Keep less for the backward pass and compute it again there: about half the memory for about a
    third more time. The networks are not compiled then."""
    shard: bool = False
    """Cut networks and optimizer over the processes (FSDP), for networks too large for one GPU."""
    label: str | None = None
    """Column of a table that holds labels, and is no feature. [label, class, target or y]"""
    labelled: bool = False
    """Class folders are labels: follow the run with an online linear probe."""
    seed: int = 0
    """Seed of everything random."""
    canvas: int | None = None
    """Side of the decoded canvases in pixels. [1.15 times the view]"""
    place: Literal["auto", "device", "host", "disk", "stream"] = "auto"
    """Where decoded canvases live; stream: nowhere, they are decoded anew for every batch. [the
    first of these with room]"""
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
    track: tuple[str, ...] | None = None
    """Trackers to follow the run in: tensorboard, wandb, mlflow. [tensorboard, if installed]"""
    checkpoint_minutes: float = 10.0
    """Minutes between checkpoints. One is also written at the end and on Ctrl-C or SIGTERM."""
    checkpoint_steps: int | None = None
    """Optimizer steps between checkpoints, besides the minutes. [none]"""
    keep: int = 2
    """Checkpoints kept, the newest ones."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The run, with nothing left open. It is stored with the run."""

    size: int
    start_size: int | None = None
    """Of the first epoch's views; None: as all others."""
    views: str
    crops: int
    crops_after: float = 0.0
    batch_size: int
    accumulate: int
    total_steps: int
    steps_per_epoch: int
    warmup_steps: int
    optimizer: str
    lr: float
    """Peak learning rate."""
    schedule: str
    final_lr: float
    """Where the learning rate ends, as a fraction of the peak."""
    weight_decay: float
    final_weight_decay: float | None
    decay_all: bool
    bias_lr: float
    predictor_lr: float
    predictor_fixed: bool
    clip: float | None
    bn_group: int | None
    norm: str
    frozen_patches: bool
    options: dict[str, Any]
    """Of the method."""
    precision: str
    compile: bool
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


BOUNDS = {
    "size": (8, 4096),
    "start_size": (8, 4096),
    "epochs": (1, 10**9),
    "steps": (1, 10**9),
    "batch_size": (2, 2**20),
    "accumulate": (1, 2**20),
    "base_lr": (0, 1e30),
    "weight_decay": (0, 1e30),
    "warmup_epochs": (0, 1e9),
    "crops": (0, 64),
    "crops_after": (0, 1),
    "predictor_lr": (0, 1e6),
    "clip": (1e-30, 1e30),
    "bn_group": (2, 2**20),
    "drop_path": (0, 1),
    "seed": SEED,
    "canvas": (8, 2**14),
    "workers": (1, 1024),
    "log_every": (1, 10**6),
    "checkpoint_minutes": (0, 1e9),
    "checkpoint_steps": (1, 10**9),
    "keep": (1, 10**6),
    # of a plan only
    "total_steps": (1, 10**18),
    "steps_per_epoch": (1, 10**18),
    "warmup_steps": (0, 10**18),
    "lr": (0, 1e35),
    "final_lr": (0, 1),
    "final_weight_decay": (0, 1e30),
    "bias_lr": (0, 1e6),
}
"""The least and the most of each number above: beyond them it is a slip of the hand."""
