"""Commands about an encoder's vectors."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tyro.conf import Positional


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

    def __call__(self) -> None:
        from ownlatent.embeddings import write_embeddings

        done = write_embeddings(**vars(self))
        skipped = f", {len(done.skipped)} unreadable skipped" if done.skipped else ""
        print(f"{done.vectors:,} vectors of {done.dim}{skipped}: {done.path}")
