"""The dense protocols from folders to a table, through the command line."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import ownlatent as ol
from ownlatent.cli import main
from ownlatent.encoder import Encoder, EncoderFolder
from ownlatent.evaluation.dense.run import evaluate_dense
from ownlatent.networks import backbone
from ownlatent.preprocessing import Preprocessing

VOC = """<annotation><filename>{name}</filename><object><name>square</name><bndbox><xmin>{0}</xmin>
<ymin>{1}</ymin><xmax>{2}</xmax><ymax>{3}</ymax></bndbox></object></annotation>"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Bright squares with masks, depths and boxes; and two encoders."""
    folder, random = tmp_path_factory.mktemp("dense"), np.random.default_rng(0)
    for part, count in (("train", 6), ("test", 3)):
        for kind in ("images", "masks", "depth", "boxes"):
            (folder / part / kind).mkdir(parents=True)
        for number in range(count):
            name, (top, left) = f"{number}.png", random.integers(0, 24, 2)
            image = random.integers(0, 60, (40, 56, 3), dtype=np.uint8)
            mask = np.zeros((40, 56), np.uint8)
            image[top : top + 16, left : left + 16] += 180
            mask[top : top + 16, left : left + 16] = 1
            Image.fromarray(image).save(folder / part / "images" / name)
            Image.fromarray(mask).save(folder / part / "masks" / name)
            depth = (3000 - 1000 * mask.astype(int)).astype(np.uint16)
            Image.fromarray(depth).save(folder / part / "depth" / name)
            box = VOC.format(left + 1, top + 1, left + 17, top + 17, name=name)
            (folder / part / "boxes" / f"{number}.xml").write_text(box)
    for name in ("small-resnet", "resnet10t"):
        torch.manual_seed(0)
        net, _ = backbone(name, 3, 32 if name == "small-resnet" else 96)
        encoder = Encoder(net, name, Preprocessing(3, 32, 1.0, (0.1,) * 3, (0.25,) * 3))
        EncoderFolder.write(folder / name / "encoder", {"online": encoder})
    return folder


def given(place: Path, targets: str) -> dict[str, str]:
    train, test = place / "train", place / "test"
    return {
        "data": str(train / "images"), "targets": str(train / targets),
        "test": str(test / "images"), "test_targets": str(test / targets),
    }  # fmt: skip


def test_segmentation_from_the_command_line(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["evaluate", str(place / "small-resnet"), "--protocols", "segmentation", "--steps", "2"]
    for option, value in given(place, "masks").items():
        words += [f"--{option.replace('_', '-')}", value]
    main([*words, "--size", "28"])
    shown = capsys.readouterr().out
    assert "mIoU" in shown and "random initialisation" in shown and "ENCODER (online)" in shown
    report = json.loads((place / "small-resnet" / "evaluation-segmentation.json").read_text())
    row = report["results"][0]
    assert 0 <= row["low"] <= row["mIoU"] <= row["high"] <= 1
    assert len(row["by class"]) == 2 and (row["n_train"], row["n_test"]) == (6, 3)
    assert "28 x 20 pixels" in row["details"]


def test_depth(place: Path) -> None:
    report = evaluate_dense(
        place / "small-resnet", protocol="depth", steps=2, **given(place, "depth")
    )
    row = report["results"][0]
    assert row["pixels"] == 3 * 40 * 56
    assert row["rel"] > 0 and row["delta 1"] <= row["delta 2"] <= row["delta 3"]
    again = evaluate_dense(
        place / "small-resnet", protocol="depth", steps=2, **given(place, "depth")
    )
    assert again == report


def test_detection(place: Path) -> None:
    report = evaluate_dense(
        place / "resnet10t", protocol="detection", steps=1, baselines=False, **given(place, "boxes")
    )
    (row,) = report["results"]
    assert 0 <= row["AP"] <= row["AP50"] <= 1 and "longer side 800" in row["details"]


def test_mistakes_are_one_sentence(place: Path) -> None:
    with pytest.raises(ol.UsageError, match="segmentation, depth, detection"):
        evaluate_dense(place / "small-resnet", protocol="pose", **given(place, "masks"))
    with pytest.raises(ol.UsageError, match="steps"):
        evaluate_dense(place / "small-resnet", protocol="depth", steps=0, **given(place, "depth"))
    with pytest.raises(ol.UsageError, match="holds the value 2000, but classes are 0 to 1"):
        options = given(place, "masks") | {"test_targets": str(place / "test" / "depth")}
        evaluate_dense(place / "small-resnet", protocol="segmentation", classes=2, **options)


def test_what_is_missing_is_named(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["evaluate", str(place / "small-resnet"), "--protocols", "depth", "--data", "x"])
    assert stop.value.code == 2
    assert "--test-targets" in capsys.readouterr().err


def test_another_file_among_the_images_does_not_undo_the_size(place: Path) -> None:
    (place / "train" / "images" / ".DS_Store").write_bytes(b"none")
    try:
        report = evaluate_dense(
            place / "small-resnet", protocol="segmentation", steps=1, size=28, baselines=False,
            **given(place, "masks"),
        )  # fmt: skip
    finally:
        (place / "train" / "images" / ".DS_Store").unlink()
    assert "28 x 20 pixels" in report["results"][0]["details"]


def test_masks_without_a_class_are_one_sentence(place: Path, tmp_path: Path) -> None:
    for part in ("void", "many"):
        (tmp_path / part).mkdir()
    for number in range(3):
        Image.fromarray(np.full((40, 56), 9, np.uint8)).save(tmp_path / "void" / f"{number}.png")
    options = given(place, "masks") | {"test_targets": str(tmp_path / "void")}
    with pytest.raises(ol.UsageError, match="test masks is void"):
        evaluate_dense(place / "small-resnet", protocol="segmentation", void=9, steps=1, **options)
    for file in (place / "train" / "masks").iterdir():
        mask = np.array(Image.open(file))
        mask[0] = 255
        Image.fromarray(mask).save(tmp_path / "many" / file.name)
    options = given(place, "masks") | {"targets": str(tmp_path / "many")}
    with pytest.raises(ol.UsageError, match="--void 255"):
        evaluate_dense(place / "small-resnet", protocol="segmentation", void=9, steps=1, **options)
