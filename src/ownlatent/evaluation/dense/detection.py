"""Detection: torchvision's Faster R-CNN on the encoder, scored as COCO and as VOC score it."""

import copy
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor
from torchvision.models.detection.rpn import AnchorGenerator
from torchvision.ops import MultiScaleRoIAlign

from ownlatent.encoder import Encoder
from ownlatent.errors import UsageError
from ownlatent.evaluation.dense.boxes import Boxed
from ownlatent.networks import Middle

_ANCHOR = 32 / 800
"""The smallest anchor's side over the images' longer one, as in the papers' 800 pixels."""


@dataclass(frozen=True)
class Recipe:
    """MoCo's but for its length, 24,000 steps of 16: all layers are trained.

    Attributes:
        neck: "fpn" or "c4", a head of the backbone's last stage on the map before it.
        steps: of the optimizer.
        batch: images of a step.
        rate: learning rate, warmed up over a tenth of the steps, a tenth of it from 75 % on, a
            hundredth from 92 %.
        decay: L2 penalty.
        proposals: boxes of an image that the head is trained on; the paper's are 512.
    """

    neck: Literal["fpn", "c4"] = "fpn"
    steps: int = 200
    batch: int = 4
    rate: float = 0.01
    decay: float = 1e-4
    proposals: int = 128


@dataclass(frozen=True)
class Detection:
    """Average precision on a test set.

    Attributes:
        ap: COCO's: mean over classes and IoU of 0.50 to 0.95.
        ap50, ap75: at one IoU.
        voc07: VOC 2007's: at IoU 0.5, mean of the precision at 11 recalls.
        by_class: ``ap`` of each class; NaN for one that is not there.
    """

    ap: float
    ap50: float
    ap75: float
    voc07: float
    by_class: list[float]


def average_precision(found: Sequence[dict[str, Tensor]], truth: Boxed) -> Detection:
    """COCO's and VOC 2007's average precision, by faster-coco-eval.

    Args:
        found: of each image "boxes" float ``[m, 4]``, "scores" ``[m]`` and "labels" int64 ``[m]``
            in 0 to K-1.
        truth: boxes of the same images. Ignored ones neither count nor make a detection false.

    Returns:
        fractions; 0 where nothing was found, NaN where there is nothing to find.

    Raises:
        UsageError: faster-coco-eval is not installed.
    """
    try:
        from faster_coco_eval import COCO, COCOeval_faster
    except ImportError as error:
        raise UsageError(
            "Average precision needs faster-coco-eval: pip install 'ownlatent[detection]'."
        ) from error

    def rectangles(boxes: Tensor) -> list[list[float]]:
        sides: list[list[float]] = torch.cat(
            [boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], 1
        ).tolist()
        return sides

    known: list[dict[str, Any]] = []
    boxes: list[dict[str, Any]] = []
    for number, (corners, labels, ignored) in enumerate(
        zip(truth.boxes, truth.labels, truth.ignored, strict=True)
    ):
        for box, label, crowd in zip(
            rectangles(corners), labels.tolist(), ignored.tolist(), strict=True
        ):
            known.append({
                "id": len(known) + 1, "image_id": number, "category_id": label, "bbox": box,
                "area": box[2] * box[3], "iscrowd": int(crowd),
            })  # fmt: skip
    for number, each in enumerate(found):
        for box, label, score in zip(
            rectangles(each["boxes"]), each["labels"].tolist(), each["scores"].tolist(), strict=True
        ):
            boxes.append({"image_id": number, "category_id": label, "bbox": box, "score": score})
    count = len(truth.classes)
    if not known:
        nan = float("nan")
        return Detection(nan, nan, nan, nan, [nan] * count)
    if not boxes:
        there = {each["category_id"] for each in known if not each["iscrowd"]}
        return Detection(0, 0, 0, 0, [0.0 if c in there else float("nan") for c in range(count)])
    with redirect_stdout(StringIO()):
        truths = COCO({
            "images": [{"id": n} for n in range(len(truth))], "annotations": known,
            "categories": [{"id": c, "name": name} for c, name in enumerate(truth.classes)],
        })  # fmt: skip
        scored = COCOeval_faster(truths, truths.loadRes(boxes), "bbox")
        precision = _precision(scored)  # [IoU, recall, class, area, detections]
        all_of_them = precision[..., 0, -1]
        scored.params.recThrs = torch.linspace(0, 1, 11, dtype=torch.float64).numpy()
        eleven = _precision(scored)[0, ..., 0, -1]
    return Detection(
        ap=_mean(all_of_them),
        ap50=_mean(all_of_them[0]),
        ap75=_mean(all_of_them[5]),
        voc07=_mean(eleven),
        by_class=[_mean(all_of_them[..., c]) for c in range(count)],
    )


def _precision(scored: Any) -> Tensor:
    scored.evaluate()
    scored.accumulate()
    return torch.as_tensor(scored.eval["precision"]).double()


def _mean(values: Tensor) -> float:
    """Over what is there: -1 stands for a class without boxes."""
    there = values[values > -1]
    return there.mean().item() if len(there) else float("nan")


