"""The command line: each command calls the function that Python users call.

Nothing heavy is imported here, so that ``--help`` answers at once.
"""

import json
import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro
from tyro.conf import Positional

from ownlatent.config import Pretrain
from ownlatent.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Resume:
    """Go on with a run that stopped, was killed or failed, from its newest checkpoint."""

    run: Positional[Path]
    """Run folder."""
    data: str | None = None
    """Where the images are now. [where they were]"""
    changed_data: bool = False
    """Go on although the images are not those that the run began with."""


@dataclass(frozen=True, kw_only=True)
class Evaluate:
    """Measure an encoder on labelled images: neighbours, linear probes, fine-tuning, with all
    labels or few; or segmentation, depth or detection; beside baselines."""

    run: Positional[str]
    """Run folder, or its encoder/; or one trained elsewhere: timm's name of it, a state dict (with
    --backbone), or a folder of Hugging Face's."""
    data: str
    """Labelled images (class folders, .npz or Parquet) to fit on."""
    test: str | None = None
    """Labelled images to score on. [a fifth of each class of the data]"""
    protocols: tuple[str, ...] = ("linear", "knn")
    """What to measure: knn, linear, sgd or finetune, with fewer labels linear@1% or linear@5-shot;
    or one of segmentation, depth and detection, with --targets, --test and --test-targets."""
    label: str | None = None
    """Column of a table that holds the labels. [label, class, target or y]"""
    network: Literal["online", "target", "middle"] | None = None
    """Which network. [the one the method is evaluated by]"""
    backbone: str | None = None
    """Network that a state dict is of, such as resnet50."""
    baselines: bool = True
    """Also measure random initialisation and raw pixels."""
    limit: int | None = None
    """Fit on the first this many images."""
    epochs: int | None = None
    """Passes of the protocols that train. [sgd 80, finetune 30]"""
    seed: int = 0
    """Seed of splits and of the random initialisation."""
    splits: Path | None = None
    """Folder to list the samples in whose labels smaller budgets see."""
    device: str = "cpu"
    """Where features are computed: cpu or cuda."""
    targets: str | None = None
    """Masks, depth images or boxes (VOC's files or list, COCO's .json) of the data."""
    test_targets: str | None = None
    """Those of the test data."""
    size: int | None = None
    """Pixels that longer sides are brought down to, for targets. [detection 800; else as it is]"""
    steps: int | None = None
    """Optimizer steps, for targets. [300, of detection 200]"""
    classes: int | None = None
    """Classes of the masks. [as in those to train on]"""
    void: int = 255
    """Value of mask pixels that do not count."""
    unit: float = 0.001
    """Metres of a step of the depth images."""
    neck: Literal["fpn", "c4"] = "fpn"
    """Neck of detection."""
    frozen: bool = False
    """Segmentation trains its head alone."""


@dataclass(frozen=True, kw_only=True)
class Transfer:
    """Measure an encoder on several labelled data sets: a linear probe on each, and the mean."""

    run: Positional[str]
    """Run folder, or another encoder, as of evaluate."""
    data: Annotated[Positional[tuple[str, ...]], tyro.conf.arg(metavar="FOLDER[@mean] ...")]
    """Folders with train and test (or val), or without, and then a fifth is held out; @mean for
    accuracy averaged over classes."""
    network: Literal["online", "target", "middle"] | None = None
    """Which network. [the one the method is evaluated by]"""
    backbone: str | None = None
    """Network that a state dict is of, such as resnet50."""
    baselines: bool = True
    """Also measure random initialisation."""
    seed: int = 0
    """Seed of held-out parts and of the random initialisation."""
    device: str = "cpu"
    """Where features are computed: cpu or cuda."""


@dataclass(frozen=True, kw_only=True)
class Diagnose:
    """Look at an encoder's features: rank, spread, neighbours; and at doubles and oddities in the
    data."""

    run: Positional[str]
    """Run folder, or another encoder, as of evaluate."""
    data: str
    """Samples of the encoder's kind; labels are used where there are any."""
    label: str | None = None
    """Column of a table that holds the labels. [label, class, target or y]"""
    network: Literal["online", "target", "middle"] | None = None
    """Which network. [the one the method is evaluated by]"""
    backbone: str | None = None
    """Network that a state dict is of, such as resnet50."""
    images: int = 1000
    """Images augmented for LiDAR and alignment."""
    augmentations: int = 10
    """Views of each."""
    double: float = 0.99
    """Cosine from which two samples are called doubles."""
    seed: int = 0
    """Seed of the augmentations."""
    device: str = "cpu"
    """Where features are computed: cpu or cuda."""


