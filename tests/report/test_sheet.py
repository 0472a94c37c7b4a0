"""The contact sheet: every picture there, in its place, legible and unchanged."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ownlatent.errors import UsageError
from ownlatent.report import contact_sheet
from ownlatent.report.sheet import data_uri, picture

RED, GREEN, BLUE, PINK = (200, 10, 20), (10, 190, 40), (30, 20, 210), (220, 30, 180)


def flat(colour: tuple[int, int, int], height: int, width: int | None = None) -> np.ndarray:
    return np.full((height, width or height, 3), colour, dtype=np.uint8)


def box(sheet: Path, colour: tuple[int, int, int]) -> tuple[int, int, int, int, int]:
    """Left, top, width, height and area of a colour on the sheet."""
    pixels = np.asarray(Image.open(sheet))
    ys, xs = np.nonzero((pixels == np.array(colour, dtype=np.uint8)).all(axis=-1))
    left, top = int(xs.min()), int(ys.min())
    return left, top, int(xs.max()) - left + 1, int(ys.max()) - top + 1, len(xs)


def test_small_pictures_are_enlarged_and_stand_in_order(tmp_path: Path) -> None:
    out = contact_sheet(
        [flat(RED, 32)], [[flat(GREEN, 32), flat(BLUE, 32)]], tmp_path / "a" / "s.png"
    )
    assert out == tmp_path / "a" / "s.png"
    assert Image.open(out).format == "PNG"
    boxes = [box(out, colour) for colour in (RED, GREEN, BLUE)]
    assert [area for *_, area in boxes] == [96 * 96] * 3
    assert len({top for _, top, *_ in boxes}) == 1
    lefts = [left for left, *_ in boxes]
    assert lefts[0] + 96 < lefts[1] and lefts[1] + 96 < lefts[2]


def test_enlarging_repeats_pixels(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (24, 24, 3), dtype=np.uint8)
    noise[0, 0], noise[-1, -1] = RED, GREEN
    out = contact_sheet([flat(BLUE, 8)], [[noise]], tmp_path / "s.png", captions=("o", "v"))
    left, top, *_ = box(out, RED)
    shown = np.asarray(Image.open(out))[top : top + 96, left : left + 96]
    assert (shown == noise.repeat(4, axis=0).repeat(4, axis=1)).all()


def test_draws_of_one_view_stand_side_by_side(tmp_path: Path) -> None:
    colours = [(10 * index, 99, 7) for index in range(1, 7)]
    views = [[flat(colour, 48) for colour in colours]] * 2
    out = contact_sheet([flat(RED, 48), flat(PINK, 48)], views, tmp_path / "s.png")
    lefts = [box(out, colour)[0] for colour in colours]
    gaps = np.diff(lefts)
    assert gaps[0] == gaps[1] == gaps[3] == gaps[4] < gaps[2]  # three of view 1, three of view 2
    assert all(box(out, colour)[4] == 2 * 96 * 96 for colour in colours)  # both rows
    assert box(out, RED)[1] + 96 < box(out, PINK)[1]


@pytest.mark.parametrize(
    ("height", "width", "shown"),
    [(20, 40, (80, 40)), (400, 100, (24, 96)), (96, 96, (96, 96)), (1, 500, (96, 1))],
)
def test_originals_are_letterboxed(
    tmp_path: Path, height: int, width: int, shown: tuple[int, int]
) -> None:
    views = [[flat(GREEN, 32), flat(BLUE, 32)]]
    out = contact_sheet([flat(RED, height, width)], views, tmp_path / "s.png")
    _, top, *size, area = box(out, RED)
    assert tuple(size) == shown and area == shown[0] * shown[1]
    cell_top = box(out, GREEN)[1]
    assert top == cell_top + (96 - shown[1]) // 2


def test_large_views_are_reduced(tmp_path: Path) -> None:
    out = contact_sheet([flat(RED, 600)], [[flat(GREEN, 512), flat(BLUE, 512)]], tmp_path / "s.png")
    assert box(out, GREEN)[2:4] == box(out, RED)[2:4] == (224, 224)


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 7])
def test_which_channels_are_shown(channels: int) -> None:
    array = np.random.default_rng(1).integers(0, 256, (5, 6, channels), dtype=np.uint8)
    shown = np.asarray(picture(array))
    expected = array[:, :, :3] if channels >= 3 else array[:, :, :1].repeat(3, axis=2)
    assert (shown == expected).all()


def test_a_small_picture_travels_in_the_page_unchanged() -> None:
    import base64
    import io

    array = np.random.default_rng(2).integers(0, 256, (64, 30, 3), dtype=np.uint8)
    head, body = data_uri(array).split(",")
    assert head == "data:image/png;base64"
    assert (np.asarray(Image.open(io.BytesIO(base64.b64decode(body)))) == array).all()
    head, body = data_uri(np.zeros((900, 300, 3), dtype=np.uint8)).split(",")
    assert head == "data:image/jpeg;base64"
    assert Image.open(io.BytesIO(base64.b64decode(body))).size == (48, 144)


def test_what_does_not_match_is_refused(tmp_path: Path) -> None:
    red, out = flat(RED, 8), tmp_path / "s.png"
    with pytest.raises(ValueError, match="2 originals but views of 1"):
        contact_sheet([red, red], [[red, red]], out)
    with pytest.raises(ValueError, match="same number of views"):
        contact_sheet([red, red], [[red, red], [red] * 4], out)
    with pytest.raises(ValueError, match="shared evenly"):
        contact_sheet([red], [[red, red, red]], out)
    with pytest.raises(ValueError, match="at least one image"):
        contact_sheet([], [], out)
    with pytest.raises(ValueError, match="uint8"):
        contact_sheet([red.astype(np.float32)], [[red, red]], out)
    assert not out.exists()


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    red = flat(RED, 8)
    with pytest.raises(UsageError, match="is a folder"):
        contact_sheet([red], [[red, red]], tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot be made"):
        contact_sheet([red], [[red, red]], tmp_path / "file" / "s.png")