def detect(
    encoder: Encoder,
    train: Boxed,
    test: Boxed,
    *,
    recipe: Recipe = Recipe(),
    seed: int = 0,
    device: str | torch.device = "cpu",
) -> tuple[Detection, list[dict[str, Tensor]]]:
    """Train Faster R-CNN from the encoder, and score it once, after its last step.

    The encoder given stays as it is.

    Args:
        encoder: of images, a ResNet of timm's.
        train, test: images and boxes of the same classes.
        recipe: how it is trained.
        seed: of the heads, the order, the flips and the boxes that are drawn.
        device: where.

    Returns:
        the scores, and what was found (see :func:`average_precision`).

    Raises:
        UsageError: the encoder is no ResNet.
    """
    device = torch.device(device)
    with torch.random.fork_rng(devices=[] if device.type == "cpu" else None):
        torch.manual_seed(seed)
        net = faster_rcnn(encoder, train, recipe.neck, recipe.proposals).to(device)
        _fit(net, train, recipe, device)
        net.eval()
        found = []
        with torch.inference_mode():
            for image in test.images:
                (each,) = net([image.to(device).float() / 255])
                given = {key: value.cpu() for key, value in each.items()}
                found.append(given | {"labels": given["labels"] - 1})
    return average_precision(found, test), found


def faster_rcnn(encoder: Encoder, data: Boxed, neck: str, proposals: int = 128) -> FasterRCNN:
    """Faster R-CNN whose backbone is a copy of the encoder's.

    Args:
        encoder: a ResNet of timm's; also one that SimCLR v2's middle is on.
        data: for its classes and the size of its images.
        neck: "fpn" or "c4".
        proposals: boxes of an image that the head is trained on.

    Raises:
        UsageError: the encoder is no ResNet, or there is no such neck.
    """
    net: Any = copy.deepcopy(encoder.backbone)
    net = net.backbone if isinstance(net, Middle) else net
    stages = [f"layer{n}" for n in range(1, 5)]
    if not all(hasattr(net, stage) for stage in stages):
        raise UsageError(
            f"Detection takes ResNets, such as resnet18; {encoder.name} has not their four stages."
        )
    with torch.no_grad():
        x, widths = torch.zeros(1, 3, 64, 64), []
        for name, part in net.eval().named_children():
            if name in ("global_pool", "fc"):
                break
            x = part(x)
            if name in stages:
                widths.append(x.shape[1])
    longest = max(max(image.shape[1:]) for image in data.images)
    smallest = _ANCHOR * longest
    settings = encoder.preprocessing
    options: dict[str, Any] = {
        # Images come at their size; the network's own resizing is left out.
        "min_size": min(min(image.shape[1:]) for image in data.images),
        "max_size": longest,
        "image_mean": settings.mean,
        "image_std": settings.std,
        "box_batch_size_per_image": proposals,
    }
    ratios = (0.5, 1.0, 2.0)
    classes = len(data.classes) + 1  # and nothing
    if neck == "fpn":
        layers = {stage: str(n) for n, stage in enumerate(stages)}
        body = BackboneWithFPN(net, layers, widths, 256)
        sizes = tuple((smallest * 2**n,) for n in range(5))
        return FasterRCNN(
            body, classes, rpn_anchor_generator=AnchorGenerator(sizes, (ratios,) * 5), **options
        )
    if neck != "c4":
        raise UsageError(f"The neck is fpn or c4; got {neck!r}.")
    children = dict(net.named_children())
    body = nn.Sequential(*[children[n] for n in list(children)[: list(children).index("layer4")]])
    body.out_channels = widths[2]
    sizes = (tuple(smallest * 2**n for n in range(5)),)
    return FasterRCNN(
        body,
        rpn_anchor_generator=AnchorGenerator(sizes, (ratios,)),
        box_roi_pool=MultiScaleRoIAlign(["0"], 14, 2),
        box_head=nn.Sequential(net.layer4, nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        box_predictor=FastRCNNPredictor(widths[3], classes),
        **options,
    )


def _fit(net: FasterRCNN, train: Boxed, recipe: Recipe, device: torch.device) -> None:
    """With torch's generator, which is seeded."""
    net.train()
    trained = [p for p in net.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=recipe.rate, momentum=0.9, weight_decay=recipe.decay)
    for step in range(recipe.steps):
        done = step / recipe.steps
        optimizer.param_groups[0]["lr"] = (
            recipe.rate
            * min(1.0, (done + 0.01) * 10)
            * (0.1 if done >= 0.75 else 1.0)
            * (0.1 if done >= 0.92 else 1.0)
        )
        images, targets = [], []
        for row in torch.randint(0, len(train), (recipe.batch,)).tolist():
            image, boxes = train.images[row], train.boxes[row]
            counted = ~train.ignored[row]
            boxes, labels = boxes[counted], train.labels[row][counted] + 1
            if torch.rand(()) < 0.5:
                image = image.flip(-1)
                boxes = boxes[:, [2, 1, 0, 3]] * torch.tensor([-1, 1, -1, 1]) + torch.tensor(
                    [image.shape[-1], 0, image.shape[-1], 0]
                )
            images.append(image.to(device).float() / 255)
            targets.append({"boxes": boxes.to(device), "labels": labels.to(device)})
        losses: dict[str, Tensor] = net(images, targets)
        optimizer.zero_grad()
        torch.autograd.backward(torch.stack(list(losses.values())).sum())
        optimizer.step()