@dataclass(frozen=True, kw_only=True)
class Embed:
    """Write an encoder's vectors of every sample into a Parquet file.

    Stopped or killed, the same command goes on where it was.
    """

    run: Positional[str]
    """Run folder, or another encoder, as of evaluate."""
    data: Positional[str]
    """Samples of the encoder's kind."""
    out: Path
    """Parquet file to write: id, path, label and vector of each sample."""
    labelled: bool = False
    """Class folders are labels."""
    label: str | None = None
    """Column of a table that holds the labels. [label, class, target or y]"""
    network: Literal["online", "target", "middle"] | None = None
    """Which network. [the one the method is evaluated by]"""
    backbone: str | None = None
    """Network that a state dict is of, such as resnet50."""
    dtype: Literal["float32", "float16"] = "float32"
    """Of the vectors."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """Of the network; bf16 is faster where the machine computes in it."""
    device: str = "cpu"
    """Where features are computed: cpu or cuda."""


@dataclass(frozen=True, kw_only=True)
class Views:
    """Draw a contact sheet: images beside the views that pretraining would make of them."""

    data: Positional[str]
    """Folder of images, .npy/.npz array or Parquet file."""
    out: Path = Path("views.png")
    """PNG to write."""
    views: str | None = None
    """Views by name, such as byol, simclr or dino. [byol; up to 64 pixels cifar-byol]"""
    crops: int = 0
    """Local crops beside the two views."""
    size: int | None = None
    """Side of the views in pixels. [images up to 64 pixels: their own; else 224]"""
    reference: bool = False
    """Make them one operation at a time, as torchvision does."""
    images: int = 8
    """Images shown, spread evenly over the data."""
    draws: int = 3
    """Draws of each view."""
    seed: int = 0
    """Seed of the draws."""


@dataclass(frozen=True, kw_only=True)
class Attention:
    """Draw where a vision transformer looks: its CLS token's attention over images, head by head.

    The mean of the heads at random initialisation stands beside it.
    """

    run: Positional[Path]
    """Run folder, or its encoder/: of a ViT with a CLS token, such as small-vit."""
    data: Positional[str]
    """Folder of images, .npy/.npz array or Parquet file."""
    out: Path = Path("attention.png")
    """PNG to write."""
    images: int = 6
    """Images shown, spread evenly over the data."""
    keep: float = 0.6
    """Share of the attention that the outlined patches hold."""
    size: int | None = None
    """Side in pixels that images are brought to. [24 patches, or as trained if that is more]"""
    network: Literal["online", "target", "middle"] | None = None
    """Which network. [the one the method is evaluated by]"""
    seed: int = 0
    """Seed of the random initialisation."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """Write one page about a finished run, or one that compares several.

    It holds results, verdict, curves, views, neighbours and a map, and needs nothing but itself.
    """

    runs: Annotated[Positional[tuple[Path, ...]], tyro.conf.arg(metavar="RUN [RUN ...]")]
    """Run folders."""
    data: str | None = None
    """Images to show views of and to search in. [those the run was trained on; several runs are
    compared without images]"""
    test: str | None = None
    """Images whose neighbours are shown, and the map. [the data]"""
    out: Path | None = None
    """Page to write. [report.html in the run's folder; comparison.html for several]"""


@dataclass(frozen=True, kw_only=True)
class Demo:
    """Pretrain BYOL on 20,000 CIFAR-10 (JPEG) images, measure it, and write report.html."""

    out: Path = Path("runs/demo")
    """Folder of the run; an earlier demo there is replaced."""
    seed: int = 0
    """Seed of everything random."""
    steps: int = 3200
    """Optimizer steps of 64 images."""
    reference: bool = False
    """Make the views one operation at a time, to compare."""


@dataclass(frozen=True, kw_only=True)
class Runs:
    """List the runs below a folder: state, verdict, step, loss, best results, age and size."""

    folder: Positional[Path] = Path("runs")
    """Folder that the runs are in."""
    json: bool = False
    """Print a JSON list instead of a table: ages in seconds, sizes in bytes."""


@dataclass(frozen=True, kw_only=True)
class Methods:
    """Compare the methods: what each is made of, and what keeps it from collapsing."""

    method: Positional[str | None] = None
    """Method whose options and presets to list instead."""
    json: bool = False
    """Print JSON instead of a table: of a method every setting of every preset."""
    markdown: bool = False
    """Print tables in Markdown."""


@dataclass(frozen=True, kw_only=True)
class Doctor:
    """Say what this machine has, what would be slow on it, and what to do about that."""

    json: bool = False
    """Print JSON instead of text: sizes in bytes."""


Command = (
    Annotated[Pretrain, tyro.conf.subcommand("pretrain")]
    | Annotated[Resume, tyro.conf.subcommand("resume")]
    | Annotated[Evaluate, tyro.conf.subcommand("evaluate")]
    | Annotated[Transfer, tyro.conf.subcommand("transfer")]
    | Annotated[Diagnose, tyro.conf.subcommand("diagnose")]
    | Annotated[Embed, tyro.conf.subcommand("embed")]
    | Annotated[Views, tyro.conf.subcommand("views")]
    | Annotated[Attention, tyro.conf.subcommand("attention")]
    | Annotated[Report, tyro.conf.subcommand("report")]
    | Annotated[Demo, tyro.conf.subcommand("demo")]
    | Annotated[Runs, tyro.conf.subcommand("runs")]
    | Annotated[Methods, tyro.conf.subcommand("methods")]
    | Annotated[Doctor, tyro.conf.subcommand("doctor")]
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command; exit code 2 for a mistake to mend, 1 for a run that failed."""
    command = tyro.cli(
        Command,
        prog="ownlatent",
        description="Bootstrap your own latent, from your own images.",
        args=arguments,
        config=(tyro.conf.OmitArgPrefixes,),
    )
    logging.basicConfig(format="%(message)s")
    logging.getLogger("ownlatent").setLevel(logging.INFO)
    try:
        _run(command)
    except UsageError as error:
        _end(str(error), 2)
    except KeyboardInterrupt:
        _end("Stopped.", 130)
    except BrokenPipeError:  # whoever read along has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(0) from None
    except OSError as error:  # what lies outside: a full disk, a file without permission
        _end(f"{error.filename or 'Failed'}: {error.strerror or error}; mend that first.", 1)


def _run(command: object) -> None:
    if isinstance(command, Pretrain | Resume):
        _train(command)
    elif isinstance(command, Evaluate):
        _evaluate(command)
    elif isinstance(command, Transfer):
        from ownlatent.evaluation.table import transfer_table
        from ownlatent.evaluation.transfer import transfer

        print(transfer_table(transfer(**vars(command))))
    elif isinstance(command, Diagnose):
        from ownlatent.evaluation.diagnose import diagnose, said

        print(said(diagnose(**vars(command))))
    elif isinstance(command, Embed):
        from ownlatent.embeddings import write_embeddings

        done = write_embeddings(**vars(command))
        skipped = f", {len(done.skipped)} unreadable skipped" if done.skipped else ""
        print(f"{done.vectors:,} vectors of {done.dim}{skipped}: {done.path}")
    elif isinstance(command, Views):
        from ownlatent.report.views import draw_sheet

        print(draw_sheet(**vars(command)))
    elif isinstance(command, Attention):
        from ownlatent.report.attention import draw_attention

        print(draw_attention(**vars(command)))
    elif isinstance(command, Report):
        from ownlatent.report.run import report

        print(report(command.runs, command.data, test=command.test, out=command.out))
    elif isinstance(command, Demo):
        from ownlatent.demo import demo

        print(demo(**vars(command)))
    elif isinstance(command, Runs):
        from ownlatent.training.runs import listing, runs

        found = runs(command.folder)
        if command.json:
            print(json.dumps([run.as_dict() for run in found], indent=2))
        else:
            print(listing(found) if found else f"There are no runs in {command.folder} yet.")
    elif isinstance(command, Methods):
        from ownlatent.methods import table as methods
        from ownlatent.methods.page import markdown, page

        if command.method:
            details = methods.details(command.method)
            told = [details["options"], methods.brief(details["presets"])]
            shown: object = details
        else:
            shown = methods.comparison()
            told = [shown]
        if command.json:
            print(json.dumps(shown, indent=2))
        else:
            form = markdown if command.markdown else page
            print("\n\n".join(form(rows) for rows in told if rows))
    elif isinstance(command, Doctor):
        from ownlatent.doctor import advice, examine
        from ownlatent.doctor import page as doctors_page

        facts = examine()
        if command.json:
            print(json.dumps(facts.as_dict() | {"advice": advice(facts)}, indent=2))
        else:
            print(doctors_page(facts))


def _train(command: Pretrain | Resume) -> None:
    from ownlatent.training import Collapsed, Diverged, RunFailed, Stopped, resume, run

    try:
        if isinstance(command, Pretrain):
            folder = run(command).folder
        else:
            made = resume(command.run, command.data, changed_data=command.changed_data)
            folder = made.folder
        if os.environ.get("RANK", "0") == "0":
            print(folder / "encoder")
    except (Collapsed, Diverged, RunFailed) as error:
        _end(str(error), 1)
    except Stopped as stop:
        _end(str(stop), 128 + stop.number)


def _end(message: str, code: int) -> None:
    print(message, file=sys.stderr)
    raise SystemExit(code)


def _evaluate(command: Evaluate) -> None:
    options = {k: v for k, v in vars(command).items() if k not in ("run", "data", "protocols")}
    dense = [name for name in command.protocols if name in ("segmentation", "depth", "detection")]
    own = ("targets", "test_targets", "size", "steps", "classes", "void", "unit", "neck", "frozen")
    if not dense:
        from ownlatent.evaluation import evaluate
        from ownlatent.evaluation.table import table

        options = {k: v for k, v in options.items() if k not in own}
        measured = evaluate(command.run, command.data, protocols=command.protocols, **options)
        print(table(measured["results"]))
        if seen := measured["data"]["test_images_in_train"]:
            print(f"Careful: {seen:,} test images also occur in the training data.")
        return
    if len(command.protocols) > 1 or not all((command.test, command.targets, command.test_targets)):
        raise UsageError(
            f"{dense[0].capitalize()} is measured by itself, and needs --targets, --test and "
            "--test-targets."
        )
    from ownlatent.evaluation.dense.run import evaluate_dense
    from ownlatent.evaluation.table import dense_table

    shared = ("test", "network", "backbone", "baselines", "seed", "device")
    options = {k: v for k, v in options.items() if k in (*shared, *own)}
    report = evaluate_dense(command.run, command.data, protocol=dense[0], **options)
    print(dense_table(report["results"]))
