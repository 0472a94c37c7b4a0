"""Commands that measure an encoder."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro
from tyro.conf import Positional

from ownlatent.errors import UsageError


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

    def __call__(self) -> None:
        options = {k: v for k, v in vars(self).items() if k not in ("run", "data", "protocols")}
        dense = [name for name in self.protocols if name in ("segmentation", "depth", "detection")]
        own = {"targets", "test_targets", "size", "steps", "classes", "void", "unit"}
        own |= {"neck", "frozen"}
        if not dense:
            from ownlatent.evaluation import evaluate
            from ownlatent.evaluation.table import table

            options = {k: v for k, v in options.items() if k not in own}
            measured = evaluate(self.run, self.data, protocols=self.protocols, **options)
            print(table(measured["results"]))
            if seen := measured["data"]["test_images_in_train"]:
                print(f"Careful: {seen:,} test images also occur in the training data.")
            return
        if len(self.protocols) > 1 or not all((self.test, self.targets, self.test_targets)):
            raise UsageError(
                f"{dense[0].capitalize()} is measured by itself, and needs --targets, --test and "
                "--test-targets."
            )
        from ownlatent.evaluation.dense.run import evaluate_dense
        from ownlatent.evaluation.table import dense_table

        shared = {"test", "network", "backbone", "baselines", "seed", "device"}
        options = {k: v for k, v in options.items() if k in shared | own}
        report = evaluate_dense(self.run, self.data, protocol=dense[0], **options)
        print(dense_table(report["results"]))


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

    def __call__(self) -> None:
        from ownlatent.evaluation.table import transfer_table
        from ownlatent.evaluation.transfer import transfer

        print(transfer_table(transfer(**vars(self))))


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

    def __call__(self) -> None:
        from ownlatent.evaluation.diagnose import diagnose, said

        print(said(diagnose(**vars(self))))
