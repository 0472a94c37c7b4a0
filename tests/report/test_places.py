"""What was found in images, from the files of a run to drawn pictures."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ownlatent.errors import UsageError
from ownlatent.evaluation.dense import examples
from ownlatent.evaluation.dense.boxes import Boxed
from ownlatent.evaluation.dense.pairs import Pairs
from ownlatent.report.places import boxed, colour, masked, ranged, read_places


def pairs(targets: torch.Tensor) -> Pairs:
    images = torch.full((len(targets), 3, *targets.shape[1:]), 200, dtype=torch.uint8)
    return Pairs(images, targets, [str(n) for n in range(len(targets))])


def test_masks_and_depths_come_back_as_they_were(tmp_path: Path) -> None:
    truth = torch.tensor([[[0, 1, 255], [2, 1, 0]]] * 9, dtype=torch.uint8)
    made = examples.write_pairs(tmp_path / "m", pairs(truth), {"a": truth}, examples.mask)
    assert len(made) == examples.COUNT
    with Image.open(tmp_path / "m" / made[0]["found"]["a"]) as found:
        assert np.array_equal(np.array(found), truth[0].numpy())
    depth = torch.tensor([[[0.5, float("nan"), 70.0]]])
    (one,) = examples.write_pairs(tmp_path / "d", pairs(depth), {}, examples.millimetres)
    with Image.open(tmp_path / "d" / one["truth"]) as held:
        assert np.array(held).tolist() == [[500, 0, 65535]]


def test_only_sure_boxes_are_kept(tmp_path: Path) -> None:
    box, label = torch.tensor([[1.0, 2.0, 5.0, 6.0]]), torch.tensor([1])
    test = Boxed([torch.zeros(3, 9, 9, dtype=torch.uint8)], [box], [label],
                 [torch.tensor([False])], ["0"], ["a", "b"], 0)  # fmt: skip
    found = {"boxes": box.repeat(2, 1), "labels": label.repeat(2),
             "scores": torch.tensor([0.75, 0.25])}  # fmt: skip
    (one,) = examples.write_boxes(tmp_path / "b", test, {"a": [found]})
    assert one["truth"] == [[1, 2, 5, 6, 1]] and one["found"]["a"] == [[1, 2, 5, 6, 1, 0.75]]


def test_classes_colour_the_image_and_void_is_dark() -> None:
    image = np.full((2, 400, 3), 100, np.uint8)
    mask = np.array([[0, 3], [255, 255]], np.uint8).repeat(200, axis=1)
    drawn = masked(image, mask)
    assert drawn[0, 0].tolist() == [round(40 + 0.6 * part) for part in colour(0)]
    assert drawn[0, -1].tolist() == [round(40 + 0.6 * part) for part in colour(3)]
    assert drawn[1, 0].tolist() == [40, 40, 40]
    assert len({colour(number) for number in range(20)}) == 20


def test_boxes_are_outlined_where_they_are() -> None:
    drawn = boxed(np.zeros((200, 200, 3), np.uint8), [[10, 20, 60, 70, 1, 0.9]])
    assert drawn.shape == (400, 400, 3)
    assert tuple(drawn[40, 60]) == tuple(drawn[90, 20]) == colour(1)
    assert not drawn[60, 60].any() and not drawn[150].any()


def test_depth_runs_from_dark_to_light() -> None:
    drawn = ranged(np.array([[0.0, 1.0, 2.0, 3.0]]), 1.0, 3.0)
    dark, near, middle, far = drawn[0, :: drawn.shape[1] // 4].astype(int).sum(1)
    assert dark == 0 < near < middle < far


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    assert read_places(tmp_path) == []
    path = tmp_path / "evaluation-segmentation.json"
    row = {"features": "a", "mIoU": 0.25, "low": 0.2, "high": 0.3, "n_train": 5, "n_test": 7,
           "details": "d"}  # fmt: skip
    path.write_text(json.dumps({"results": [row]}))  # of a time before examples
    (place,) = read_places(tmp_path)
    assert place.rows == [["a", "25.0 % (20.0 to 30.0)", "5", "7"]] and place.pictures == []
    path.write_text(json.dumps({"results": []}))
    with pytest.raises(UsageError, match=r"evaluation-segmentation\.json"):
        read_places(tmp_path)
