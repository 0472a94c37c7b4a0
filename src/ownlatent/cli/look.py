"""Commands that draw."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro
from tyro.conf import Positional


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

    def __call__(self) -> None:
        from ownlatent.report.views import draw_sheet

        print(draw_sheet(**vars(self)))


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

    def __call__(self) -> None:
        from ownlatent.report.attention import draw_attention

        print(draw_attention(**vars(self)))


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

    def __call__(self) -> None:
        from ownlatent.report.run import report

        print(report(self.runs, self.data, test=self.test, out=self.out))
