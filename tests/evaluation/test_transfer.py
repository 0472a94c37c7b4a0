"""Transfer: each data set with its own split and metric, and the mean of all."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import ownlatent as ol
from ownlatent.cli import main
from ownlatent.encoder import Encoder, EncoderFolder
from ownlatent.evaluation.transfer import STRENGTHS, DataSet, transfer
from ownlatent.networks import backbone
from ownlatent.preprocessing import Preprocessing


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two data sets, one in parts and one whole; and a network at random."""
    folder, random = tmp_path_factory.mktemp("transfer"), np.random.default_rng(0)
    for part, count in (("parts/train", 12), ("parts/test", 5), ("whole", 15)):
        for number, name in enumerate(("dark", "bright")):
            (folder / part / name).mkdir(parents=True)
            for image in range(count - 4 * number):
                pixels = random.integers(90 * number, 150 + 90 * number, (16, 16, 3))
                place = folder / part / name / f"{image}.png"
                Image.fromarray(pixels.astype(np.uint8)).save(place)
    torch.manual_seed(0)
    net, _ = backbone("small-resnet", 3, 16)
    settings = Preprocessing(3, 16, 1.0, (0.5,) * 3, (0.25,) * 3)
    made = Encoder(net, "small-resnet", settings)
    EncoderFolder.write(folder / "run" / "encoder", {"online": made})
    return folder


def test_each_has_its_own_split_and_metric(place: Path) -> None:
    report = transfer(place / "run", [f"{place}/parts@mean", f"{place}/whole"])
    first, random, third, _ = report["results"]
    assert (first["metric"], first["n_train"], first["n_test"]) == ("mean per class", 20, 6)
    assert (third["metric"], third["n_train"], third["n_test"]) == ("accuracy", 21, 5)
    assert first["low"] is None and third["low"] < third["value"] <= third["high"]
    assert random["features"] == "random initialisation"
    mean = (first["value"] + third["value"]) / 2
    assert report["means"]["ENCODER (online)"] == pytest.approx(mean)
    plain = ol.evaluate(
        place / "run", place / "parts/train", test=place / "parts/test", protocols=["linear"]
    )["results"][0]
    assert first["value"] == pytest.approx(plain["mean_per_class"])


def test_the_papers_penalties() -> None:
    assert len(STRENGTHS) == 45
    assert STRENGTHS[0] == pytest.approx(1e-6) and STRENGTHS[-1] == pytest.approx(1e5)


def test_on_the_command_line(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["transfer", str(place / "run"), f"{place}/parts@mean", "--no-baselines"])
    shown = capsys.readouterr().out
    assert "mean per class" in shown and shown.splitlines()[-1].startswith("mean")


def test_mistakes_are_one_sentence(place: Path) -> None:
    with pytest.raises(ol.UsageError, match="one or more folders"):
        transfer(place / "run", [])
    with pytest.raises(ol.UsageError, match="top1, mean"):
        DataSet.parse(f"{place}/whole@map")
    with pytest.raises(ol.UsageError, match="nothing at"):
        DataSet.parse("no/such/folder")


def test_the_names_of_parts_are_no_classes(place: Path, tmp_path: Path) -> None:
    parts = place / "parts"
    for name in ("validation", "valid"):
        (tmp_path / name / "train").mkdir(parents=True)
        (tmp_path / name / name).mkdir()
        assert DataSet(tmp_path / name, "top1").parts()[1] == tmp_path / name / name
    (tmp_path / "alone" / "train").mkdir(parents=True)
    assert DataSet(tmp_path / "alone", "top1").parts() == (tmp_path / "alone" / "train", None)
    assert DataSet(parts, "top1").parts() == (parts / "train", parts / "test")
    (tmp_path / "alone" / "bus").mkdir()  # a class beside one that is called train
    assert DataSet(tmp_path / "alone", "top1").parts() == (tmp_path / "alone", None)
