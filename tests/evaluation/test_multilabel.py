"""VOC 2007's average precision against its formula, and a probe of several labels."""

from math import isnan
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import precision_recall_curve

from ownlatent.encoder import Encoder, EncoderFolder
from ownlatent.errors import UsageError
from ownlatent.evaluation.multilabel import (
    ABSENT,
    PRESENT,
    UNSURE,
    eleven_points,
    multilabel_probe,
    precision,
    read_voc,
)
from ownlatent.evaluation.transfer import transfer
from ownlatent.networks import backbone
from ownlatent.preprocessing import Preprocessing

ITEM = "<object><name>{}</name><difficult>{}</difficult></object>"


@pytest.mark.parametrize("seed", range(4))
def test_eleven_points_on_scikit_learns_curve(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    present = torch.rand(60, generator=generator) < 0.3
    scores = (torch.rand(60, generator=generator) * 12).round()  # many ties
    exact, recall, _ = precision_recall_curve(present.numpy(), scores.numpy())
    # The curve ends in a point that no threshold has, of precision 1 and recall 0.
    expected = np.mean([exact[:-1][recall[:-1] >= r - 1e-9].max() for r in np.linspace(0, 1, 11)])
    assert eleven_points(scores, present) == pytest.approx(expected, abs=1e-12)


def test_by_hand() -> None:
    """Right, wrong, right: precision 1 up to recall 0.5 (6 points), then 2/3 (5 points)."""
    scores, present = torch.tensor([3.0, 2.0, 1.0]), torch.tensor([True, False, True])
    assert eleven_points(scores, present) == pytest.approx((6 + 5 * 2 / 3) / 11)
    assert isnan(eleven_points(scores, torch.zeros(3, dtype=torch.bool)))


def test_what_is_unsure_does_not_count() -> None:
    scores = torch.tensor([[9.0], [3.0], [2.0]])
    labels = torch.tensor([[UNSURE], [PRESENT], [ABSENT]], dtype=torch.int8)
    assert precision(scores, labels) == [1.0]


def test_the_map_is_scikit_learns() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(400, 12, generator=generator)
    labels = (x[:, :3] + torch.randn(400, 3, generator=generator) > 0.5).to(torch.int8)
    labels[:40, 1] = UNSURE
    mean, each, strength = multilabel_probe(
        x[:300], labels[:300], x[300:], labels[300:], strengths=(1e-2,)
    )
    assert strength == 1e-2 and mean == pytest.approx(sum(each) / 3)
    centre, spread = x[:300].mean(0), x[:300].std(0, correction=0)
    fitted, scored = ((part - centre) / spread for part in (x[:300], x[300:]))
    known = (labels[:300, 1] != UNSURE).numpy()
    # Two maps, of a class and of the rest, each penalised: the same as one at half the strength.
    model = LogisticRegression(C=1 / (known.sum() * 1e-2 / 2), tol=1e-9, max_iter=1000)
    model.fit(fitted.numpy()[known], labels[:300, 1].numpy()[known])
    theirs = torch.from_numpy(model.decision_function(scored.numpy()))
    assert each[1] == pytest.approx(eleven_points(theirs, labels[300:, 1] == PRESENT), abs=5e-3)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images that are red, green, both or neither."""
    folder, random = tmp_path_factory.mktemp("voc"), np.random.default_rng(0)
    for part in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (folder / part).mkdir(parents=True)
    for number in range(30):
        red, green = number % 2, number // 2 % 2
        pixels = random.integers(0, 60, (16, 16, 3), dtype=np.uint8)
        pixels[..., 0] += 180 * red
        pixels[..., 1] += 180 * green
        Image.fromarray(pixels).save(folder / "JPEGImages" / f"{number:02}.png")
        items = [ITEM.format("red", 0)] * red + [ITEM.format("green", int(number == 2))] * green
        text = f"<annotation>{''.join(items)}</annotation>"
        (folder / "Annotations" / f"{number:02}.xml").write_text(text)
    for name, rows in (("trainval", range(20)), ("test", range(20, 30))):
        lines = "".join(f"{n:02}\n" for n in rows)
        (folder / "ImageSets" / "Main" / f"{name}.txt").write_text(lines)
    torch.manual_seed(0)
    net, _ = backbone("small-resnet", 3, 16)
    made = Encoder(net, "small-resnet", Preprocessing(3, 16, 1.0, (0.5,) * 3, (0.25,) * 3))
    EncoderFolder.write(folder / "run" / "encoder", {"online": made})
    return folder


def test_boxes_become_labels(place: Path) -> None:
    known = read_voc(place)
    assert known.classes == ["green", "red"] and len(known.train) == 20 and len(known.test) == 10
    assert known.train_labels[:4].tolist() == [[0, 0], [0, 1], [UNSURE, 0], [1, 1]]


def test_voc_among_the_data_sets(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ownlatent.evaluation.transfer.STRENGTHS", (1e-3, 1.0, 1e3))
    report = transfer(place / "run", [f"{place}@voc"])
    row = report["results"][0]
    assert row["metric"] == "mAP (11 points)" and row["value"] == 1.0  # colours are easy
    assert (row["n_train"], row["n_test"], row["classes"]) == (20, 10, 2) and row["low"] is None


def test_a_class_that_cannot_be_fitted_is_said(place: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(40, 4, generator=generator)
    labels = torch.stack([x[:, 0] > 0, x[:, 0] > -9], 1).to(torch.int8)
    mean, each, _ = multilabel_probe(x[:30], labels[:30], x[30:], labels[30:], strengths=(1e-2,))
    assert each[1] is None and mean == each[0]
    with pytest.raises(UsageError, match="NaN"):
        multilabel_probe(x[:30] * torch.nan, labels[:30], x[30:], labels[30:], strengths=(1.0,))


def test_mistakes_are_one_sentence(place: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Pascal VOC"):
        read_voc(tmp_path)
    lists = tmp_path / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("7\n")
    with pytest.raises(UsageError, match=r"7\.xml"):
        read_voc(tmp_path)
    (lists / "train.txt").write_text("\n")
    with pytest.raises(UsageError, match="names no images"):
        read_voc(tmp_path)
    labels = torch.ones(10, 2, dtype=torch.int8)
    with pytest.raises(UsageError, match="No class"):
        multilabel_probe(torch.randn(10, 3), labels, torch.randn(10, 3), labels, strengths=(1.0,))
