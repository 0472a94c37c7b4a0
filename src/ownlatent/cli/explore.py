"""The command that shows a store."""

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional


@dataclass(frozen=True, kw_only=True)
class Explore:
    """Show a store on a local page: a map with pictures, neighbours, colours, lists to export.

    The page is there for this machine alone, until Ctrl-C, and asks nothing of any other.
    """

    store: Positional[Path]
    """What embed wrote, .parquet or .lance."""
    port: int = 5055
    """Port to listen on; 0 takes a free one."""
    host: str = "127.0.0.1"
    """This machine; no other is taken."""
    browser: bool = True
    """Open the page in the desktop's browser."""
    clusters: int = 10
    """Clusters to colour by."""
    seed: int = 0
    """Seed of the map and the clusters."""

    def __call__(self) -> None:
        from ownlatent.embeddings.explorer import explore
        from ownlatent.training.progress import bar

        explore(**vars(self), bar=bar)
