"""Detection: boxes as they are read, average precision by hand, and squares that are found."""

import copy
import json
import math
from pathlib import Path

import pytest
import torch
from PIL import Image

import ownlatent as ol
from ownlatent.encoder import Encoder
from ownlatent.evaluation.dense.boxes import Boxed, open_boxes
from ownlatent.evaluation.dense.detection import (
    Recipe,
    _fit,
    average_precision,
    detect,
    faster_rcnn,
)
from ownlatent.networks import backbone
from ownlatent.preprocessing import Preprocessing

VOC = """<annotation><filename>{name}</filename>{objects}</annotation>"""
OBJECT = """<object><name>{name}</name><difficult>{difficult}</difficult><bndbox><xmin>{0}</xmin>
<ymin>{1}</ymin><xmax>{2}</xmax><ymax>{3}</ymax></bndbox></object>"""


def truth(*images: list[tuple[list[float], int]], ignored: tuple[int, int] | None = None) -> Boxed:
    """Boxes of each image with their classes."""
    marked = [torch.zeros(len(image), dtype=torch.bool) for image in images]
    if ignored:
        marked[ignored[0]][ignored[1]] = True
    return Boxed(
        [torch.zeros(3, 64, 64, dtype=torch.uint8) for _ in images],
        [torch.tensor([box for box, _ in image]).view(-1, 4) for image in images],
        [torch.tensor([label for _, label in image], dtype=torch.int64) for image in images],
        marked, [str(n) for n in range(len(images))], ["a", "b"], 0,
    )  # fmt: skip


def found(*images: list[tuple[list[float], int, float]]) -> list[dict[str, torch.Tensor]]:
    return [
        {
            "boxes": torch.tensor([box for box, _, _ in image]).view(-1, 4),
            "labels": torch.tensor([label for _, label, _ in image], dtype=torch.int64),
            "scores": torch.tensor([score for _, _, score in image]),
        }
        for image in images
    ]


ONE, TWO, FAR = [0.0, 0.0, 20.0, 20.0], [30.0, 30.0, 50.0, 50.0], [0.0, 40.0, 9.0, 49.0]


def test_all_right_and_nothing_found() -> None:
    known = truth([(ONE, 0), (TWO, 1)])
    every = average_precision(found([(ONE, 0, 0.9), (TWO, 1, 0.8)]), known)
    assert (every.ap, every.ap50, every.ap75, every.voc07) == (1, 1, 1, 1)
    none = average_precision(found([]), known)
    assert (none.ap, none.ap50, none.voc07, none.by_class) == (0, 0, 0, [0, 0])


def test_precision_at_eleven_recalls() -> None:
    """Everingham et al., 2010, section 4.2. Of four boxes two are found, with a false one between:
    precision is 1 up to a recall of 0.25 and 2/3 up to 0.5. The mean over 11 recalls is then
    (3 + 3 x 2/3) / 11, and over COCO's 101 (26 + 25 x 2/3) / 101."""
    third, fourth = [30.0, 0.0, 50.0, 20.0], [0.0, 30.0, 8.0, 38.0]
    known = truth([(ONE, 0), (TWO, 0), (third, 0), (fourth, 0)])
    made = found([(ONE, 0, 0.9), ([55.0, 55.0, 60.0, 60.0], 0, 0.8), (TWO, 0, 0.7)])
    scores = average_precision(made, known)
    assert scores.voc07 == pytest.approx((3 + 3 * 2 / 3) / 11)
    assert scores.ap50 == pytest.approx((26 + 25 * 2 / 3) / 101)
    assert math.isnan(scores.by_class[1]) and scores.by_class[0] == pytest.approx(scores.ap50)


def test_the_same_box_found_twice_is_right_once_and_half_an_overlap_counts_at_one_half() -> None:
    twice = average_precision(
        found([(ONE, 0, 0.9), (ONE, 0, 0.8), (TWO, 0, 0.7)]), truth([(ONE, 0), (TWO, 0)])
    )
    assert twice.ap50 == pytest.approx((51 + 50 * 2 / 3) / 101)
    half = average_precision(found([([0.0, 0.0, 20.0, 12.0], 0, 0.9)]), truth([(ONE, 0)]))
    assert (half.ap50, half.ap75) == (1, 0)
    assert half.ap == pytest.approx(3 / 10)  # IoU 0.6: right at 0.50, 0.55 and 0.60


def test_ignored_boxes_neither_count_nor_make_a_detection_false() -> None:
    known = truth([(ONE, 0), (TWO, 0)], ignored=(0, 1))
    assert average_precision(found([(ONE, 0, 0.5), (TWO, 0, 0.9)]), known).ap50 == 1
    assert average_precision(found([(ONE, 0, 0.5)]), known).ap50 == 1
    assert average_precision(found([(ONE, 0, 0.5), (FAR, 0, 0.9)]), known).ap50 == 0.5


def test_nothing_to_find() -> None:
    empty = average_precision(found([(ONE, 0, 0.9)]), truth([]))
    assert math.isnan(empty.ap) and len(empty.by_class) == 2


def write_voc(folder: Path) -> None:
    for name in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (folder / name).mkdir(parents=True)
    for name in ("one", "two"):
        Image.new("RGB", (80, 40), (9, 9, 9)).save(folder / "JPEGImages" / f"{name}.png")
        objects = OBJECT.format(11, 6, 31, 26, name="cat", difficult=0)
        objects += OBJECT.format(1, 1, 80, 40, name="dog", difficult=1)
        objects += OBJECT.format(5, 5, 5, 9, name="dog", difficult=0)
        content = VOC.format(name=f"{name}.png", objects=objects)
        (folder / "Annotations" / f"{name}.xml").write_text(content)
    (folder / "ImageSets/Main/train.txt").write_text("two\n")


