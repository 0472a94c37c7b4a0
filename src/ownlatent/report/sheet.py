"""Originals beside their views: small pictures, and the contact sheet made of them."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ownlatent.errors import UsageError

if TYPE_CHECKING:
    from PIL import Image

Picture = NDArray[np.uint8]  # [H, W, C] or [H, W]
Pictures = Sequence[Picture]

CAPTIONS = ("original", "view 1", "view 2")
LEGIBLE = 96  # a cell is never smaller than this, in pixels
_LARGEST = 224  # nor larger than this, unless the views themselves are
_MARGIN, _GAP, _GROUP_GAP, _HEADER, _FOOTER = 24, 6, 22, 34, 26
_PAPER, _MAT, _RULE, _INK = "#ffffff", "#f1efea", "#c9c5bc", "#4b4d50"


def groups(
    captions: Sequence[str], originals: Pictures, views: Sequence[Pictures]
) -> list[tuple[str, int]]:
    """Each kind of view with its number of draws: the columns of every row, in order.

    ``captions`` names the original and then each kind of view; a row's pictures are shared
    evenly among the kinds, draws of one kind side by side.

    Raises:
        ValueError: no row for an original, rows of unequal length, or a length that the kinds do
            not divide.
    """
    if len(originals) != len(views):
        raise ValueError(f"{len(originals)} originals but views of {len(views)}")
    lengths = {len(row) for row in views}
    kinds = captions[1:]
    if not lengths:
        return []
    if len(lengths) != 1:
        raise ValueError(f"every original needs the same number of views, not {sorted(lengths)}")
    draws, rest = divmod(lengths.pop(), max(len(kinds), 1))
    if rest or not draws:
        raise ValueError(f"the views of one image cannot be shared evenly among {list(kinds)}")
    return [(kind, draws) for kind in kinds]


def contact_sheet(
    originals: Pictures,
    views: Sequence[Pictures],
    out: str | Path,
    *,
    captions: Sequence[str] = CAPTIONS,
    note: str = "",
) -> Path:
    """Write a PNG with one row per image: the original, then its views.

    Args:
        originals: uint8 arrays ``[H, W, C]``, sizes free. Of two channels the first is shown,
            of more than three the first three.
        views: for each original, uint8 arrays ``[S, S, C]``; several draws of one kind of view
            stand side by side (three of view 1, then three of view 2, say).
        out: the file to write; its folder is made if missing.
        captions: the name of the original, then of each kind of view.
        note: a line below, where something needs to be said.

    Returns:
        The path of the sheet. Small pictures are enlarged by whole factors to at least 96 pixels
        (nearest neighbour, so that a pixel stays a pixel); originals are letterboxed.

    Raises:
        UsageError: ``out`` is a folder, or its folder cannot be made.
        ValueError: no originals, or originals and views that do not match.
    """
    from PIL import Image, ImageDraw

    if not len(originals):
        raise ValueError("a contact sheet needs at least one image")
    columns = [(captions[0], 1), *groups(captions, originals, views)]
    path = writable(out)

    side = max(max(view.shape[:2]) for row in views for view in row)
    cell = side * -(-LEGIBLE // side) if side < LEGIBLE else min(side, _LARGEST)
    lefts, x = [], _MARGIN
    for _, draws in columns:
        lefts += [x + draw * (cell + _GAP) for draw in range(draws)]
        x = lefts[-1] + cell + _GROUP_GAP
    width = x - _GROUP_GAP + _MARGIN
    bottom = _MARGIN + _HEADER + len(originals) * (cell + _GAP) - _GAP
    height = bottom + (_FOOTER if note else 0) + _MARGIN

    sheet = Image.new("RGB", (width, height), _PAPER)
    pen = ImageDraw.Draw(sheet)
    first = 0
    for name, draws in columns:
        left, right = lefts[first], lefts[first + draws - 1] + cell - 1
        _caption(pen, name, left, right)
        first += draws
    for index, (original, row) in enumerate(zip(originals, views, strict=True)):
        top = _MARGIN + _HEADER + index * (cell + _GAP)
        for left, picture in zip(lefts, [original, *row], strict=True):
            shown = fitted(picture, cell)
            corner = (left + (cell - shown.width) // 2, top + (cell - shown.height) // 2)
            pen.rectangle((left, top, left + cell - 1, top + cell - 1), fill=_MAT)
            sheet.paste(shown, corner)
    if note:
        pen.text(
            (_MARGIN, bottom + _FOOTER),
            note,
            fill=_INK,
            font=_font(note, width - 2 * _MARGIN),
            anchor="ls",
        )
    sheet.save(path, format="PNG")
    return path


def _caption(pen: Any, name: str, left: int, right: int) -> None:
    """A name over a hairline that spans the columns it speaks for."""
    baseline = _MARGIN + _HEADER - 10
    font = _font(name, right - left + 1)
    pen.text((left, baseline - 6), name, fill=_INK, font=font, anchor="ls")
    pen.line((left, baseline, right, baseline), fill=_RULE)


def _font(text: str, room: int) -> Any:
    """A font in which the text takes no more than ``room`` pixels, if a legible one does."""
    from PIL import ImageFont

    size = 15
    font = ImageFont.load_default(size)
    while font.getlength(text) > room and size > 9:
        size -= 1
        font = ImageFont.load_default(size)
    return font


def picture(array: Picture) -> Image.Image:
    """An array ``[H, W]`` or ``[H, W, C]``, uint8, as an RGB picture (see ``contact_sheet``)."""
    from PIL import Image

    if array.dtype != np.uint8 or array.ndim not in (2, 3):
        raise ValueError(f"a picture is uint8 [H, W, C], not {array.dtype} {list(array.shape)}")
    if array.ndim == 3:
        array = array[:, :, :3] if array.shape[2] >= 3 else array[:, :, 0]
    return Image.fromarray(np.ascontiguousarray(array)).convert("RGB")


def fitted(array: Picture, cell: int) -> Image.Image:
    """The picture inside a square of ``cell`` pixels: enlarged by a whole factor or reduced."""
    from PIL import Image

    shown = picture(array)
    longest = max(shown.size)
    if longest > cell:
        scale = cell / longest
        size = (max(1, round(shown.width * scale)), max(1, round(shown.height * scale)))
        return shown.resize(size, Image.Resampling.LANCZOS)
    factor = cell // longest
    return shown.resize((shown.width * factor, shown.height * factor), Image.Resampling.NEAREST)


def data_uri(array: Picture, largest: int = 144) -> str:
    """The picture as a ``data:`` address: exact up to 64 pixels, else a JPEG of ``largest``."""
    small = max(array.shape[:2]) <= 64
    buffer = io.BytesIO()
    if small:
        picture(array).save(buffer, format="PNG", optimize=True)
    else:
        fitted(array, min(largest, max(array.shape[:2]))).save(buffer, format="JPEG", quality=82)
    kind = "png" if small else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def writable(out: str | Path) -> Path:
    """``out`` as a path to a file whose folder exists.

    Raises:
        UsageError: it is a folder, or its folder cannot be made.
    """
    path = Path(out)
    if path.is_dir():
        raise UsageError(f"{path} is a folder; give the name of a file to write.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"{path.parent} cannot be made ({error.strerror}); write elsewhere."
        ) from None
    return path
