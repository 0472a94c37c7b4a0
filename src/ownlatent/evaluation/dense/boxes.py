"""Images and the boxes in them: Pascal VOC's XML and COCO's JSON."""

import json
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ownlatent.errors import UsageError
from ownlatent.evaluation.dense.pairs import opened

_CORNERS = ("xmin", "ymin", "xmax", "ymax")


@dataclass(frozen=True)
class Boxed:
    """Images with boxes.

    Attributes:
        images: uint8 ``[3, H, W]`` each.
        boxes: float32 ``[n, 4]`` each: left, top, right, bottom in pixels of the image.
        labels: int64 ``[n]`` each, 0 to K-1.
        ignored: bool ``[n]`` each: VOC's "difficult" and COCO's "iscrowd", which do not count.
        names: of the images.
        classes: K names.
        dropped: boxes left out for having no area.
    """

    images: list[Tensor]
    boxes: list[Tensor]
    labels: list[Tensor]
    ignored: list[Tensor]
    names: list[str]
    classes: list[str]
    dropped: int

    def __len__(self) -> int:
        return len(self.names)


Named = tuple[str, list[tuple[list[float], str, bool]]]
"""A file's name, and of each box its corners, class and whether it is ignored."""


def open_boxes(
    images: str | Path, annotations: str | Path, *, side: int, classes: list[str] | None = None
) -> Boxed:
    """Read images and boxes.

    Args:
        images: folder.
        annotations: COCO's ``.json``; a folder of VOC's ``.xml``, one for each image; or one of
            VOC's lists, ``ImageSets/Main/train.txt``, beside whose folder ``Annotations`` lies.
        side: pixels that longer sides are brought down to; smaller images stay as they are.
        classes: in the order of their numbers; None: those that occur, sorted.

    Raises:
        UsageError: something is missing or damaged, no box is left, or a class is not among
            ``classes``.
    """
    place = Path(annotations)
    if not place.exists():
        raise UsageError(
            f"There are no annotations at {place}; give a .json, .xml files or a list."
        )
    try:
        found = list(_coco(place) if place.suffix == ".json" else _voc(place))
    except (KeyError, TypeError, ValueError, AttributeError, OSError, ET.ParseError) as error:
        raise UsageError(
            f"{place} cannot be read as COCO's JSON or VOC's XML ({error}); mend it."
        ) from error
    named = sorted({name for _, boxes in found for _, name, _ in boxes})
    if not named:
        raise UsageError(f"There are no boxes in {place}; give annotations that have some.")
    order = classes or named
    strange = [name for name in named if name not in order]
    if strange:
        raise UsageError(
            f"{place} has boxes of class {strange[0]!r}, which is not among {', '.join(order)}; "
            "train and test data must have the same classes."
        )
    made = Boxed([], [], [], [], [], order, 0)
    dropped = 0
    for name, boxes in found:
        picture, scale = _read(Path(images) / name, side)
        kept = [box for box in boxes if box[0][2] > box[0][0] and box[0][3] > box[0][1]]
        dropped += len(boxes) - len(kept)
        made.images.append(picture)
        made.boxes.append(torch.tensor([b for b, _, _ in kept]).view(-1, 4).float() * scale)
        made.labels.append(torch.tensor([order.index(c) for _, c, _ in kept], dtype=torch.int64))
        made.ignored.append(torch.tensor([i for _, _, i in kept], dtype=torch.bool))
        made.names.append(name)
    return Boxed(made.images, made.boxes, made.labels, made.ignored, made.names, order, dropped)


def _read(file: Path, side: int) -> tuple[Tensor, float]:
    if not file.is_file():
        raise UsageError(f"There is no image {file}, which the annotations name; see --data.")
    with opened(file) as image:
        image = image.convert("RGB")
        scale = min(1.0, side / max(image.size))
        if scale < 1:
            size = round(image.width * scale), round(image.height * scale)
            image = image.resize(size, Image.Resampling.BICUBIC)
        return torch.from_numpy(np.array(image)).movedim(-1, 0), scale


def _voc(place: Path) -> Iterator[Named]:
    if place.suffix == ".txt":
        folder = place.parents[2] / "Annotations"
        names = [line.split()[0] for line in place.read_text().splitlines() if line.strip()]
        files = [folder / f"{name}.xml" for name in names]
    else:
        files = sorted(place.glob("*.xml"))
    for file in files:
        root = ET.parse(file).getroot()
        boxes = []
        for item in root.iter("object"):
            corners: Any = item.find("bndbox")
            # VOC counts pixels from 1.
            box = [float(corners.find(corner).text) - 1 for corner in _CORNERS]
            ignored = item.findtext("difficult", "0").strip() == "1"
            boxes.append((box, str(item.findtext("name")), ignored))
        yield str(root.findtext("filename")), boxes


def _coco(place: Path) -> Iterator[Named]:
    held = json.loads(place.read_text())
    classes = {each["id"]: str(each["name"]) for each in held["categories"]}
    boxes: dict[Any, list[tuple[list[float], str, bool]]] = {}
    for each in held["annotations"]:
        left, top, width, height = map(float, each["bbox"])
        box = [left, top, left + width, top + height]
        given = box, classes[each["category_id"]], bool(each.get("iscrowd", 0))
        boxes.setdefault(each["image_id"], []).append(given)
    for image in sorted(held["images"], key=lambda image: str(image["file_name"])):
        yield str(image["file_name"]), boxes.get(image["id"], [])