def test_vocs_files_and_lists(tmp_path: Path) -> None:
    write_voc(tmp_path)
    images = tmp_path / "JPEGImages"
    data = open_boxes(images, tmp_path / "Annotations", side=40)
    assert data.names == ["one.png", "two.png"] and data.classes == ["cat", "dog"]
    assert data.images[0].shape == (3, 20, 40) and data.dropped == 2
    assert data.boxes[0].tolist() == [[5, 2.5, 15, 12.5], [0, 0, 39.5, 19.5]]
    assert data.labels[0].tolist() == [0, 1] and data.ignored[0].tolist() == [False, True]
    listed = open_boxes(images, tmp_path / "ImageSets/Main/train.txt", side=1000)
    assert listed.names == ["two.png"] and listed.images[0].shape == (3, 40, 80)


def test_cocos_file(tmp_path: Path) -> None:
    Image.new("RGB", (30, 20)).save(tmp_path / "a.png")
    held = {
        "images": [{"id": 7, "file_name": "a.png"}],
        "categories": [{"id": 3, "name": "cat"}],
        "annotations": [{"image_id": 7, "category_id": 3, "bbox": [2, 4, 10, 5], "iscrowd": 1}],
    }
    (tmp_path / "boxes.json").write_text(json.dumps(held))
    data = open_boxes(tmp_path, tmp_path / "boxes.json", side=100)
    assert data.boxes[0].tolist() == [[2, 4, 12, 9]] and data.ignored[0].tolist() == [True]


def squares(count: int, seed: int) -> Boxed:
    """One bright square and one bright bar somewhere on dark ground."""
    generator = torch.Generator().manual_seed(seed)
    images, boxes = [], []
    for _ in range(count):
        image = torch.randint(0, 40, (3, 64, 64), generator=generator, dtype=torch.uint8)
        top, left = (int(torch.randint(0, 32, (), generator=generator)) for _ in range(2))
        image[:, top : top + 28, left : left + 28] += 200
        images.append(image)
        boxes.append(torch.tensor([[left, top, left + 28.0, top + 28.0]]))
    zeros = [torch.zeros(1, dtype=torch.int64) for _ in range(count)]
    none = [torch.zeros(1, dtype=torch.bool) for _ in range(count)]
    return Boxed(images, boxes, zeros, none, [str(n) for n in range(count)], ["square"], 0)


def resnet() -> Encoder:
    torch.manual_seed(0)
    net, _ = backbone("resnet10t", 3, 96)
    return Encoder(net, "resnet10t", Preprocessing(3, 96, 1.0, (0.1,) * 3, (0.25,) * 3))


def test_losses_fall_and_the_encoder_stays_as_it_was() -> None:
    encoder, data = resnet(), squares(8, 0)
    before = copy.deepcopy(encoder.state_dict())
    torch.manual_seed(0)
    net = faster_rcnn(encoder, data, "fpn", proposals=16)

    def loss() -> float:
        torch.manual_seed(0)
        targets = [
            {"boxes": box, "labels": label + 1}
            for box, label in zip(data.boxes, data.labels, strict=True)
        ]
        with torch.no_grad():
            return sum(net.train()([i.float() / 255 for i in data.images], targets).values()).item()

    first = loss()
    _fit(net, data, Recipe(steps=15, batch=2, rate=0.02), torch.device("cpu"))
    assert loss() < 0.7 * first
    assert all(torch.equal(before[key], value) for key, value in encoder.state_dict().items())


def test_c4_takes_the_last_stage_for_its_head() -> None:
    encoder = resnet()
    net = faster_rcnn(encoder, squares(1, 0), "c4")
    names = [name for name, _ in encoder.backbone.named_children()]
    assert len(net.backbone) == names.index("layer4")
    assert any(
        "layer4" in n or n.startswith("0") for n, _ in net.roi_heads.box_head.named_children()
    )
    brief = Recipe("c4", steps=1, batch=1, proposals=8)
    scores, _ = detect(encoder, squares(4, 0), squares(2, 1), recipe=brief)
    assert 0 <= scores.ap50 <= 1


def test_mistakes_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ol.UsageError, match="no annotations"):
        open_boxes(tmp_path, tmp_path / "x.json", side=64)
    write_voc(tmp_path)
    images, notes = tmp_path / "JPEGImages", tmp_path / "Annotations"
    with pytest.raises(ol.UsageError, match="'dog', which is not among cat"):
        open_boxes(images, notes, side=64, classes=["cat"])
    with pytest.raises(ol.UsageError, match="no image"):
        open_boxes(tmp_path, notes, side=64)
    (notes / "one.xml").write_text("<annotation>")
    with pytest.raises(ol.UsageError, match="mend it"):
        open_boxes(images, notes, side=64)
    (tmp_path / "empty.json").write_text('{"images": [], "categories": [], "annotations": []}')
    with pytest.raises(ol.UsageError, match="no boxes"):
        open_boxes(images, tmp_path / "empty.json", side=64)
    net, _ = backbone("small-resnet", 3, 32)
    small = Encoder(net, "small-resnet", Preprocessing(3, 32, 1.0, (0.5,) * 3, (0.25,) * 3))
    with pytest.raises(ol.UsageError, match="ResNets"):
        detect(small, squares(1, 0), squares(1, 1))
    with pytest.raises(ol.UsageError, match="fpn or c4"):
        faster_rcnn(resnet(), squares(1, 0), "dc5")
