"""Attention over images: a sheet by one command, in the right places, or one sentence."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ownlatent.cli import main
from ownlatent.encoder import Encoder, EncoderFolder
from ownlatent.errors import UsageError
from ownlatent.networks import backbone
from ownlatent.preprocessing import Preprocessing
from ownlatent.report.attention import as_seen, at_size, draw_attention, overlay


def write_run(folder: Path, name: str = "small-vit", size: int = 16) -> Path:
    net, _ = backbone(name, size=size)
    seen = Preprocessing(3, size, 1.0, (0.4, 0.5, 0.6), (0.2, 0.3, 0.4))
    EncoderFolder.write(folder / "encoder", {"target": Encoder(net, name, seen)})
    return folder


@pytest.fixture
def photos() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (5, 30, 40, 3), dtype=np.uint8)


def test_a_sheet_by_one_command(
    tmp_path: Path, photos: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    run, data, out = write_run(tmp_path / "run"), tmp_path / "photos.npy", tmp_path / "a" / "b.png"
    np.save(data, photos)
    main(["attention", str(run), str(data), "--out", str(out), "--images", "3", "--size", "32"])
    assert capsys.readouterr().out.strip() == str(out)
    sheet = Image.open(out)
    # Image, four heads, their mean and the untrained mean; three rows; captions and a note.
    assert sheet.format == "PNG" and sheet.width > 7 * 224 and 3 * 224 < sheet.height < 4 * 224


def test_maps_are_finer_than_in_training() -> None:
    net, _ = backbone("small-vit", size=16)  # patches of 2 pixels
    encoder = Encoder(net, "small-vit", Preprocessing(3, 16, 1.0, (0.5,) * 3, (0.2,) * 3)).eval()
    assert at_size(encoder).preprocessing.size == 24 * 2
    encoder = at_size(encoder, 33)
    assert encoder.preprocessing.size == 32  # whole patches
    pixels = torch.randint(0, 256, (1, 3, 32, 32), dtype=torch.uint8)
    shown = as_seen(encoder, encoder.preprocess(pixels))
    torch.testing.assert_close(shown, pixels[0] / 255)


def test_an_overlay_is_where_the_attention_is() -> None:
    held, image = torch.zeros(4, 4), torch.full((3, 16, 16), 0.5)
    held[0, 3], held[2, 1] = 1.0, 0.2
    drawn = overlay(image, held, held > 0.5).astype(int)
    assert drawn.shape == (224, 224, 3)
    light = drawn.sum(2)
    top, left = np.unravel_index(light[4:-4, 4:-4].argmax(), light[4:-4, 4:-4].shape)
    assert top + 4 < 56 and left + 4 >= 168  # row 0, column 3 of 4
    white = (drawn == 255).all(2)  # its outline: only the sides within the picture
    rows, columns = np.nonzero(white)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (0, 55, 168, 223)
    assert white[:56, 168].all() and white[55, 168:].all() and not white[1:54, 170:].any()
    assert np.ptp(drawn[140, 196]) == 0 < np.ptp(drawn[140, 84])  # colour only where it looks


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"size": 0}, "size must be at least 1"),
        ({"size": -8}, "size must be at least 1"),
        ({"size": 1}, "size must be at least 2, one patch"),
        ({"keep": 0.0}, "keep must lie above 0"),
        ({"keep": float("nan")}, "keep must lie above 0"),
        ({"images": 0}, "images must be at least 1"),
        ({"network": "online"}, "it has target"),
        ({"data": "nowhere"}, "nowhere does not exist"),
        ({"run": "nowhere"}, "no encoder in nowhere"),
    ],
)
def test_mistakes(
    options: dict[str, object], says: str, tmp_path: Path, photos: np.ndarray
) -> None:
    out = tmp_path / "a.png"
    given = {"run": write_run(tmp_path / "run"), "data": photos, "out": out} | options
    with pytest.raises(UsageError, match=says):
        draw_attention(**given)  # type: ignore[arg-type]
    assert not out.exists()


def test_a_network_without_attention_is_a_sentence(
    tmp_path: Path, photos: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    run = write_run(tmp_path / "run", "small-resnet", 32)
    np.save(tmp_path / "photos.npy", photos)
    with pytest.raises(SystemExit) as stopped:
        main(["attention", str(run), str(tmp_path / "photos.npy")])
    assert stopped.value.code == 2
    message = capsys.readouterr().err.strip()
    assert "no attention of a CLS token" in message and len(message.splitlines()) == 1


def test_an_image_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "torn.jpg").write_bytes(b"\xff\xd8\xff\xe0 torn")
    with pytest.raises(UsageError, match=r"torn\.jpg cannot be read"):
        draw_attention(write_run(tmp_path / "run"), tmp_path / "photos", out=tmp_path / "a.png")
