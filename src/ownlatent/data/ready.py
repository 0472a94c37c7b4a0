"""Images from what a person has: still to be decoded, or canvases decoded before."""

import os
from typing import Any, Literal

import torch

from ownlatent.data.arrays import ArraySource
from ownlatent.data.build import decode_canvases, is_cached
from ownlatent.data.cache import default_cache_dir
from ownlatent.data.canvas import ROOM, THUMBNAIL
from ownlatent.data.canvases import Canvases
from ownlatent.data.decoding import Progress
from ownlatent.data.opening import Data, check_labels, open_source
from ownlatent.data.placement import Place, choose_place, free_disk
from ownlatent.data.source import Source
from ownlatent.data.streamed import Streamed, stream

DISK_SHARE = 0.9  # of what is free; a full disk harms others
_MOST_BYTES = 6  # of a pixel that is decoded


def as_canvases(data: Data | Canvases, *, view_size: int, labelled: bool = False) -> Canvases:
    """``data`` decoded for views of ``view_size`` pixels; canvases pass through as they are.

    Raises:
        UsageError: see `open_source` and `decode_canvases`.
    """
    if not isinstance(data, Canvases):
        return decode_canvases(open_source(data, labelled=labelled), view_size=view_size)
    if labelled:
        check_labels("the canvases given", data.labels)
    return data


def canvases_or_stream(
    source: Source,
    *,
    side: int | None,
    view_size: int,
    workers: int | None,
    place: Literal["auto", "stream"] | Place,
    device: str | torch.device,
    progress: Progress | None = None,
) -> Canvases | Streamed:
    """Every image of ``source``, decoded once where there is room, else anew for every batch.

    The arguments are those of `decode_canvases`. ``auto`` streams where neither the device, nor
    half of the host's memory, nor nine tenths of the disk would hold the canvases. Of several
    processes each would judge for itself, so they stream only when told to.

    Raises:
        UsageError: see `decode_canvases` and `stream`.
    """
    shared: dict[str, Any] = {"side": side, "view_size": view_size, "workers": workers}
    if place == "stream":
        return stream(source, **shared)
    alone = int(os.environ.get("WORLD_SIZE", "1")) == 1
    if place == "auto" and alone and not isinstance(source, ArraySource):
        most = len(source) * _MOST_BYTES * (side or max(round(ROOM * view_size), THUMBNAIL)) ** 2
        if choose_place(most, "auto", torch.device(device)) == "disk":
            streamed = stream(source, **shared)
            size = len(source) * streamed.shape.bytes
            if (
                choose_place(size, "auto", torch.device(device)) == "disk"
                and not is_cached(source, streamed.shape)
                and size > DISK_SHARE * free_disk(default_cache_dir())
            ):
                return streamed
    return decode_canvases(source, **shared, place=place, device=device, progress=progress)
