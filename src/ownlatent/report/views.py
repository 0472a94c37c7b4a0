"""``ownlatent views``: the data beside what pretraining would see of them."""

from pathlib import Path

from ownlatent.checks import require_within
from ownlatent.config import BOUNDS
from ownlatent.data import Data, decode_canvases, open_source
from ownlatent.errors import UsageError
from ownlatent.report.pictures import draw_views
from ownlatent.report.sheet import contact_sheet
from ownlatent.views import Views, default_size, default_views


def draw_sheet(
    data: Data,
    *,
    out: str | Path,
    views: str | None = None,
    crops: int = 0,
    size: int | None = None,
    reference: bool = False,
    images: int = 8,
    draws: int = 3,
    seed: int = 0,
) -> Path:
    """Write a contact sheet of ``images`` originals with ``draws`` of each of their views.

    Raises:
        UsageError: the data cannot be read, or there is nothing to draw.
    """
    require_within("images", images, 1, 1000)
    require_within("draws", draws, 1, 1000)
    require_within("crops", crops, *BOUNDS["crops"])
    require_within("size", size, *BOUNDS["size"])
    require_within("seed", seed, *BOUNDS["seed"])
    source = open_source(data)
    canvases = decode_canvases(source, view_size=size or 224)
    largest = int(canvases.sizes.max())
    size = size or default_size(largest)
    made = Views(views or default_views(size), size, reference=reference, crops=crops)
    originals, drawn = draw_views(canvases, made, images=images, draws=draws, seed=seed)
    captions = ("original", *(f"view {number + 1}" for number in range(len(made.recipes))))
    try:
        return contact_sheet(originals, drawn, out, captions=captions)
    except OSError as error:
        raise UsageError(
            f"{out} cannot be written ({error.strerror}); choose another --out."
        ) from error
